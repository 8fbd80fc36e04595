package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// sealedOfEachKind stores n versions, a submission with candidates and a
// review with a large letter; it returns how many sealed texts that are.
func sealedOfEachKind(t *testing.T, v *vault.Vault, n int) int {
	t.Helper()
	fill(t, v, n)
	l := vault.Label{Mailbox: rossi, Source: "opec9"}
	one, err1 := v.Seal(l, secret.FromString("uno"))
	two, err2 := v.Seal(l, secret.FromString("due"))
	letter, err3 := v.SealBlob(l, bytes.Repeat([]byte("lettera "), 40_000))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	update(t, v, func(tx *vault.Tx) error {
		return tx.PutSubmission(vault.Submission{ID: "opec9", Mailbox: rossi, Stage: vault.StageJudged,
			Candidates: []vault.Candidate{{Sealed: one, Label: l}, {Label: l}, {Sealed: two, Label: l}}})
	})
	for range 4 { // together more than one transaction holds
		update(t, v, func(tx *vault.Tx) error {
			_, err := tx.AddReview(vault.Review{Mailbox: rossi, Letter: letter, LetterLabel: l})
			return err
		})
	}
	update(t, v, func(tx *vault.Tx) error { // one whose secret is destroyed
		return tx.PutVersion(vault.Version{Mailbox: rossi, Login: rossi, N: 1})
	})
	for piece := 1; piece <= 2; piece++ {
		fl := vault.Label{Mailbox: rossi, Login: "file", Version: piece, Source: "opec9"}
		sealed, err := v.SealBlob(fl, bytes.Repeat([]byte{byte(piece)}, vault.BlobPiece))
		if err != nil {
			t.Fatal(err)
		}
		update(t, v, func(tx *vault.Tx) error {
			return tx.PutBlob(vault.Blob{SubmissionID: "opec9", File: 1, Piece: piece, Size: 2 * vault.BlobPiece, Sealed: sealed, Label: fl})
		})
	}
	return n + 2 + 4 + 2
}

// opensAll demands that the vault's identity opens everything.
func opensAll(t *testing.T, v *vault.Vault, n int) {
	t.Helper()
	for i := range n {
		if got, err := read(v, mailboxOf(i)); got != passwordOf(i) || err != nil {
			t.Errorf("password %d: %q, %v", i, got, err)
		}
	}
	view(t, v, func(tx *vault.Tx) error {
		s, _, err := tx.Submission("opec9")
		if err != nil {
			return err
		}
		for i, want := range map[int]string{0: "uno", 2: "due"} {
			if got, err := v.Unseal(s.Candidates[i].Label, s.Candidates[i].Sealed); err != nil || got.RevealString() != want {
				t.Errorf("candidate %d: %v", i, err)
			}
		}
		blobs, err := tx.Blobs("opec9")
		if err != nil || len(blobs) != 2 {
			t.Errorf("got %d pieces of the file, %v, want 2", len(blobs), err)
		}
		for _, blob := range blobs {
			b, err := v.UnsealBlob(blob.Label, blob.Sealed)
			if err != nil || !bytes.Equal(b, bytes.Repeat([]byte{byte(blob.Piece)}, vault.BlobPiece)) {
				t.Errorf("piece %d: %d bytes, %v", blob.Piece, len(b), err)
			}
		}
		return tx.Reviews(func(r vault.Review) error {
			b, err := v.UnsealBlob(r.LetterLabel, r.Letter)
			if err != nil || len(b) != 320_000 {
				t.Errorf("letter %d: %d bytes, %v", r.N, len(b), err)
			}
			return nil
		})
	})
}

