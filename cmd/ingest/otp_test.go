package main

import (
	"bytes"
	"context"
	"encoding/base32"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/totp"
)

// seedText is a seed as pages print it; seedBytes what it stands for.
const seedText = "KRSXG5BAKNSWKZBAGEZDGNBVGY3TQ"

func uriOf(account string) string {
	return "otpauth://totp/Microsoft:" + account + "?secret=" + seedText + "&issuer=Microsoft&algorithm=SHA256&digits=8&period=60"
}

// codesSince are the codes that were right at some moment since: the clock goes
// on between asking and comparing.
func codesSince(t *testing.T, text string, begun time.Time) []string {
	t.Helper()
	p, err := totp.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	period := time.Duration(p.Period) * time.Second
	for at := begun; at.Before(time.Now().Add(period)); at = at.Add(period) {
		code, _, err := p.Code(at)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, code.RevealString()+"\n")
	}
	return list
}

func (s *studio) wantCode(text string, args ...string) {
	s.t.Helper()
	begun := time.Now()
	got := s.ok(append([]string{"otp", "get"}, args...)...)
	if codes := codesSince(s.t, text, begun); !slices.Contains(codes, got) {
		s.t.Errorf("otp get %v: got %q, want %q", args, got, codes)
	}
}

// add keeps a seed that stands on standard input.
func (s *studio) addOTP(code int, text string, args ...string) result {
	s.t.Helper()
	r := s.runWith(text, append([]string{"otp", "add"}, args...)...)
	if r.code != code {
		s.t.Fatalf("otp add %v: got %v, want exit %d", args, r, code)
	}
	for _, form := range []string{seedText, strings.ToLower(seedText), seedText[:8]} {
		if strings.Contains(r.stdout+r.stderr, form) {
			s.t.Errorf("otp add %v: the answer holds the seed: %v", args, r)
		}
	}
	return r
}

func (s *studio) otpOn() {
	s.t.Helper()
	s.ok("init", "--otp-keys", s.dir)
	s.edit("[web]", "[otp]\nenabled = true\n[web]")
}

// The commands, without a daemon and through one.
func TestOTPCommands(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi, bianchi}})
	if r := s.addOTP(exitFailed, uriOf("a"), rossi); !strings.Contains(r.stderr, "otp.enabled") {
		t.Errorf("switched off: no hint: %s", r.stderr)
	}
	s.exits(exitFailed, "otp", "get", rossi)
	s.ok("otp", "list")
	s.otpOn()
	s.exits(exitFailed, "init", "--otp-keys", s.dir) // never overwrites

	for _, daemon := range []bool{false, true} {
		if daemon {
			d := s.start()
			defer d.stop()
		}
		other := "otpauth://totp/x?secret=" + base32.StdEncoding.EncodeToString([]byte("ein anderes Geheimnis"))
		s.addOTP(exitOK, uriOf("fatture@rossi.example"), rossi)
		s.wantCode(uriOf("x"), rossi)
		if r := s.addOTP(exitNeedsPerson, other, rossi, "--account", "fatture@rossi.example"); !strings.Contains(r.stderr, "--replace") {
			t.Errorf("an account of that name: no hint: %s", r.stderr)
		}
		s.wantCode(uriOf("x"), rossi)
		s.addOTP(exitOK, other, rossi, "--account", "paghe@rossi.example", "--json")
		if r := s.exits(exitNeedsPerson, "otp", "get", rossi); !strings.Contains(r.stderr, "--account") {
			t.Errorf("several accounts: no hint: %s", r.stderr)
		}
		s.wantCode(other, rossi, "--account", "paghe@rossi.example")
		s.addOTP(exitOK, seedText+"\n", rossi, "--account", "paghe@rossi.example", "--replace")
		s.wantCode(seedText, rossi, "--account", "paghe@rossi.example")

		s.addOTP(exitOK, seedText, studioPEC) // the studio's own account; its name is the mailbox
		s.wantCode(seedText, studioPEC)
		s.exits(exitNotFound, "otp", "get", bianchi)
		s.exits(exitNotFound, "otp", "get", rossi, "--account", "x")
		s.addOTP(exitNotFound, seedText, verdi) // no client
		for text, want := range map[string]string{
			"":                                    "nothing",
			"otpauth://hotp/x?secret=" + seedText: "TOTP",
			"otpauth://totp/x?secret=" + seedText + "&digits=12": "digits",
			seedText + "\n" + seedText:                           "one line",
			seedText + strings.Repeat("A", 9000):                 "one line",
		} {
			if r := s.addOTP(exitUsage, text, rossi, "--account", "neu"); !strings.Contains(r.stderr, want) {
				t.Errorf("%.40q: got %s, want %q in it", text, r.stderr, want)
			}
		}

		var code struct {
			Mailbox, Account, Code string
			SecondsLeft            int `json:"seconds_left"`
			Period                 int
		}
		decode(t, s.ok("otp", "get", rossi, "--account", "fatture@rossi.example", "--json"), &code)
		if len(code.Code) != 8 || code.Period != 60 || code.SecondsLeft < 0 || code.SecondsLeft > 60 || code.Mailbox != rossi {
			t.Errorf("otp get --json: got %+v", code)
		}
		if rows := s.rows("otp", "list", "--json"); len(rows) != 3 {
			t.Errorf("otp list: got %v, want 3 accounts", rows)
		}
		rows := s.rows("otp", "list", rossi, "--json")
		if len(rows) != 2 || rows[0]["account"] != "fatture@rossi.example" || rows[0]["issuer"] != "Microsoft" || rows[0]["algorithm"] != "SHA256" {
			t.Errorf("otp list %s: got %v", rossi, rows)
		}
		s.exits(exitNeedsPerson, "otp", "remove", rossi)
		s.ok("otp", "remove", rossi, "--account", "paghe@rossi.example")
		s.ok("otp", "remove", rossi)
		s.exits(exitNotFound, "otp", "remove", rossi)
		s.ok("otp", "remove", studioPEC)
	}
	// Each code that was given out is an entry of its own.
	if rows := s.rows("audit", "--json", "--event", "otp.read"); len(rows) != 12 {
		t.Errorf("audit: got %d entries otp.read, want 12: 6 a round", len(rows))
	}
}

