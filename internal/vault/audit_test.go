package vault_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/vault"
)

// searchFile looks for a secret in a file, in clear and encoded.
func searchFile(t *testing.T, path, plain string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte("client/")) {
		t.Fatal("the file does not even hold keys: the search proves nothing")
	}
	for _, form := range []string{
		plain, hex.EncodeToString([]byte(plain)), base64.StdEncoding.EncodeToString([]byte(plain))[:len(plain)],
	} {
		if bytes.Contains(bytes.ToLower(b), bytes.ToLower([]byte(form))) {
			t.Errorf("the file holds the secret as %q", form)
		}
	}
}

func entry(i int) vault.AuditEntry {
	return vault.AuditEntry{Actor: "uid 0", Event: "test", Mailbox: rossi, Version: i, Detail: fmt.Sprint(i)}
}

func TestAuditChain(t *testing.T) {
	onStores(t, func(t *testing.T, v *vault.Vault) {
		ctx := context.Background()
		if err := v.VerifyAudit(ctx); err != nil {
			t.Fatalf("empty log: %v", err)
		}
		for i := range 5 {
			update(t, v, func(tx *vault.Tx) error {
				return errors.Join(tx.Audit(entry(2*i)), tx.Audit(entry(2*i+1)))
			})
		}
		var log []vault.AuditEntry
		var seq int
		var hash string
		view(t, v, func(tx *vault.Tx) (err error) {
			if seq, hash, err = tx.AuditHead(); err != nil {
				return err
			}
			return tx.AuditLog(func(e vault.AuditEntry) error { log = append(log, e); return nil })
		})
		if len(log) != 10 || seq != 10 || log[9].Hash != hash {
			t.Fatalf("%d entries, head %d, want 10 with the head's hash", len(log), seq)
		}
		for i, e := range log {
			if e.Seq != i+1 || e.Version != i || e.At != now || e.Actor != "uid 0" || (i > 0 && e.Prev != log[i-1].Hash) {
				t.Errorf("entry %d: %+v", i, e)
			}
		}
		if err := v.VerifyAudit(ctx); err != nil {
			t.Errorf("VerifyAudit: %v", err)
		}
		// Against heads that were published.
		for _, e := range []vault.AuditEntry{log[0], log[4], log[9]} {
			if err := v.VerifyAuditHead(ctx, e.Seq, e.Hash); err != nil {
				t.Errorf("head %d: %v", e.Seq, err)
			}
		}
		wantBad(t, v.VerifyAuditHead(ctx, 4, log[4].Hash), 4)
		wantBad(t, v.VerifyAuditHead(ctx, 12, log[4].Hash), 11)
	})
}

func wantBad(t *testing.T, err error, seq int) {
	t.Helper()
	var bad *vault.AuditError
	if !errors.As(err, &bad) || !errors.Is(err, vault.ErrAudit) || bad.Seq != seq {
		t.Errorf("error %v, want an AuditError for entry %d", err, seq)
	}
}

// The first bad entry is named, whatever was done, and even where the checks
// of records were made right again.
func TestAuditTampered(t *testing.T) {
	key := func(i int) string { return fmt.Sprintf("audit/%012d", i) }
	edit := func(i int, rehash bool) func(kv vault.KV) error {
		return func(kv vault.KV) error {
			v, err := kv.Get(key(i))
			if err != nil {
				return err
			}
			hash, body, _ := bytes.Cut(v[8:], []byte("\n"))
			body = bytes.Replace(body, []byte(`"uid 0"`), []byte(`"uid 1"`), 1)
			if rehash {
				hash = []byte(vault.HashOf(body))
			}
			return kv.Put(key(i), vault.Frame(key(i), []byte(string(hash)+"\n"+string(body))))
		}
	}
	move := func(from, to int) func(kv vault.KV) error {
		return func(kv vault.KV) error {
			v, err := kv.Get(key(from))
			return errors.Join(err, kv.Put(key(to), vault.Frame(key(to), v[8:])))
		}
	}
	head := func(seq int, hash string) func(kv vault.KV) error {
		return func(kv vault.KV) error {
			b, _ := json.Marshal(map[string]any{"seq": seq, "hash": hash})
			return kv.Put("counter/audit", vault.Frame("counter/audit", b))
		}
	}
	tests := []struct {
		name   string
		change func(kv vault.KV) error
		bad    int
	}{
		{"first changed", edit(1, false), 1},
		{"changed", edit(4, false), 4},
		{"changed with its hash", edit(4, true), 5},
		{"last changed with its hash", edit(8, true), 9},
		{"changed with a broken check", func(kv vault.KV) error { return kv.Put(key(3), []byte("junkjunkjunk")) }, 3},
		{"removed", deleteKey(key(3)), 3},
		{"first removed", deleteKey(key(1)), 1},
		{"last removed", deleteKey(key(8)), 8},
		{"put in the place of another", move(2, 5), 5},
		{"added at the end", move(8, 9), 9},
		{"head set back", head(7, "00"), 9},
		{"no head", deleteKey("counter/audit"), 9},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options(t)
			v := mustOpen(t, o)
			update(t, v, func(tx *vault.Tx) error {
				for i := range 8 {
					if err := tx.Audit(entry(i)); err != nil {
						return err
					}
				}
				return nil
			})
			v.Close()
			raw(t, &o, test.change)
			o.SkipCheck = true
			wantBad(t, mustOpen(t, o).VerifyAudit(context.Background()), test.bad)
		})
	}
}

