package submission

import (
	"bytes"
	"strings"
	"testing"
)

// What is longer than is read, or too large to be kept, is not decoded whole: a
// message may be 25 MiB, and the memory is little more. What is decoded is the
// beginning of the whole.
func TestDecodingStops(t *testing.T) {
	body := []byte(strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 10_000)) // 780 kB
	for _, encoding := range []string{"base64", "quoted-printable", "8bit"} {
		p := part{encoding: encoding, body: body}
		whole := decodeBody(p, len(body))
		for _, limit := range []int{0, 1, 1023, 1024, 70_000} {
			got := decodeBody(p, limit)
			if len(got) < limit || len(got) > limit+base64Chunk || !bytes.HasPrefix(whole, got) {
				t.Errorf("%s, up to %d: got %d bytes, want as many and few more, of the beginning", encoding, limit, len(got))
			}
			if encoding != "8bit" && cap(got) > limit+4*base64Chunk {
				t.Errorf("%s, up to %d: got a buffer of %d", encoding, limit, cap(got))
			}
		}
		if n := decodedAtLeast(p); n > len(whole) || encoding != "quoted-printable" && n < len(whole)-3 {
			t.Errorf("%s: got %d bytes at least, want %d or just below", encoding, n, len(whole))
		}
	}
}
