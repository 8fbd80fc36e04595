package submission

import "pec-ingest/internal/pec"

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
		data := decodeBody(p)
		if len(data) > limit || len(files) == most {
			more = true
			continue
		}
		limit -= len(data)
		files = append(files, Attachment{Name: p.name, Type: p.mediaType, Data: data})
	}
	return files, more
}
