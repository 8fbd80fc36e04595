package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/robfig/cron/v3"
)

func (c *checker) trust() Trust {
	t := Trust{Builtin: c.raw.Trust.Builtin, CRLFiles: c.paths(c.raw.Trust.CRL)}
	for i, a := range c.raw.Trust.Anchors {
		key := fmt.Sprintf("trust.anchors[%d]", i)
		pin, isPin, err := readPin(a)
		switch {
		case err != nil:
			c.fail(key, "the pin "+err.Error(), "want 64 hexadecimal digits after spki-sha256:")
		case isPin:
			t.Pins = append(t.Pins, pin)
		case strings.TrimSpace(a) == "":
			c.fail(key, "is empty", "a PEM file or spki-sha256:HEX")
		default:
			t.AnchorFiles = append(t.AnchorFiles, c.path(a))
		}
	}
	if !t.Builtin && len(c.raw.Trust.Anchors) == 0 {
		c.fail("trust.builtin", "nothing is trusted", "no message could ever be certified: add anchors, or leave builtin on")
	}
	return t
}

const (
	boltScheme = "bbolt://"
	etcdScheme = "etcd://"
)

func (c *checker) vault() Vault {
	r := c.raw.Vault
	v := Vault{URL: r.URL, RecipientsFile: c.path(r.RecipientsFile), IdentityFile: c.identityPath(r.IdentityFile),
		PassphraseFile: c.secretPath(r.IdentityPassphraseFile)}
	c.required("vault.recipients_file", r.RecipientsFile, "age public keys, one a line; `ingest init` writes them")
	switch {
	case strings.HasPrefix(r.URL, boltScheme) && len(r.URL) > len(boltScheme):
		// A data file, not a credential: never looked for among those.
		v.Path = resolve(strings.TrimPrefix(r.URL, boltScheme), c.dir, "")
	case strings.HasPrefix(r.URL, etcdScheme) && len(r.URL) > len(etcdScheme):
		v.Etcd = c.etcd(strings.TrimPrefix(r.URL, etcdScheme))
	default:
		c.fail("vault.url", "is "+quote(r.URL), `such as "bbolt:///var/lib/pec-ingest/vault.db" or "etcd://host1:2379,host2:2379,host3:2379/studio"`)
	}
	return v
}

func (c *checker) otp() OTP {
	r := c.raw.OTP
	o := OTP{Enabled: r.Enabled, RecipientsFile: c.path(r.RecipientsFile), IdentityFile: c.secretPath(r.IdentityFile),
		PassphraseFile: c.secretPath(r.IdentityPassphraseFile), Readers: c.names("otp.readers", r.Readers)}
	if !o.Enabled {
		return o
	}
	const hint = "the second factor must not open with the key of the passwords: `ingest init --otp-keys` makes keys of its own"
	c.required("otp.recipients_file", r.RecipientsFile, "age public keys, one a line; `ingest init --otp-keys` writes them")
	if o.RecipientsFile == c.path(c.raw.Vault.RecipientsFile) && o.RecipientsFile != "" {
		c.fail("otp.recipients_file", "is vault.recipients_file", hint)
	}
	if o.IdentityFile == c.identityPath(c.raw.Vault.IdentityFile) && o.IdentityFile != "" {
		c.fail("otp.identity_file", "is vault.identity_file", hint)
	}
	return o
}

// identityPath is secretPath for the identity. `ingest init` writes it as
// identity.txt, as age-keygen's users do: where there is none by the default
// name, that one is meant.
func (c *checker) identityPath(name string) string {
	path := c.secretPath(name)
	if name != defaults().Vault.IdentityFile {
		return path
	}
	if _, err := os.Lstat(path); err == nil {
		return path
	}
	written := c.secretPath(name + ".txt")
	if _, err := os.Lstat(written); err == nil {
		return written
	}
	return path
}

func (c *checker) policy() Policy {
	r := c.raw.Policy
	p := Policy{
		MaxValidityDays: c.days("policy.max_validity", r.MaxValidity, 1, 3650),
		ValidityDays:    c.days("policy.validity", r.Validity, 1, 3650),
		RenewAfterDays:  c.days("policy.renew_after", r.RenewAfter, 1, 90),
		Unlisted:        c.choice("policy.unlisted", r.Unlisted, UnlistedReview, UnlistedIgnore),
		Timezone:        r.Timezone,
	}
	if p.ValidityDays > p.MaxValidityDays && p.MaxValidityDays > 0 {
		c.fail("policy.validity", quote(r.Validity)+" is more than max_validity "+quote(r.MaxValidity), "")
	}
	loc, err := time.LoadLocation(r.Timezone)
	if err != nil || r.Timezone == "" || r.Timezone == "Local" {
		c.fail("policy.timezone", quote(r.Timezone)+" is not a time zone", `such as "Europe/Rome"`)
		loc = time.UTC
	}
	p.Location = loc
	return p
}

