package page

import (
	"bytes"
	"encoding/binary"
)

// orientation reads how a camera was held out of a JPEG's EXIF data: 1 to 8,
// 1 where nothing is said. Whatever is odd counts as nothing said.
//
// Source: Exif 2.32 §4.6.4 (tag 0x0112), §4.5.4 (APP1); TIFF 6.0 §2.
func orientation(jpeg []byte) int {
	if len(jpeg) < 4 || jpeg[0] != 0xff || jpeg[1] != 0xd8 {
		return 1
	}
	for at := 2; at+4 <= len(jpeg) && jpeg[at] == 0xff; {
		marker, length := jpeg[at+1], int(binary.BigEndian.Uint16(jpeg[at+2:]))
		end := at + 2 + length
		if length < 2 || end > len(jpeg) || marker == 0xda { // the picture itself begins
			break
		}
		if body, ok := bytes.CutPrefix(jpeg[at+4:end], []byte("Exif\x00\x00")); ok && marker == 0xe1 {
			return tiffOrientation(body)
		}
		at = end
	}
	return 1
}

func tiffOrientation(b []byte) int {
	if len(b) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.BigEndian
	if b[0] == 'I' {
		order = binary.LittleEndian
	}
	ifd := order.Uint32(b[4:])
	if ifd > uint32(len(b)) || len(b)-int(ifd) < 2 {
		return 1
	}
	entries := b[ifd+2:]
	for range order.Uint16(b[ifd:]) {
		if len(entries) < 12 {
			break
		}
		if order.Uint16(entries) == 0x0112 {
			if o := int(order.Uint16(entries[8:])); o >= 1 && o <= 8 {
				return o
			}
			break
		}
		entries = entries[12:]
	}
	return 1
}
