package vault_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
)

// model is the vault as maps: what random operations on a vault must look like.
type model struct {
	clients  map[string]vault.Client
	creds    map[string]vault.Credential
	versions map[string][]vault.Version
	plain    map[string]string // mailbox/n → password
	subs     map[string]vault.Submission
	holes    map[uint32]vault.Hole
	outbox   []vault.Outgoing
	causes   map[string]bool
	audit    int
}

func newModel() *model {
	return &model{
		clients:  map[string]vault.Client{},
		creds:    map[string]vault.Credential{},
		versions: map[string][]vault.Version{},
		plain:    map[string]string{},
		subs:     map[string]vault.Submission{},
		holes:    map[uint32]vault.Hole{},
		causes:   map[string]bool{},
	}
}

var (
	someMailbox = rapid.SampledFrom([]string{"a@x.it", "a@x.it.example", "ab@x.it", "b@x.it"})
	someID      = rapid.SampledFrom([]string{"opec1", "opec10", "opec2/x", "opec\x01"})
	someTime    = rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(1_700_000_000, 1_900_000_000).Draw(t, "unix"), 0).UTC()
	})
)

// Random operations on the vault and on the model give the same; also after
// closing and opening, and after a transaction that fails half way.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := options(t)
		o.Path = filepath.Join(t.TempDir(), "state", "vault.db")
		doubled := rapid.Bool().Draw(rt, "closures run twice")
		runModel(rt, func() (*vault.Vault, error) {
			return vault.OpenWrapped(o, func(s vault.Store) vault.Store {
				if doubled {
					return twice{t, s}
				}
				return s
			})
		})
	})
}

// The same on etcd.
func TestModelOnEtcd(t *testing.T) {
	servertest.SharedEtcd(t)
	const few = "30" // runs: each operation goes over the network
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	if before == checks.DefValue {
		if err := checks.Value.Set(few); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = checks.Value.Set(before) }()
	}
	rapid.Check(t, func(rt *rapid.T) {
		o, store := options(t), onEtcd(t)
		runModel(rt, func() (*vault.Vault, error) { return vault.OpenStore(context.Background(), store(), o) })
	})
}

func runModel(rt *rapid.T, openVault func() (*vault.Vault, error)) {
	open := func() *vault.Vault {
		v, err := openVault()
		if err != nil {
			rt.Fatalf("Open: %v", err)
		}
		return v
	}
	v := open()
	defer func() { v.Close() }()
	m := newModel()
	update := func(fn func(tx *vault.Tx) error) {
		if err := v.Update(context.Background(), fn); err != nil {
			rt.Fatalf("Update: %v", err)
		}
	}
	rt.Repeat(map[string]func(*rapid.T){
		"client": func(rt *rapid.T) {
			c := vault.Client{Mailbox: someMailbox.Draw(rt, "mailbox"), Name: rapid.String().Draw(rt, "name"), AddedAt: someTime.Draw(rt, "added")}
			update(func(tx *vault.Tx) error { return tx.PutClient(c) })
			m.clients[c.Mailbox] = c
		},
		"version": func(rt *rapid.T) {
			mb, pw := someMailbox.Draw(rt, "mailbox"), rapid.StringN(1, 20, 60).Draw(rt, "password")
			c := m.creds[mb]
			c.Mailbox, c.Login, c.Last, c.Current = mb, mb, c.Last+1, c.Last+1
			l := vault.Label{Mailbox: mb, Login: mb, Version: c.Last}
			sealed, err := v.Seal(l, secret.FromString(pw))
			if err != nil {
				rt.Fatal(err)
			}
			ver := vault.Version{Mailbox: mb, Login: mb, N: c.Last, Label: l, Sealed: sealed, ReceivedAt: someTime.Draw(rt, "received")}
			update(func(tx *vault.Tx) error {
				if err := tx.PutCredential(c); err != nil {
					return err
				}
				return tx.PutVersion(ver)
			})
			m.creds[mb] = c
			m.versions[mb] = append(m.versions[mb], ver)
			m.plain[fmt.Sprint(mb, c.Last)] = pw
		},
		"submission": func(rt *rapid.T) {
			s := vault.Submission{ID: someID.Draw(rt, "id"), Mailbox: someMailbox.Draw(rt, "mailbox"),
				Stage: rapid.SampledFrom([]string{vault.StageJudged, vault.StageSettled}).Draw(rt, "stage"),
				Filed: rapid.SampledFrom([]string{"", "moved"}).Draw(rt, "filed")}
			update(func(tx *vault.Tx) error { return tx.PutSubmission(s) })
			m.subs[s.ID] = s
		},
		"hole": func(rt *rapid.T) {
			h := vault.Hole{Folder: "INBOX", UID: rapid.Uint32Range(1, 5).Draw(rt, "uid"), Tries: rapid.IntRange(0, 9).Draw(rt, "tries")}
			if rapid.Bool().Draw(rt, "delete") {
				update(func(tx *vault.Tx) error { return tx.DeleteHole("INBOX", h.UID) })
				delete(m.holes, h.UID)
				return
			}
			update(func(tx *vault.Tx) error { return tx.PutHole(h) })
			m.holes[h.UID] = h
		},
		"queue": func(rt *rapid.T) {
			cause := "reply/" + someID.Draw(rt, "id")
			var n int
			var queued bool
			update(func(tx *vault.Tx) (err error) {
				n, queued, err = tx.Queue(vault.Outgoing{Cause: cause, QueuedAt: now})
				return err
			})
			if queued == m.causes[cause] {
				rt.Fatalf("queued = %t, want %t", queued, !m.causes[cause])
			}
			m.causes[cause] = true
			if queued {
				m.outbox = append(m.outbox, vault.Outgoing{N: n, Cause: cause, State: vault.OutQueued, QueuedAt: now})
			}
		},
		"send": func(rt *rapid.T) {
			if len(m.outbox) == 0 {
				return
			}
			o := &m.outbox[rapid.IntRange(0, len(m.outbox)-1).Draw(rt, "message")]
			o.State = rapid.SampledFrom([]string{vault.OutSent, vault.OutInDoubt, vault.OutQueued}).Draw(rt, "state")
			update(func(tx *vault.Tx) error { return tx.PutOutgoing(*o) })
		},
		"audit": func(*rapid.T) {
			update(func(tx *vault.Tx) error { return tx.Audit(vault.AuditEntry{Actor: "a", Event: "e"}) })
			m.audit++
		},
		"fail": func(*rapid.T) {
			err := v.Update(context.Background(), func(tx *vault.Tx) error {
				for _, mb := range []string{"a@x.it", "b@x.it"} {
					if err := tx.PutClient(vault.Client{Mailbox: mb, Name: "never"}); err != nil {
						return err
					}
				}
				return context.Canceled
			})
			if err == nil {
				rt.Fatal("a failing transaction did not fail")
			}
		},
		"reopen": func(rt *rapid.T) {
			if err := v.Close(); err != nil {
				rt.Fatal(err)
			}
			v = open()
			m.comparePasswords(rt, v)
		},
		"": func(rt *rapid.T) { m.compare(rt, v) },
	})
}