func (c *checker) probe() Probe {
	r := c.raw.Probe
	if r.MaxLogins < 1 || r.MaxLogins > 3 {
		c.fail("probe.max_logins", fmt.Sprintf("is %d", r.MaxLogins), "want 1 to 3: more refusals lock a mailbox")
	}
	return Probe{Enabled: r.Enabled, Every: c.cron("probe.every", r.Every), MaxLogins: int(r.MaxLogins)}
}

// cron checks a spec by the rules of schedule.ParseCron, which says why they
// are as they are. (This package imports no sibling; a test of package
// schedule's rules against these keeps the two together.)
func (c *checker) cron(key, spec string) string {
	if err := checkCron(spec); err != nil {
		hint := `minute hour day month weekday, such as "0 9 * * MON-FRI"`
		if errors.Is(err, errCronNight) {
			hint = "that hour is missing in March and comes twice in October: choose another"
		}
		c.fail(key, quote(spec)+" "+err.Error(), hint)
	}
	return strings.Join(strings.Fields(spec), " ")
}

var errCronNight = errors.New("runs between 02:00 and 03:00")

func checkCron(spec string) error {
	fields := strings.Fields(spec)
	if len(fields) != 5 || len(spec) > 200 {
		return fmt.Errorf("has %d fields instead of 5", len(fields))
	}
	for _, r := range spec {
		if r > unicode.MaxASCII || !(unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" \t,-*/?", r)) {
			return fmt.Errorf("has %q in it", r)
		}
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(strings.Join(fields, " "))
	if err != nil {
		return errors.New("is not a cron spec")
	}
	sched, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return errors.New("is not a cron spec")
	}
	if sched.Hour&(1<<2) != 0 {
		return errCronNight
	}
	sched.Location = time.UTC
	if sched.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return errors.New("never runs")
	}
	return nil
}

func (c *checker) warnings() Warnings {
	r := c.raw.Warnings
	w := Warnings{
		Schedule:   c.cron("warnings.schedule", r.Schedule),
		DaysBefore: []int{},
		Patron:     r.Patron,
		ToStudio:   c.mailboxes("warnings.to_studio", r.ToStudio),
	}
	if len(r.DaysBefore) > 20 {
		c.fail("warnings.days_before", fmt.Sprintf("has %d entries", len(r.DaysBefore)), "a client who gets that many warnings reads none: want at most 20")
	}
	for i, n := range r.DaysBefore {
		key := fmt.Sprintf("warnings.days_before[%d]", i)
		switch {
		case n < 0 || n > 89:
			c.fail(key, fmt.Sprintf("is %d", n), "want 0 to 89 days of 90")
		case slices.Contains(w.DaysBefore, int(n)):
			c.fail(key, fmt.Sprintf("%d is there twice", n), "")
		default:
			w.DaysBefore = append(w.DaysBefore, int(n))
		}
	}
	for i, s := range r.Closed {
		span, err := ParseRange(s)
		if err != nil {
			c.fail(fmt.Sprintf("warnings.closed[%d]", i), quote(s)+" is "+isnt(err), `first and last day: "2026-08-08/2026-08-23"`)
			continue
		}
		w.Closed = append(w.Closed, span)
	}
	if r.Patron != "" {
		if err := ParseMonthDay(r.Patron); err != nil {
			c.fail("warnings.patron", quote(r.Patron)+" is "+err.Error(), `month and day: "10-04" is 4 October`)
		}
	}
	return w
}

// isnt lets "is " stand before an error that begins with a verb of its own.
func isnt(err error) string {
	s := err.Error()
	if rest, ok := strings.CutPrefix(s, "is "); ok {
		return rest
	}
	if strings.HasPrefix(s, "not ") {
		return s
	}
	return "a range that " + s
}

func (c *checker) providers() []Provider {
	var list []Provider
	seen := map[string]bool{}
	for i, r := range c.raw.Provider {
		key := fmt.Sprintf("provider[%d]", i)
		if c.required(key+".id", r.ID, `such as "aruba-pec"; a built-in id is changed, another one is added`) && seen[r.ID] {
			c.fail(key+".id", quote(r.ID)+" is there twice", "one [[provider]] for each id")
		}
		seen[r.ID] = true
		p := Provider{
			ID: c.oneLine(key+".id", r.ID), Name: c.oneLine(key+".name", r.Name),
			IMAP: c.hostPort(key+".imap", r.IMAP), SMTP: c.hostPort(key+".smtp", r.SMTP),
			TLSCAFile: c.path(r.TLSCAFile), Login: r.Login,
		}
		if r.Signer != "" {
			p.Signer = strings.ToLower(strings.TrimSpace(r.Signer))
			if !isMailbox(p.Signer) {
				c.fail(key+".signer", quote(r.Signer)+" is not a mail address", "such as posta-certificata@pec.aruba.it")
			}
		}
		if r.Validity != "" {
			p.ValidityDays = c.days(key+".validity", r.Validity, 1, 3650)
		}
		if r.Login != "" {
			c.choice(key+".login", r.Login, "address", "user-id", "local-part")
		}
		list = append(list, p)
	}
	return list
}
