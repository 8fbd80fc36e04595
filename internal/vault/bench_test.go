package vault_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// judged is what the first commit stores for one submission.
func judged(tx *vault.Tx, sealed []byte, i int) error {
	id := fmt.Sprintf("opec%06d@pec.example", i)
	m := fmt.Sprintf("client%d@pec.example", i)
	l := vault.Label{Mailbox: m, Login: m, Version: 1, Source: id}
	return errors.Join(
		tx.PutSeen(vault.Seen{ID: id, At: now, Verdict: "submission", Folder: "INBOX", UID: uint32(i)}),
		tx.PutSubmission(vault.Submission{ID: id, Mailbox: m, Login: m, ReceivedAt: now, Stage: vault.StageJudged,
			Find: "found", Candidates: []vault.Candidate{{Where: "text/plain:3", Length: 12, Sealed: sealed, Label: l}}}),
		tx.PutCredential(vault.Credential{Mailbox: m, Login: m, Last: 1, Current: 1, OrderAt: now, OrderID: id}),
		tx.PutVersion(vault.Version{Mailbox: m, Login: m, N: 1, Label: l, Sealed: sealed, ReceivedAt: now}),
		tx.Audit(vault.AuditEntry{Actor: "service", Event: "credential.judged", Mailbox: m}))
}

// firstPass stores n submissions, per of them in a transaction.
func firstPass(tb testing.TB, n, per int) time.Duration {
	tb.Helper()
	v := mustOpen(tb, options(tb))
	sealed, err := v.Seal(vault.Label{}, secret.FromString("segretissima"))
	if err != nil {
		tb.Fatal(err)
	}
	start := time.Now()
	for i := 0; i < n; i += per {
		err := v.Update(context.Background(), func(tx *vault.Tx) error {
			for j := i; j < min(i+per, n); j++ {
				if err := judged(tx, sealed, j); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return time.Since(start)
}

// perTransaction is how many submissions fit the limits of one transaction.
const perTransaction = 16

// BenchmarkFirstPass compares a first pass committed in batches with one
// committed message by message, as a ratio.
func BenchmarkFirstPass(b *testing.B) {
	const messages = 320
	var single, batched time.Duration
	for b.Loop() {
		single += firstPass(b, messages, 1)
		batched += firstPass(b, messages, perTransaction)
	}
	b.ReportMetric(float64(single)/float64(batched), "times-faster")
	b.ReportMetric(float64(batched.Microseconds())/float64(b.N*messages), "µs/message")
	b.ReportMetric(0, "ns/op")
}

// grown makes a vault of a studio after years: n clients with two versions
// each and 20 messages and 40 audit entries a client. It returns its size.
func grown(tb testing.TB, n int) (vault.Options, int) {
	o := options(tb)
	v := mustOpen(tb, o)
	sealed, err := v.Seal(vault.Label{}, secret.FromString("segretissima"))
	if err != nil {
		tb.Fatal(err)
	}
	for i := range n {
		update(tb, v, func(tx *vault.Tx) error {
			if err := judged(tx, sealed, i); err != nil {
				return err
			}
			for j := range 40 {
				e := vault.AuditEntry{Actor: "uid 1000 (rossi)", Event: vault.EventRead, Mailbox: mailboxOf(i), Login: mailboxOf(i), Version: 1}
				if err := tx.Audit(e); err != nil {
					return err
				}
				if j%2 == 0 {
					if err := tx.PutSeen(vault.Seen{ID: fmt.Sprintf("old%d.%d@pec.example", i, j), At: now, Verdict: strings.Repeat("x", 20)}); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	v.Close()
	info, err := os.Stat(o.Path)
	if err != nil {
		tb.Fatal(err)
	}
	o.Create = false
	return o, int(info.Size())
}

// BenchmarkOpen opens the vault of 1,000 clients, as each command does when
// no daemon runs.
func BenchmarkOpen(b *testing.B) {
	o, size := grown(b, 1000)
	for _, skip := range []bool{false, true} {
		b.Run(fmt.Sprintf("skipCheck=%t", skip), func(b *testing.B) {
			o.SkipCheck = skip
			for b.Loop() {
				v, err := vault.Open(o)
				if err != nil {
					b.Fatal(err)
				}
				v.Close()
			}
			b.ReportMetric(float64(size)/1e6, "MB")
		})
	}
}

// BenchmarkGet reads and unseals one password of 1,000 clients.
func BenchmarkGet(b *testing.B) {
	v := mustOpen(b, options(b))
	fill(b, v, 1000)
	i := 0
	for b.Loop() {
		if _, err := read(v, mailboxOf(i%1000)); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