// No form of a seed is in the files.
func TestOTPSeedStaysSealed(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	s.otpOn()
	s.addOTP(exitOK, uriOf("fatture@rossi.example"), rossi)
	s.ok("otp", "get", rossi)
	s.ok("backup", filepath.Join(s.dir, "b", "copy.db"))
	s.searchFiles(map[string]string{"seed": seedText, "seed's bytes": "Test Seed 12345678"})
}

// Seeds live through a rekeying of the vault, one of their own, and backup and
// restore; a client who leaves takes them along.
func TestOTPCare(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi, bianchi}})
	s.otpOn()
	s.addOTP(exitOK, uriOf("fatture"), rossi)
	s.addOTP(exitOK, uriOf("fatture"), bianchi)
	s.ok("check", "--json")

	fresh, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	old := s.read("otp-identity.txt")
	s.write("otp-recipients.txt", fresh.Recipient().String()+"\n", 0o644)
	if r := s.exits(exitVault, "rekey"); !strings.Contains(r.stderr, "otp") {
		t.Errorf("a key that does not fit: %s", r.stderr)
	}
	s.write("otp-identity.txt", old+fresh.String()+"\n", 0o600)
	s.wantCode(uriOf("x"), rossi) // while both keys are there
	s.ok("rekey")
	s.write("otp-identity.txt", fresh.String()+"\n", 0o600)
	s.wantCode(uriOf("x"), rossi)

	file := filepath.Join(t.TempDir(), "b", "copy.db")
	s.ok("backup", file)
	s.ok("client", "remove", rossi)
	s.exits(exitNotFound, "otp", "get", rossi)
	if rows := s.rows("otp", "list", "--json"); len(rows) != 1 || rows[0]["mailbox"] != bianchi {
		t.Errorf("after the client left: got %v", rows)
	}
	export := s.ok("client", "export", bianchi)
	if !strings.Contains(export, `"fatture"`) || strings.Contains(export, "sealed") {
		t.Errorf("export: %s", export)
	}
	if err := os.Remove(s.vaultPath()); err != nil {
		t.Fatal(err)
	}
	s.ok("restore", file)
	s.wantCode(uriOf("x"), rossi)

	// Without its key the rest goes on; with a wrong one nothing is given out.
	s.write("otp-identity.txt", old, 0o600)
	s.exits(exitVault, "otp", "get", rossi)
	s.exits(exitFailed, "check")
	s.edit("[otp]\n", "[otp]\nidentity_file = \"\"\n")
	if r := s.exits(exitVault, "otp", "get", rossi); !strings.Contains(r.stderr, "otp.identity_file") {
		t.Errorf("no key: %s", r.stderr)
	}
	s.ok("rekey")
	// Switched off, what is kept can still be seen and removed.
	s.edit("enabled = true", "enabled = false")
	s.exits(exitFailed, "otp", "get", rossi)
	s.ok("otp", "remove", rossi)
	s.ok("status")
}

