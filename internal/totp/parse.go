package totp

import (
	"bytes"
	"encoding/base32"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/secret"
)

const (
	maxText = 4096 // bytes of a URI
	maxName = 200  // characters of an account or issuer

	hintAgain = "copy the whole otpauth:// line again, or the seed alone (\"enter the code by hand\" on the page that shows the QR code)"
)

// Parse reads an otpauth:// URI (the content of the QR code) or a seed alone
// in base32, with blanks or dashes as pages print it. Errors are *Error.
//
// Source: the otpauth form as Google Authenticator's wiki "Key Uri Format"
// describes it; RFC 4648 §6.
func Parse(text []byte) (Params, error) {
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0:
		return Params{}, bad(hintAgain, "there is nothing on standard input")
	case len(text) > maxText:
		return Params{}, bad(hintAgain, "the text is longer than %d bytes", maxText)
	case !utf8.Valid(text) || bytes.ContainsAny(text, "\r\n\x00"):
		return Params{}, bad(hintAgain, "the text is not one line of UTF-8")
	}
	scheme, rest, isURI := strings.Cut(string(text), "://")
	if !isURI {
		if lower := strings.ToLower(string(text)); strings.HasPrefix(lower, "otpauth:") {
			return Params{}, bad(hintAgain, "the URI is cut or changed: it begins otpauth:// with two slashes")
		}
		seed, err := parseSeed(string(text))
		return Params{Algorithm: SHA1, Digits: DefaultDigits, Period: DefaultPeriod, Seed: seed}, err
	}
	switch strings.ToLower(scheme) {
	case "otpauth":
		return parseURI(rest)
	case "otpauth-migration":
		return Params{}, bad("set the second factor up again on the account's own page, and take the QR code shown there",
			"this is an export of Google Authenticator, not one account's URI")
	case "phonefactor":
		return Params{}, bad("on Microsoft's page choose \"use a different authenticator app\": that QR code works",
			"this QR code is for Microsoft's own app, which approves on the phone and has no shared seed")
	}
	return Params{}, bad(hintAgain, "this is no otpauth:// URI")
}

// parseURI reads what follows otpauth://. The errors of net/url are never
// wrapped: they quote the URI.
func parseURI(rest string) (Params, error) {
	u, err := url.Parse("otpauth://" + rest)
	if err != nil || u.User != nil || u.Fragment != "" {
		return Params{}, bad(hintAgain, "the URI can't be read")
	}
	switch strings.ToLower(u.Host) {
	case "totp":
	case "hotp":
		return Params{}, bad("choose codes that change with time (TOTP) on the account's page",
			"these codes are based on a counter: each one read here would be missing on the other devices")
	default:
		return Params{}, bad(hintAgain, "the URI does not say totp")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Params{}, bad(hintAgain, "the URI's parameters can't be read")
	}
	one := func(key string) (string, error) {
		list := query[key]
		if len(list) > 1 {
			return "", bad(hintAgain, "the URI says %s more than once", key)
		}
		if len(list) == 0 {
			return "", nil
		}
		return list[0], nil
	}
	p := Params{Algorithm: SHA1, Digits: DefaultDigits, Period: DefaultPeriod}
	if err := p.readLabel(u.Path, one); err != nil {
		return Params{}, err
	}
	if err := p.readNumbers(one); err != nil {
		return Params{}, err
	}
	text, err := one("secret")
	if err != nil {
		return Params{}, err
	}
	if strings.TrimSpace(text) == "" {
		return Params{}, bad(hintAgain, "the URI has no secret")
	}
	if p.Seed, err = parseSeed(text); err != nil {
		return Params{}, err
	}
	return p, nil
}

// readLabel takes account and issuer from "/Issuer:account" and issuer=.
func (p *Params) readLabel(path string, one func(string) (string, error)) error {
	label := strings.TrimPrefix(path, "/")
	if issuer, account, both := strings.Cut(label, ":"); both {
		p.Issuer, label = issuer, account
	}
	p.Account = label
	issuer, err := one("issuer")
	if err != nil {
		return err
	}
	if issuer != "" {
		p.Issuer = issuer
	}
	p.Account, err = name("account", p.Account)
	if err == nil {
		p.Issuer, err = name("issuer", p.Issuer)
	}
	return err
}

// Name tells whether a text can be an account's name; it returns it tidied.
func Name(s string) (string, error) { return name("account", s) }

func name(what, s string) (string, error) {
	s = strings.TrimSpace(s)
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxName || safetext.LineN(s, maxName) != strings.Join(strings.Fields(s), " ") {
		return "", bad("give the account's name with --account", "the name of the %s is too long or holds characters that can't be shown", what)
	}
	return strings.Join(strings.Fields(s), " "), nil
}

// readNumbers takes algorithm, digits and period; what is not said is the
// default, what can't be is refused.
func (p *Params) readNumbers(one func(string) (string, error)) error {
	algorithm, err := one("algorithm")
	if err != nil {
		return err
	}
	if algorithm != "" {
		p.Algorithm = strings.TrimPrefix(strings.ReplaceAll(strings.ToUpper(algorithm), "-", ""), "HMAC")
		if _, known := algorithms[p.Algorithm]; !known {
			return bad("SHA1, SHA256 or SHA512 are possible", "the URI names an algorithm that one-time codes do not have")
		}
	}
	for _, n := range []struct {
		key      string
		to       *int
		min, max int
	}{{"digits", &p.Digits, MinDigits, MaxDigits}, {"period", &p.Period, MinPeriod, MaxPeriod}} {
		text, err := one(n.key)
		if err != nil {
			return err
		}
		if text == "" {
			continue
		}
		v, err := strconv.Atoi(text)
		if err != nil || v < n.min || v > n.max || strconv.Itoa(v) != text {
			return bad(hintAgain, "the URI's %s is not a number from %d to %d", n.key, n.min, n.max)
		}
		*n.to = v
	}
	return nil
}

// parseSeed reads base32 as people and pages write it.
func parseSeed(text string) (secret.Secret, error) {
	clean := make([]byte, 0, len(text))
	defer func() { clear(clean[:cap(clean)]) }()
	for _, r := range []byte(text) {
		switch {
		case r == ' ' || r == '-' || r == '\t':
		case r >= 'a' && r <= 'z':
			clean = append(clean, r-'a'+'A')
		default:
			clean = append(clean, r)
		}
	}
	clean = bytes.TrimRight(clean, "=")
	seed := make([]byte, base32.StdEncoding.WithPadding(base32.NoPadding).DecodedLen(len(clean)))
	defer clear(seed)
	n, err := base32.StdEncoding.WithPadding(base32.NoPadding).Decode(seed, clean)
	switch {
	case err != nil:
		return secret.Secret{}, bad(hintAgain, "the seed is not base32 (letters A to Z and digits 2 to 7)")
	case n < MinSeed:
		return secret.Secret{}, bad(hintAgain, "the seed is too short: %d bytes, at least %d are needed", n, MinSeed)
	case n > MaxSeed:
		return secret.Secret{}, bad(hintAgain, "the seed is longer than %d bytes", MaxSeed)
	}
	return secret.New(seed[:n]), nil
}
