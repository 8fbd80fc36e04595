package vault_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"pec-ingest/internal/vault"
)

// Many goroutines at once: every increment counts, and no reader ever sees a
// half-done change.
func TestConcurrency(t *testing.T) {
	onStores(t, func(t *testing.T, v *vault.Vault) {
		const writers, rounds, readers = 4, 10, 4
		ctx := context.Background()
		var writing, reading sync.WaitGroup
		var done atomic.Bool
		for w := range writers {
			writing.Go(func() {
				for range rounds {
					err := v.Update(ctx, func(tx *vault.Tx) error {
						a, _, err := tx.Attempts("a@x")
						if err != nil {
							return err
						}
						// Two records that always agree.
						return errors.Join(
							tx.PutAttempts(vault.Attempts{Mailbox: "a@x", Refusals: a.Refusals + 1}),
							tx.PutAttempts(vault.Attempts{Mailbox: "b@x", Refusals: a.Refusals + 1}),
							tx.Audit(vault.AuditEntry{Actor: fmt.Sprint(w), Event: "x"}))
					})
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range readers {
			reading.Go(func() {
				for !done.Load() {
					err := v.View(ctx, func(tx *vault.Tx) error {
						a, _, err1 := tx.Attempts("a@x")
						b, _, err2 := tx.Attempts("b@x")
						if a.Refusals != b.Refusals {
							return fmt.Errorf("a reader saw %d and %d", a.Refusals, b.Refusals)
						}
						return errors.Join(err1, err2)
					})
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		writing.Wait()
		done.Store(true)
		reading.Wait()
		view(t, v, func(tx *vault.Tx) error {
			a, _, err := tx.Attempts("a@x")
			if a.Refusals != writers*rounds {
				t.Errorf("counted %d, want %d", a.Refusals, writers*rounds)
			}
			return err
		})
		if err := v.VerifyAudit(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestCancelled(t *testing.T) {
	v := mustOpen(t, options(t))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ran := false
	fn := func(*vault.Tx) error { ran = true; return nil }
	if err := v.Update(ctx, fn); !errors.Is(err, context.Canceled) || ran {
		t.Errorf("Update: %v, ran %t, want Canceled and not run", err, ran)
	}
	if err := v.View(ctx, fn); !errors.Is(err, context.Canceled) || ran {
		t.Errorf("View: %v, ran %t, want Canceled and not run", err, ran)
	}
}

// A panic in a closure leaves no transaction open.
func TestPanicInClosure(t *testing.T) {
	v := mustOpen(t, options(t))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = v.Update(context.Background(), func(tx *vault.Tx) error {
			_ = tx.PutClient(vault.Client{Mailbox: rossi})
			panic("oops")
		})
	}()
	update(t, v, func(tx *vault.Tx) error {
		absent(tx.Client(rossi))(t)
		return nil
	})
}