// The codes have a recovery key of their own, which can be proven too.
func TestOTPRecovery(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi, bianchi}})
	first := s.ok("init", "--otp-keys", s.dir)
	s.edit("[web]", "[otp]\nenabled = true\n[web]")
	s.addOTP(exitOK, uriOf("fatture"), rossi)
	s.addOTP(exitOK, uriOf("paghe"), bianchi)
	_, key, ok := strings.Cut(first, "AGE-SECRET-KEY-")
	if !ok {
		t.Fatalf("init printed no recovery key: %s", first)
	}
	s.write("paper.txt", "AGE-SECRET-KEY-"+strings.Fields(key)[0]+"\n", 0o600)
	paper := filepath.Join(s.dir, "paper.txt")
	if out := s.run("check", "--otp-recovery", paper).stdout; !strings.Contains(out, "opens all 2 seeds of one-time codes") {
		t.Errorf("the key that init printed: got %s", out)
	}
	s.start()
	if out := s.run("check", "--otp-recovery", paper).stdout; !strings.Contains(out, "opens all 2 seeds of one-time codes") {
		t.Errorf("the key that init printed, through the service: got %s", out)
	}
	// The keys are apart: none opens what is the other's.
	if r := s.exits(exitFailed, "check", "--recovery", paper); !strings.Contains(r.stdout, "does not open the vault") {
		t.Errorf("the codes' key for the passwords: got %s", r.stdout)
	}
	if r := s.exits(exitFailed, "check", "--otp-recovery", filepath.Join(s.dir, "identity.txt")); !strings.Contains(r.stdout, "does not open the one-time codes") {
		t.Errorf("the passwords' key for the codes: got %s", r.stdout)
	}
}

// The key of the passwords must not open the codes.
func TestOTPKeysAreApart(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	s.otpOn()
	own := s.read("otp-recipients.txt")
	s.write("otp-recipients.txt", own+s.read("recipients.txt"), 0o644)
	if r := s.addOTP(exitConfig, uriOf("x"), rossi); !strings.Contains(r.stderr, "otp.recipients_file") {
		t.Errorf("both keys: no hint: %s", r.stderr)
	}
	if r := s.exits(exitFailed, "check"); !strings.Contains(r.stdout, "opens the one-time codes too") {
		t.Errorf("check: %s", r.stdout)
	}
	s.write("otp-recipients.txt", own, 0o644)
	s.addOTP(exitOK, uriOf("x"), rossi)
	for _, line := range []string{"recipients_file = \"recipients.txt\"", "identity_file = \"identity.txt\""} {
		before := s.read("config.toml")
		s.edit("[otp]\n", "[otp]\n"+line+"\n")
		s.exits(exitConfig, "otp", "get", rossi)
		s.write("config.toml", before, 0o644)
	}
}

// protect replaces an identity file by one under a passphrase, as `age -p`
// makes it, with little work.
func (s *studio) protect(name, passphrase string) {
	s.t.Helper()
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		s.t.Fatal(err)
	}
	r.SetWorkFactor(10)
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	w, err := age.Encrypt(armored, r)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = io.WriteString(w, s.read(name))
	if err := errors.Join(err, w.Close(), armored.Close()); err != nil {
		s.t.Fatal(err)
	}
	s.write(name, out.String(), 0o600)
}

// A code that can't be recorded is not handed out. The disk is "full" from
// the moment on in which the key has been read.
func TestOTPNotWithoutRecord(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	s.otpOn()
	s.addOTP(exitOK, uriOf("x"), rossi)
	s.protect("otp-identity.txt", "parola")
	cfg, err := config.Load(s.configPath())
	if err != nil {
		t.Fatal(err)
	}
	for _, full := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		service, err := ingest.OpenAsking(cfg, ingest.Reading, slog.New(slog.DiscardHandler), func(string) (secret.Secret, error) {
			if full {
				cancel() // no transaction begins any more
			}
			return secret.FromString("parola"), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		code, err := service.OTP(ctx, "prova", rossi, "")
		if (err != nil) != full || code.Code.IsZero() != full {
			t.Errorf("full %t: got a code of %d characters, %v", full, code.Code.Len(), err)
		}
		if full && !strings.Contains(err.Error(), "recording") {
			t.Errorf("failed elsewhere: %v", err)
		}
		if err := service.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if rows := s.rows("audit", "--json", "--event", "otp.read"); len(rows) != 1 {
		t.Errorf("audit: got %d entries, want that of the code given out", len(rows))
	}
}
