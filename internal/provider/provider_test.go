package provider_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/provider"
)

// Every row must be complete: what is read by people exists in both languages,
// what is dated has a date, and a host never stands without a source.
func TestBuiltinIsComplete(t *testing.T) {
	rows := provider.Builtin().All()
	if len(rows) < 30 {
		t.Fatalf("got %d providers, want at least 30", len(rows))
	}
	hostName := regexp.MustCompile(`^([a-z0-9-]+\.)+[a-z]{2,}$`)
	for _, p := range rows {
		t.Run(p.ID, func(t *testing.T) {
			if p.Source == "" {
				t.Error("no source")
			}
			for name, e := range map[string]provider.Endpoint{"imap": p.IMAP, "smtp": p.SMTP} {
				if e.IsZero() {
					if e.Addr() != "" || e.Port != 0 || e.TLS != "" {
						t.Errorf("%s: endpoint without host is not zero: %+v", name, e)
					}
					continue
				}
				if !hostName.MatchString(e.Host) {
					t.Errorf("%s: host %q", name, e.Host)
				}
				if e.TLS != provider.TLSImplicit && e.TLS != provider.TLSStart {
					t.Errorf("%s: TLS %q", name, e.TLS)
				}
			}
			if p.Kind == provider.KindMail && (p.IMAP.IsZero() || p.SMTP.IsZero() || len(p.Signers) > 0) {
				t.Error("ordinary mail: want both hosts and no signer")
			}
			if p.TLSCAFile != "" {
				t.Errorf("built-in row has a private root %q", p.TLSCAFile)
			}
			if (p.ValidityDays == 0) != (p.ValidityConfirmed == "") || (p.ValidityDays == 0) != (p.ValidityNote == "") {
				t.Errorf("validity %d days, confirmed %q, note %q: want all or none", p.ValidityDays, p.ValidityConfirmed, p.ValidityNote)
			}
			if p.ValidityConfirmed != "" {
				if d, err := time.Parse(time.DateOnly, p.ValidityConfirmed); err != nil || d.Year() < 2024 {
					t.Errorf("confirmed on %q: %v", p.ValidityConfirmed, err)
				}
			}
			if p.AppPassword == provider.AppPasswordYes && len(p.Steps) == 0 {
				t.Error("app passwords exist, but no steps to make one")
			}
			checkSteps(t, "steps", p.Steps)
			checkSteps(t, "postpone", p.Postpone)
		})
	}
}

func checkSteps(t *testing.T, name string, m map[string][]string) {
	t.Helper()
	if len(m) == 0 {
		return
	}
	if len(m) != 2 || len(m["it"]) < 3 || len(m["it"]) != len(m["en"]) {
		t.Errorf("%s: %d languages, %d Italian and %d English steps", name, len(m), len(m["it"]), len(m["en"]))
	}
	for lang, steps := range m {
		for i, s := range steps {
			if s != strings.TrimSpace(s) || !strings.HasSuffix(s, ".") || len(s) > 200 {
				t.Errorf("%s %s %d: not one short sentence: %q", name, lang, i+1, s)
			}
			if regexp.MustCompile(`^\d`).MatchString(s) {
				t.Errorf("%s %s %d: carries its own number: %q", name, lang, i+1, s)
			}
		}
	}
}

// The signing domains that AgID CA1 permits, all of them: whoever signs a
// genuine envelope has a row.
func TestEverySigningDomainHasARow(t *testing.T) {
	const domains = `agid.gov.it cert.informatica.aci.it cert.interno.it emarche.it fastweb-pec.it gestorepec.unina.it
		kmailer.it legalmail.it pcert.sogei.it pec.actalis.it pec.ancitel.it pec.aruba.it pec.basilicatanet.it
		pec-email.com pec.postecert.it pec.posteitaliane.it pec.rupar.puglia.it postacert.cedacri.it
		postacertificata.notariato.it postacert.it.net postecert.it sicurezzapostale.it telecompost.it
		trustedmail.intesa.it twtcert.it zucchettipec.it cert.intesa.it certmail.kpnqwest.it certmail.irideos.it
		pupec.informatica.aci.it pro.sicurezzapostale.it pec.bill4me.it pec.notartel.it miapec.it
		ig-trustmail.com postecertifica.it pec.reevo.eu`
	table := provider.Builtin()
	want := strings.Fields(domains)
	for _, d := range want {
		p, ok := table.BySigner("posta-certificata@" + d)
		if !ok || p.Kind != provider.KindPEC {
			t.Errorf("%s: found %v as %q", d, ok, p.Kind)
		}
	}
	got := 0
	for _, p := range table.All() {
		got += len(p.Signers)
	}
	if got != len(want) {
		t.Errorf("got %d signers in the table, want %d: one that no authority permits?", got, len(want))
	}
}