func (m *model) compare(rt *rapid.T, v *vault.Vault) {
	err := v.View(context.Background(), func(tx *vault.Tx) error {
		var clients []vault.Client
		if err := tx.Clients(func(c vault.Client) error { clients = append(clients, c); return nil }); err != nil {
			return err
		}
		equal(rt, "clients", clients, byKey(m.clients))
		for mb, want := range m.versions {
			got, err := tx.Versions(mb, mb)
			if err != nil {
				return err
			}
			equal(rt, "versions", got, want)
		}
		creds, err := tx.CredentialsOf("a@x.it")
		if err != nil {
			return err
		}
		var want []vault.Credential
		if c, ok := m.creds["a@x.it"]; ok {
			want = append(want, c)
		}
		equal(rt, "credentials of one mailbox", creds, want)
		holes, err := tx.Holes("INBOX")
		if err != nil {
			return err
		}
		equal(rt, "holes", holes, byKey(m.holes))
		open, err := tx.OpenOutgoing()
		if err != nil {
			return err
		}
		equal(rt, "open messages", len(open), m.openMessages())
		subs, err := tx.OpenSubmissions()
		if err != nil {
			return err
		}
		equal(rt, "open submissions", len(subs), m.openSubmissions())
		seq, _, err := tx.AuditHead()
		equal(rt, "audit entries", seq, m.audit)
		return err
	})
	if err != nil {
		rt.Fatal(err)
	}
	if err := v.VerifyAudit(context.Background()); err != nil {
		rt.Fatal(err)
	}
}

// comparePasswords unseals the newest password of each mailbox.
func (m *model) comparePasswords(rt *rapid.T, v *vault.Vault) {
	for mb, vers := range m.versions {
		last := vers[len(vers)-1]
		s, err := v.Unseal(last.Label, last.Sealed)
		if err != nil || s.RevealString() != m.plain[fmt.Sprint(mb, last.N)] {
			rt.Fatalf("password of %s: %v, or another", mb, err)
		}
	}
}

func (m *model) openMessages() (n int) {
	for _, o := range m.outbox {
		if o.State != vault.OutSent {
			n++
		}
	}
	return n
}

func (m *model) openSubmissions() (n int) {
	for _, s := range m.subs {
		if s.Stage != vault.StageSettled || s.Filed == "" {
			n++
		}
	}
	return n
}

// byKey lists a map in the order of its keys.
func byKey[K string | uint32, V any](m map[K]V) []V {
	var list []V
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[k])
	}
	return list
}

func equal[T any](rt *rapid.T, what string, got, want T) {
	if d := cmp.Diff(want, got); d != "" {
		rt.Fatalf("%s differ (-want +got):\n%s", what, d)
	}
}