// A recovery key is added: before the rekeying it opens nothing, after it
// everything; and the vault says so.
func TestRekey(t *testing.T) {
	ctx := context.Background()
	const n = 50
	o := options(t)
	v := mustOpen(t, o)
	texts := sealedOfEachKind(t, v, n)
	if need, err := v.NeedsRekey(ctx); need || err != nil {
		t.Errorf("NeedsRekey at first: %t, %v", need, err)
	}
	v.Close()

	recovery := newKeys(t)
	o.Recipients = append(bytes.Clone(o.Recipients), recovery.recipient...)
	v = mustOpen(t, o)
	if need, err := v.NeedsRekey(ctx); !need || err != nil {
		t.Errorf("NeedsRekey with one more: %t, %v", need, err)
	}
	if err := v.ProveIdentity(ctx, recovery.identity); !errors.Is(err, vault.ErrWrongKey) {
		t.Errorf("recovery key before: %v, want ErrWrongKey", err)
	}
	got, err := v.Rekey(ctx)
	if err != nil || got != texts {
		t.Fatalf("Rekey: %d texts, %v, want %d", got, err, texts)
	}
	if need, err := v.NeedsRekey(ctx); need || err != nil {
		t.Errorf("NeedsRekey after: %t, %v", need, err)
	}
	if err := v.ProveIdentity(ctx, recovery.identity); err != nil {
		t.Errorf("recovery key after: %v", err)
	}
	if _, err := v.Check(ctx); err != nil {
		t.Errorf("Check: %v", err)
	}
	opensAll(t, v, n)
	v.Close()

	// The recovery key alone opens it, and the service key is dropped.
	o.Identity, o.Recipients = recovery.identity, recovery.recipient
	v = mustOpen(t, o)
	opensAll(t, v, n)
	if _, err := v.Rekey(ctx); err != nil {
		t.Fatal(err)
	}
	opensAll(t, v, n)
}

// Interrupted anywhere, everything still opens, and running it again ends it.
func TestRekeyInterrupted(t *testing.T) {
	const n = 20
	for stop := 1; ; stop++ {
		o := options(t)
		v := mustOpen(t, o)
		sealedOfEachKind(t, v, n)
		v.Close()
		recovery := newKeys(t)
		o.Recipients = append(bytes.Clone(o.Recipients), recovery.recipient...)
		left := stop
		v, err := vault.OpenWrapped(o, func(s vault.Store) vault.Store { return &stopping{s, &left} })
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Rekey(context.Background())
		if err == nil {
			if stop < 4 {
				t.Errorf("done after %d transactions: nothing was interrupted", stop)
			}
			v.Close()
			return
		}
		if !errors.Is(err, errStopped) {
			t.Fatalf("stopped at %d: %v", stop, err)
		}
		v.Close()
		v = mustOpen(t, o)
		opensAll(t, v, n)
		if need, _ := v.NeedsRekey(context.Background()); !need {
			t.Errorf("stopped at %d: the vault says it is done", stop)
		}
		if _, err := v.Rekey(context.Background()); err != nil {
			t.Fatalf("stopped at %d, again: %v", stop, err)
		}
		opensAll(t, v, n)
		v.Close()
	}
}

var errStopped = errors.New("stopped")

// stopping is a store that fails after so many Updates.
type stopping struct {
	vault.Store
	left *int
}

func (s *stopping) Update(ctx context.Context, fn func(vault.KV) error) error {
	if *s.left--; *s.left < 0 {
		return errStopped
	}
	return s.Store.Update(ctx, fn)
}

func TestRekeyNeedsKeys(t *testing.T) {
	o := made(t)
	o.Identity = nil
	v := mustOpen(t, o)
	if _, err := v.Rekey(context.Background()); !errors.Is(err, vault.ErrNoIdentity) {
		t.Errorf("without identity: %v, want ErrNoIdentity", err)
	}
	if err := v.ProveIdentity(context.Background(), nil); !errors.Is(err, vault.ErrIdentityMissing) {
		t.Errorf("no identity to prove: %v, want ErrIdentityMissing", err)
	}
}

// A record that does not open stops the rekeying and stays as it is.
func TestRekeyStopsAtBadRecord(t *testing.T) {
	o := options(t)
	v := mustOpen(t, o)
	fill(t, v, 3)
	update(t, v, func(tx *vault.Tx) error {
		ver, _, err := tx.Version(mailboxOf(1), mailboxOf(1), 1)
		if err != nil {
			return err
		}
		ver.Label.Version = 9 // sealed as 1
		return tx.PutVersion(ver)
	})
	_, err := v.Rekey(context.Background())
	if !errors.Is(err, vault.ErrSwapped) {
		t.Errorf("error %v, want ErrSwapped", err)
	}
	if s := fmt.Sprint(err); bytes.Contains([]byte(s), []byte(mailboxOf(1))) {
		t.Errorf("the error holds an address: %s", s)
	}
}
