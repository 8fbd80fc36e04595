package ingest

import (
	"context"
	"fmt"
	"slices"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/submission"
	"pec-ingest/internal/vault"
)

// maxFiles is how much of a letter's pictures and documents is kept for the
// person who decides; what is larger stays in the inbox alone.
const maxFiles = 6 << 20

// keepFiles seals the pictures and documents of a letter that may have to be
// looked at, before its first commit: a crash in between leaves pieces that
// the same message overwrites when it is judged again.
func (p *pass) keepFiles(ctx context.Context, sub vault.Submission, msg *pec.Message) error {
	if p.opts.DryRun || sub.Reason == ReviewUnlisted || sub.Reason == ReviewStrangeAddress ||
		sub.Find != string(submission.Intended) && sub.Find != string(submission.Ambiguous) {
		return nil
	}
	files, more := submission.Attachments(msg, maxFiles)
	if more {
		p.log.Info("some attachments are too large to be kept for review", "event", "review.files_left", "uid", sub.Location.UID)
	}
	for i, f := range files {
		piece := 0
		for part := range slices.Chunk(f.Data, vault.BlobPiece) {
			piece++
			b := vault.Blob{SubmissionID: sub.ID, File: i + 1, Piece: piece, Name: safetext.LineN(f.Name, 100), Type: safetext.LineN(f.Type, 100), Size: len(f.Data),
				Label: vault.Label{Mailbox: sub.Mailbox, Login: sub.Login, Source: fmt.Sprintf("%s/%d/%d", sub.ID, i+1, piece)}}
			var err error
			if b.Sealed, err = p.vault.SealBlob(b.Label, part); err != nil {
				return err
			}
			if err := p.vault.Update(ctx, func(tx *vault.Tx) error { return tx.PutBlob(b) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// ReviewFileInfo is one picture or document of an item in review.
type ReviewFileInfo struct {
	N    int    `json:"n"`
	Name string `json:"name"`
	Type string `json:"type"`
	Size int    `json:"size"`
}

func fileInfos(tx *vault.Tx, id string) ([]ReviewFileInfo, error) {
	blobs, err := tx.Blobs(id)
	if err != nil {
		return nil, err
	}
	infos := []ReviewFileInfo{}
	for _, b := range blobs {
		if b.Piece == 1 {
			infos = append(infos, ReviewFileInfo{N: b.File, Name: b.Name, Type: b.Type, Size: b.Size})
		}
	}
	return infos, nil
}

// ReviewFile gives the content of one file of an item: like revealing the
// letter a right of its own, and audited.
func (s *Service) ReviewFile(ctx context.Context, actor string, n, file int) (ReviewFileInfo, []byte, error) {
	_, r, sub, err := s.reviewItem(ctx, n)
	if err != nil {
		return ReviewFileInfo{}, nil, err
	}
	var blobs []vault.Blob
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		if blobs, err = tx.Blobs(sub.ID); err != nil {
			return err
		}
		return tx.Audit(vault.AuditEntry{Actor: actor, Event: "review.revealed", Mailbox: r.Mailbox, Login: r.Login, Detail: fmt.Sprintf("n=%d file=%d", n, file)})
	})
	if err != nil {
		return ReviewFileInfo{}, nil, err
	}
	var info ReviewFileInfo
	var data []byte
	for _, b := range blobs {
		if b.File != file {
			continue
		}
		plain, err := s.vault.UnsealBlob(b.Label, b.Sealed)
		if err != nil {
			return info, nil, &Error{Class: NoVault, Code: CodeNoKey, Msg: "opening a sealed file", Err: err}
		}
		info = ReviewFileInfo{N: b.File, Name: b.Name, Type: b.Type, Size: b.Size}
		data = append(data, plain...)
		clear(plain)
	}
	if info.N == 0 {
		return info, nil, notFound("item %d has no file %d", n, file).hint("`ingest review show %d` lists them", n)
	}
	return info, data, nil
}
