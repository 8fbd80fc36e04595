package provider_test

import (
	"errors"
	"testing"

	"pec-ingest/internal/provider"
)

func TestWithAddsAProvider(t *testing.T) {
	table, err := provider.Builtin().With([]provider.Override{{
		ID: "test", Signer: "Posta-Certificata@pec.test.example",
		IMAP: "127.0.0.1:10993", TLSCAFile: "/etc/tls.pem", ValidityDays: 90,
	}})
	if err != nil {
		t.Fatal(err)
	}
	p, ok := table.BySigner("posta-certificata@pec.test.example")
	if !ok || p.ID != "test" || p.Kind != provider.KindPEC || p.Login != provider.LoginAddress || p.Name != "test" {
		t.Fatalf("found %v: %+v", ok, p)
	}
	if p.IMAP.Addr() != "127.0.0.1:10993" || p.IMAP.TLS != provider.TLSImplicit || p.TLSCAFile != "/etc/tls.pem" || p.ValidityDays != 90 {
		t.Errorf("got %+v", p)
	}
	if _, ok := provider.Builtin().ByID("test"); ok {
		t.Error("the built-in table changed")
	}
}

func TestWithMergesOverAnEqualID(t *testing.T) {
	table, err := provider.Builtin().With([]provider.Override{{ID: "aruba-pec", ValidityDays: 180, SMTP: "relay.example.it", Login: "user-id"}})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := table.ByID("aruba-pec")
	if p.ValidityDays != 180 || p.ValidityConfirmed != "" || p.SMTP.Addr() != "relay.example.it:465" || p.Login != provider.LoginUserID {
		t.Errorf("overridden fields: %+v", p)
	}
	if p.IMAP.Addr() != "imaps.pec.aruba.it:993" || p.Name != "Aruba PEC" || len(p.Steps["it"]) == 0 || len(p.Signers) != 1 {
		t.Errorf("fields left alone: %+v", p)
	}
	if len(table.All()) != len(provider.Builtin().All()) {
		t.Errorf("got %d rows, want as many as before", len(table.All()))
	}
}

func TestSignerOfAnOverrideWins(t *testing.T) {
	const signer = "posta-certificata@pec.aruba.it"
	table, err := provider.Builtin().With([]provider.Override{{ID: "mine", Signer: signer, IMAP: "imap.mine.example"}})
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := table.BySigner(signer); p.ID != "mine" || p.IMAP.Addr() != "imap.mine.example:993" {
		t.Errorf("got %+v, want mine", p)
	}
	if p, _ := table.ByID("aruba-pec"); len(p.Signers) != 0 {
		t.Errorf("the former owner still has %q", p.Signers)
	}
	if p, _ := provider.Builtin().BySigner(signer); p.ID != "aruba-pec" {
		t.Errorf("the built-in table changed: %q", p.ID)
	}
}

// A second signer of a known provider keeps the first.
func TestSignerIsAdded(t *testing.T) {
	table, err := provider.Builtin().With([]provider.Override{{ID: "aruba-pec", Signer: "posta-certificata@new.example"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"posta-certificata@new.example", "posta-certificata@pec.aruba.it"} {
		if p, _ := table.BySigner(s); p.ID != "aruba-pec" {
			t.Errorf("%s: got %q", s, p.ID)
		}
	}
}

func TestWithRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		over []provider.Override
		want error
	}{
		{"no id", []provider.Override{{Name: "x"}}, provider.ErrInvalid},
		{"bad id", []provider.Override{{ID: "Aruba PEC"}}, provider.ErrInvalid},
		{"same id twice", []provider.Override{{ID: "a"}, {ID: "a"}}, provider.ErrDuplicate},
		{"same signer twice", []provider.Override{{ID: "a", Signer: "x@y.it"}, {ID: "b", Signer: "X@y.it"}}, provider.ErrDuplicate},
		{"signer no address", []provider.Override{{ID: "a", Signer: "pec.example.it"}}, provider.ErrInvalid},
		{"port zero", []provider.Override{{ID: "a", IMAP: "h.example:0"}}, provider.ErrInvalid},
		{"port too large", []provider.Override{{ID: "a", SMTP: "h.example:65536"}}, provider.ErrInvalid},
		{"port a word", []provider.Override{{ID: "a", IMAP: "h.example:imaps"}}, provider.ErrInvalid},
		{"host with a blank", []provider.Override{{ID: "a", IMAP: "h example:993"}}, provider.ErrInvalid},
		{"a URL", []provider.Override{{ID: "a", IMAP: "imaps://h.example:993"}}, provider.ErrInvalid},
		{"host with an underscore", []provider.Override{{ID: "a", IMAP: "mail_server:993"}}, provider.ErrInvalid},
		{"login", []provider.Override{{ID: "a", Login: "name"}}, provider.ErrInvalid},
		{"negative validity", []provider.Override{{ID: "a", ValidityDays: -1}}, provider.ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, err := provider.Builtin().With(c.over)
			if !errors.Is(err, c.want) || table != nil {
				t.Errorf("got %v, %v, want nil and %v", table, err, c.want)
			}
		})
	}
}

// A new host must not inherit the private root of the old one.
func TestPrivateRootBelongsToItsHost(t *testing.T) {
	first, err := provider.Builtin().With([]provider.Override{{ID: "a", IMAP: "old.example", TLSCAFile: "/old.pem"}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := first.With([]provider.Override{{ID: "a", IMAP: "new.example"}})
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := second.ByID("a"); p.TLSCAFile != "" || p.IMAP.Host != "new.example" {
		t.Errorf("got %+v", p)
	}
}

func TestHostsOfOneLabel(t *testing.T) {
	for in, want := range map[string]string{
		"localhost:1993": "localhost:1993",
		"mailserver":     "mailserver:993",
		"MAIL.example":   "mail.example:993",
		"[::1]:993":      "[::1]:993",
		"::1":            "[::1]:993",
	} {
		table, err := provider.Builtin().With([]provider.Override{{ID: "a", IMAP: in}})
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if p, _ := table.ByID("a"); p.IMAP.Addr() != want {
			t.Errorf("%s: got %q, want %q", in, p.IMAP.Addr(), want)
		}
	}
}

func FuzzOverride(f *testing.F) {
	f.Add("test", "posta-certificata@pec.test.example", "127.0.0.1:10993", "h.example", "address")
	f.Add("aruba-pec", "", "[::1]:993", "", "")
	f.Fuzz(func(t *testing.T, id, signer, imap, smtp, login string) {
		table, err := provider.Builtin().With([]provider.Override{{ID: id, Signer: signer, IMAP: imap, SMTP: smtp, Login: login}})
		if (table == nil) == (err == nil) {
			t.Fatalf("table %v, error %v", table, err)
		}
		if err != nil {
			return
		}
		p, ok := table.ByID(id)
		if !ok {
			t.Fatalf("accepted %q can't be found", id)
		}
		if imap != "" && p.IMAP.Addr() == "" {
			t.Fatalf("accepted host %q is lost", imap)
		}
		if signer != "" {
			if q, _ := table.BySigner(signer); q.ID != p.ID {
				t.Fatalf("signer %q leads to %q, want %q", signer, q.ID, p.ID)
			}
		}
	})
}