// Where a stored password would be sent on the word of a signer. A change here
// moves passwords: it must be meant.
func TestHostsOfSigners(t *testing.T) {
	want := map[string]string{
		"posta-certificata@pec.aruba.it":            "imaps.pec.aruba.it:993",
		"posta-certificata@legalmail.it":            "mbox.cert.legalmail.it:993",
		"posta-certificata@sicurezzapostale.it":     "imaps.sicurezzapostale.it:993",
		"posta-certificata@postecert.it":            "mail.postecert.it:993",
		"posta-certificata@postecertifica.it":       "mail.postecertifica.it:993",
		"posta-certificata@pec-email.com":           "imap.pec-email.com:993",
		"posta-certificata@telecompost.it":          "mail.telecompost.it:993",
		"posta-certificata@postacert.it.net":        "mail.postacert.it.net:993",
		"posta-certificata@pec.actalis.it":          "imap.pec.actalis.it:993",
		"posta-certificata@ig-trustmail.com":        "imap.ig-trustmail.com:993",
		"Posta-Certificata@PEC.aruba.it":            "imaps.pec.aruba.it:993",
		"posta-certificata@pro.sicurezzapostale.it": "", // only its SMTP host was ever seen
		"posta-certificata@pec.notartel.it":         "",
		"posta-certificata@pcert.sogei.it":          "",
	}
	table := provider.Builtin()
	for signer, addr := range want {
		p, ok := table.BySigner(signer)
		if got := p.IMAP.Addr(); !ok || got != addr {
			t.Errorf("%s: got %q (found %v), want %q", signer, got, ok, addr)
		}
	}
	hosts := 0
	for _, p := range table.All() {
		if len(p.Signers) > 0 && !p.IMAP.IsZero() {
			hosts++
			// No signer may lead to a host outside the domain it signs with.
			for _, s := range p.Signers {
				_, domain, _ := strings.Cut(s, "@")
				if !strings.HasSuffix(p.IMAP.Host, "."+domain) && domain != "legalmail.it" {
					t.Errorf("%s: signer %s leads to %s", p.ID, s, p.IMAP.Host)
				}
			}
		}
	}
	if hosts != 10 {
		t.Errorf("got %d providers with signer and host, want the 10 above", hosts)
	}
	for _, unknown := range []string{"", "posta-certificata@pec.it", "rossi@pec.aruba.it", "posta-certificata@evil.example"} {
		if p, ok := table.BySigner(unknown); ok {
			t.Errorf("BySigner(%q) = %s, want none", unknown, p.ID)
		}
	}
}

func TestLookups(t *testing.T) {
	table := provider.Builtin()
	if p, ok := table.ByID("aruba-pec"); !ok || p.ValidityDays != 90 || p.ValidityConfirmed == "" || len(p.Postpone["it"]) == 0 {
		t.Errorf("aruba-pec: %v %+v", ok, p)
	}
	if p, ok := table.ByID("legalmail"); !ok || p.Login != provider.LoginUserID || p.MaxPerMinute != 6 {
		t.Errorf("legalmail: %v %+v", ok, p)
	}
	if p, ok := table.ByDomain("PEC.it"); !ok || p.ID != "aruba-pec" {
		t.Errorf("ByDomain(PEC.it): %v %q", ok, p.ID)
	}
	for _, id := range []string{"gmail", "outlook", "microsoft365", "libero", "yahoo", "icloud"} {
		if p, ok := table.ByID(id); !ok || p.Kind != provider.KindMail {
			t.Errorf("%s: found %v, kind %q", id, ok, p.Kind)
		}
	}
	if p, _ := table.ByID("outlook"); p.SMTP.TLS != provider.TLSStart || p.AppPassword != provider.AppPasswordOAuth {
		t.Errorf("outlook: %+v", p)
	}
	if _, ok := table.ByID("none"); ok {
		t.Error("found a provider that isn't there")
	}
}

// What callers get is theirs: changing it must not reach the table.
func TestRowsAreCopies(t *testing.T) {
	p, _ := provider.Builtin().ByID("aruba-pec")
	p.Signers[0], p.Domains[0], p.Steps["it"][0] = "x", "x", "x"
	delete(p.Postpone, "it")
	all := provider.Builtin().All()
	all[0].Name = "x"
	again, ok := provider.Builtin().BySigner("posta-certificata@pec.aruba.it")
	if !ok || again.Name == "x" || again.Domains[0] == "x" || again.Steps["it"][0] == "x" || again.Postpone["it"] == nil {
		t.Errorf("the table changed: %+v", again)
	}
}

func TestNumbered(t *testing.T) {
	m := map[string][]string{"it": {"Apra."}, "en": {"Open."}}
	for lang, want := range map[string]string{"it": "Apra.", "en": "Open.", "de": "Apra."} {
		if got := provider.Numbered(m, lang); !slices.Equal(got, []string{want}) {
			t.Errorf("Numbered(%s) = %q, want %q", lang, got, want)
		}
	}
	if got := provider.Numbered(nil, "it"); got != nil {
		t.Errorf("Numbered(nil) = %q", got)
	}
}

// The file is read by people too: no tabs, no line that scrolls away for ever.
func TestFileIsReadable(t *testing.T) {
	b, err := os.ReadFile("providers.toml")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(b), "\n") {
		if strings.ContainsRune(line, '\t') || strings.HasSuffix(line, " ") || len(line) > 400 {
			t.Errorf("line %d: tab, blank at its end, or %d bytes long", i+1, len(line))
		}
	}
}
