package submission

import (
	"strings"

	"pec-ingest/internal/pec"
)

// Attachment is a picture or document of a letter, decoded from its transfer
// encoding and not looked into.
type Attachment struct {
	Name string
	Type string // media type, as the letter says
	Data []byte
}

// Attachments returns the pictures and documents of a letter, in order, as
// long as they fit into limit bytes together; more says that some did not.
func Attachments(m *pec.Message, limit int) (files []Attachment, more bool) {
	const most = 8
	for _, p := range parseMessage(m.Original).parts {
		switch p.mediaType {
		case "text/plain", "text/html", "application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature":
			continue
		}
		if len(files) == most || decodedAtLeast(p) > limit {
			more = true
			continue
		}
		data := decodeBody(p, limit+1)
		if len(data) > limit {
			more = true
			continue
		}
		limit -= len(data)
		files = append(files, Attachment{Name: p.name, Type: p.mediaType, Data: data})
	}
	return files, more
}

// decodedAtLeast is what decodeBody will make of a part at least, in bytes.
func decodedAtLeast(p part) int {
	switch {
	case strings.HasPrefix(p.encoding, "quoted-printable"):
		return 0
	case !strings.HasPrefix(p.encoding, "base64"):
		return len(p.body)
	}
	n := 0
	for _, c := range p.body {
		if isBase64(c) {
			n++
		}
	}
	return n / 4 * 3
}