// A chain copied from another vault does not fit, though it is whole.
func TestAuditOfAnotherVault(t *testing.T) {
	first := func(o vault.Options) (line []byte) {
		v := mustOpen(t, o)
		update(t, v, func(tx *vault.Tx) error { return tx.Audit(entry(1)) })
		err := vault.RawStore(v).View(context.Background(), func(kv vault.KV) (err error) {
			line, err = kv.Get("audit/000000000001")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		v.Close()
		return line
	}
	foreign := first(options(t))
	o := options(t)
	first(o)
	raw(t, &o, func(kv vault.KV) error { return kv.Put("audit/000000000001", foreign) })
	o.SkipCheck = true
	wantBad(t, mustOpen(t, o).VerifyAudit(context.Background()), 1)
}

// The same reader, version and day is one entry; the count follows when the
// day is over.
func TestAuditReads(t *testing.T) {
	clock := now
	o := options(t)
	o.Now = func() time.Time { return clock }
	v := mustOpen(t, o)
	readBy := func(actor string, version, times int) {
		for range times {
			update(t, v, func(tx *vault.Tx) error { return tx.AuditRead(actor, rossi, rossi, version) })
		}
	}
	log := func() string {
		var lines []string
		view(t, v, func(tx *vault.Tx) error {
			return tx.AuditLog(func(e vault.AuditEntry) error {
				lines = append(lines, fmt.Sprintf("%s %s v%d %s x%d", e.Actor, e.Event, e.Version, e.Detail, e.Count))
				return nil
			})
		})
		return strings.Join(lines, "; ")
	}
	readBy("uid 1", 1, 5)
	readBy("uid 2", 1, 1)
	readBy("uid 1", 2, 2)
	want := "uid 1 credential.read v1  x1; uid 2 credential.read v1  x1; uid 1 credential.read v2  x1"
	if got := log(); got != want {
		t.Errorf("on the day:\ngot  %s\nwant %s", got, want)
	}
	if err := v.CloseReads(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := log(); got != want {
		t.Errorf("closing before the day is over:\ngot  %s\nwant %s", got, want)
	}
	clock = clock.Add(24 * time.Hour)
	readBy("uid 2", 1, 1) // closes what is over in passing
	want += "; uid 1 credential.reads v1 2026-11-22 x5; uid 1 credential.reads v2 2026-11-22 x2; uid 2 credential.read v1  x1"
	if got := log(); got != want {
		t.Errorf("next day:\ngot  %s\nwant %s", got, want)
	}
	// Many at once, closed by the daily job, in several transactions.
	for i := range 150 {
		readBy("uid 3", i+1, 2)
	}
	clock = clock.Add(24 * time.Hour)
	if err := v.CloseReads(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(log(), "uid 3 credential.reads"); got != 150 {
		t.Errorf("%d closed counts, want 150", got)
	}
	if err := v.VerifyAudit(context.Background()); err != nil {
		t.Error(err)
	}
}

// The clock set back must not lose or double a count.
func TestAuditReadsClockBack(t *testing.T) {
	clock := now
	o := options(t)
	o.Now = func() time.Time { return clock }
	v := mustOpen(t, o)
	for _, days := range []int{0, 0, 1, 1, 0, 1, 2} {
		clock = now.AddDate(0, 0, days)
		update(t, v, func(tx *vault.Tx) error { return tx.AuditRead("uid 1", rossi, rossi, 1) })
	}
	clock = now.AddDate(0, 0, 9)
	if err := v.CloseReads(context.Background()); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	view(t, v, func(tx *vault.Tx) error {
		return tx.AuditLog(func(e vault.AuditEntry) error { counts[e.Event] += e.Count; return nil })
	})
	// Four runs of reads: day 0 twice over (two, then one), day 1 (three), day
	// 2 (one). Those with more than one are closed with a count.
	if counts[vault.EventRead] != 4 || counts[vault.EventReads] != 5 {
		t.Errorf("counts %v, want 4 first reads and 5 in closed days", counts)
	}
	if err := v.VerifyAudit(context.Background()); err != nil {
		t.Error(err)
	}
}

// Appending costs the same however long the log is.
func TestAuditAppendTouchesTwoKeys(t *testing.T) {
	v := mustOpen(t, options(t))
	for range 30 {
		update(t, v, func(tx *vault.Tx) error {
			before, _ := tx.Room()
			if err := tx.Audit(entry(1)); err != nil {
				return err
			}
			after, _ := tx.Room()
			if before-after != 2 {
				t.Errorf("an entry touches %d keys, want 2: itself and the head", before-after)
			}
			return nil
		})
	}
}

// A read costs the same however many secrets were read on that day.
func TestAuditReadTouchesFewKeys(t *testing.T) {
	v := mustOpen(t, options(t))
	for i := range 60 {
		update(t, v, func(tx *vault.Tx) error {
			before, _ := tx.Room()
			err := tx.AuditRead("uid 1", rossi, rossi, i%20+1)
			after, _ := tx.Room()
			// The count; the day that was closed; entry and head.
			if n := before - after; n > 5 || i >= 20 && n != 1 {
				t.Errorf("read %d touches %d keys", i, n)
			}
			return err
		})
	}
}
