package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/pectest"
)

// Passwords planted everywhere one can be: every command is run, at the most
// talkative log level, and what they print, the vault and the mails sent are
// searched. A password stands in the stdout of `get` and of --reveal alone.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{apart: true, smtp: true})
	secrets := map[string]string{
		"inbox": inboxPass, "good": "qX7alfa39TwKm2", "older": "vE5beta84RnLp6", "refused": "zM3gamma57HdQs9",
		"in the subject": "jW8delta26FbXc4", "second": "pT4theta73GkVy1", "by hand": "rB6kappa91NzJh3",
		"by hand, refused": "uC2sigma48DfWq7", "waiting": "hL9omega65YtMx8", "of a stranger": "kS5lambda32PvZr6",
	}
	keys := map[string]string{}
	for _, f := range []string{"identity.txt"} {
		b, err := os.ReadFile(filepath.Join(s.dir, f))
		if err != nil {
			t.Fatal(err)
		}
		keys["identity"] = "AGE-SECRET-KEY-" + strings.TrimSpace(between(string(b), "AGE-SECRET-KEY-", "\n"))
	}
	s.clients.SetPassword(rossi, secrets["good"])
	s.clients.SetPassword(bianchi, secrets["in the subject"])
	s.clients.SetPassword(neri, secrets["by hand"])

	subject := s.letter(bianchi, 9, "Password per programmi di posta: "+secrets["in the subject"], "Buongiorno,\nla password è nell'oggetto.\n")
	stranger := s.submission("altri@pec.gestore.example", 7, secrets["of a stranger"])
	html := s.letter(verdi, 6, "password posta", "")
	html.Letter.HTML = "<p>Password per programmi di posta: <b>" + secrets["refused"] + "</b></p>"
	unclear := s.letter(neri, 5, "password posta", "Password per programmi di posta: "+secrets["waiting"]+" oppure "+secrets["second"]+"\n")
	other := s.letter(neri, 4, "password posta", "La password per programmi di posta di "+rossi+" è "+secrets["waiting"]+"\n")
	forged := s.submission(rossi, 3, secrets["second"])
	forged.Provider = pectest.NewAuthority("impostor").Provider(signerPEC, "GESTORE DI PROVA S.p.A.")
	s.deliver(s.submission(rossi, 50, secrets["older"]), s.submission(rossi, 10, secrets["good"]), subject, stranger, html, unclear, other, forged)

	file := filepath.Join(s.dir, "message.eml")
	if err := os.WriteFile(file, subject.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}

	type command struct {
		stdin string
		args  []string
		shows bool // may print a password on stdout
	}
	check := func(c command) result {
		t.Helper()
		r := s.runWith(c.stdin, append([]string{"--log-level", "debug"}, c.args...)...)
		all := secrets
		if got := leaks([]byte(r.stderr), all); len(got) > 0 {
			t.Errorf("ingest %s: stderr holds %v:\n%s", strings.Join(c.args, " "), got, r.stderr)
		}
		if got := leaks([]byte(r.stdout), all); len(got) > 0 && !c.shows {
			t.Errorf("ingest %s: stdout holds %v:\n%s", strings.Join(c.args, " "), got, r.stdout)
		} else if len(got) == 0 && c.shows {
			t.Errorf("ingest %s: was to show a password, got %s", strings.Join(c.args, " "), r)
		}
		if got := leaks([]byte(r.stdout+r.stderr), keys); len(got) > 0 {
			t.Errorf("ingest %s: holds %v", strings.Join(c.args, " "), got)
		}
		return r
	}

	for _, c := range []command{
		{args: []string{"once", "--dry-run", "--json"}},
		{args: []string{"--log-format", "json", "once", "--json"}},
		{args: []string{"--log-format", "journal", "once", "--warn"}},
		{args: []string{"status"}}, {args: []string{"status", "--json"}},
		{args: []string{"history", rossi}}, {args: []string{"history", rossi, "--json"}},
		{args: []string{"due", "--on", date(80, time.DateOnly), "--json"}},
		{args: []string{"audit"}}, {args: []string{"audit", "--json"}}, {args: []string{"audit", "--verify"}},
		{args: []string{"client", "list", "--json"}}, {args: []string{"client", "export", rossi}}, {args: []string{"client", "export", neri}},
		{args: []string{"outbox", "list", "--all", "--json"}}, {args: []string{"outbox", "show", "1"}}, {args: []string{"outbox", "show", "2"}},
		{args: []string{"review", "list", "--json"}},
		{args: []string{"check"}}, {args: []string{"check", "--json"}},
		{args: []string{"read", "--trust", filepath.Join(s.dir, "pec.pem"), file}},
		{args: []string{"read", "--json", "--trust", filepath.Join(s.dir, "pec.pem"), file}},
		{args: []string{"read", "--json", "--reveal", "--trust", filepath.Join(s.dir, "pec.pem"), file}, shows: true},
		{args: []string{"get", rossi}, shows: true}, {args: []string{"get", rossi, "--json"}, shows: true},
		{args: []string{"get", "nessuno@pec.gestore.example"}}, {args: []string{"get", verdi}},
		{args: []string{"client", "add", neri, "--provider", "prova"}},
		{stdin: secrets["by hand"] + "\n", args: []string{"set", neri, "--source", "telefono"}},
		{stdin: secrets["by hand, refused"] + "\n", args: []string{"set", neri, "--json"}},
		{stdin: secrets["by hand, refused"] + "\n", args: []string{"set", "nessuno@pec.gestore.example"}},
		{stdin: secrets["by hand, refused"] + "\nzwei\n", args: []string{"set", neri}},
		{args: []string{"use", rossi, "1"}}, {args: []string{"report", rossi, "--refused"}},
	} {
		check(c)
	}
	rows := s.rows("review", "list", "--json")
	if len(rows) == 0 {
		t.Fatal("nothing is in review: the letters of this test are read otherwise than meant")
	}
	for _, r := range rows {
		n := jsonNumber(r["n"])
		check(command{args: []string{"review", "show", n}})
		check(command{args: []string{"review", "show", n, "--json"}})
		check(command{args: []string{"review", "show", n, "--json", "--reveal"}, shows: true})
		check(command{args: []string{"review", "show", n, "--reveal"}, shows: true})
	}
	if len(rows) > 1 {
		check(command{args: []string{"review", "approve", jsonNumber(rows[0]["n"]), "--mailbox", rossi}})
		check(command{args: []string{"review", "reject", jsonNumber(rows[1]["n"]), "--reason", "prova"}})
	}

	// Errors of every kind.
	s.clients.Stop()
	s.deliver(s.submission(rossi, 2, secrets["second"]))
	check(command{args: []string{"once"}})
	check(command{args: []string{"get", rossi}, shows: true})
	s.write("inbox-password", "wrong"+inboxPass, 0o600)
	if r := check(command{args: []string{"once", "--json"}}); r.code != exitFailed {
		t.Errorf("a wrong inbox password: got %s", r)
	}
	check(command{args: []string{"check"}})
	check(command{args: []string{"client", "remove", neri}})

	s.searchFiles(secrets)
	for _, m := range s.sink.received() {
		if got := leaks(m.Raw, secrets); len(got) > 0 {
			t.Errorf("the mail %q to %s holds %v", m.Subject, m.To, got)
		}
	}
	if len(s.sink.received()) == 0 {
		t.Error("no mail was sent: nothing to search")
	}
}

func jsonNumber(v any) string {
	n, _ := v.(float64)
	return strconv.Itoa(int(n))
}

// searchFiles searches every file of the installation but the one in which a
// person put the inbox's password, and the message of the test.
func (s *studio) searchFiles(secrets map[string]string) {
	s.t.Helper()
	searched := 0
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "inbox-password" || d.Name() == "message.eml" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		searched++
		if got := leaks(b, secrets); len(got) > 0 {
			s.t.Errorf("%s holds %v", d.Name(), got)
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := os.Stat(s.vaultPath()); err != nil || searched < 4 {
		s.t.Errorf("%d files were searched, the vault among them: %v", searched, err)
	}
}
