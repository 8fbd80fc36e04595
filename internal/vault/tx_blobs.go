package vault

import "fmt"

// Blob is a piece of a file that waits with a submission for a person: a
// picture, a document. It is sealed like a secret and destroyed when the
// submission is decided. Large files are several pieces, each small enough
// for one transaction.
type Blob struct {
	SubmissionID string `json:"submission_id"`
	File         int    `json:"file"`  // counted from 1
	Piece        int    `json:"piece"` // counted from 1
	Name         string `json:"name,omitempty"`
	Type         string `json:"type,omitempty"`
	Size         int    `json:"size"` // of the whole file, bytes
	Sealed       []byte `json:"sealed"`
	Label        Label  `json:"label"`
}

// BlobPiece is how many bytes of a file go into one piece.
const BlobPiece = 400 << 10

func blobKey(id string, file, piece int) (string, error) {
	short, err := idKey("blob", id)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s\x00%02d\x00%03d", short, file, piece), nil
}

// PutBlob stores one piece.
func (tx *Tx) PutBlob(b Blob) error {
	key, err := blobKey(b.SubmissionID, b.File, b.Piece)
	if err != nil {
		return err
	}
	return put(tx, key, b)
}

// Blobs returns the pieces kept with a submission, in order.
func (tx *Tx) Blobs(id string) ([]Blob, error) {
	short, err := idKey("blob", id)
	if err != nil {
		return nil, err
	}
	return all[Blob](tx, short+"\x00")
}

// DeleteBlobs destroys all that is kept with a submission.
func (tx *Tx) DeleteBlobs(id string) error {
	short, err := idKey("blob", id)
	if err != nil {
		return err
	}
	var keys []string // they may be megabytes, of which nothing is needed
	err = tx.kv.Scan(short+"\x00", func(key string, _ []byte) error {
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := tx.kv.Delete(key); err != nil {
			return err
		}
	}
	return nil
}
