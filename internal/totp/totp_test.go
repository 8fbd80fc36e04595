package totp_test

import (
	"encoding/base32"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"pec-ingest/internal/totp"
)

// The seeds of RFC 6238's appendix B: one a hash, as long as its output.
func rfcSeed(n int) string {
	return base32.StdEncoding.EncodeToString([]byte(strings.Repeat("1234567890", 7)[:n]))
}

// RFC 6238, appendix B: test vectors.
func TestRFC6238Vectors(t *testing.T) {
	tests := []struct {
		at                   int64
		sha1, sha256, sha512 string
	}{
		{59, "94287082", "46119246", "90693936"},
		{1111111109, "07081804", "68084774", "25091201"},
		{1111111111, "14050471", "67062674", "99943326"},
		{1234567890, "89005924", "91819424", "93441116"},
		{2000000000, "69279037", "90698825", "38618901"},
		{20000000000, "65353130", "77737706", "47863826"},
	}
	for _, tt := range tests {
		for _, alg := range []struct {
			name, want string
			seed       int
		}{{"SHA1", tt.sha1, 20}, {"SHA256", tt.sha256, 32}, {"SHA512", tt.sha512, 64}} {
			p, err := totp.Parse([]byte("otpauth://totp/x?secret=" + rfcSeed(alg.seed) + "&digits=8&algorithm=" + alg.name))
			if err != nil {
				t.Fatalf("%s: %v", alg.name, err)
			}
			for digits := 6; digits <= 8; digits++ { // fewer digits are the last ones (RFC 4226 §5.3)
				p.Digits = digits
				code, left, err := p.Code(time.Unix(tt.at, 0))
				if want := alg.want[8-digits:]; err != nil || code.RevealString() != want {
					t.Errorf("%s at %d, %d digits: got %s, %v, want %s", alg.name, tt.at, digits, code.RevealString(), err, want)
				}
				if want := time.Duration(30-tt.at%30) * time.Second; left != want {
					t.Errorf("at %d: good for %v, want %v", tt.at, left, want)
				}
			}
		}
	}
}

// A code is good to the end of its period, and the next one from there on.
func TestPeriods(t *testing.T) {
	for _, period := range []int{15, 30, 60, 120} {
		p, err := totp.Parse([]byte("otpauth://totp/x?secret=" + rfcSeed(20) + "&period=" + strconv.Itoa(period)))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Unix(int64(period)*1000, 0)
		first, left, _ := p.Code(start)
		if left != time.Duration(period)*time.Second {
			t.Errorf("period %d, at its start: good for %v", period, left)
		}
		last, left, _ := p.Code(start.Add(left - 200*time.Millisecond))
		if !first.Equal(last) || left != 200*time.Millisecond {
			t.Errorf("period %d, before its end: same code %t, good for %v", period, first.Equal(last), left)
		}
		if next, _, _ := p.Code(start.Add(time.Duration(period) * time.Second)); next.Equal(first) {
			t.Errorf("period %d: the next period has the same code", period)
		}
	}
}

const seed = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"

func TestParse(t *testing.T) {
	type params struct {
		Account, Issuer, Algorithm string
		Digits, Period             int
	}
	tests := map[string]params{
		seed: {"", "", "SHA1", 6, 30},
		"jbsw y3dp ehpk 3pxp jbsw y3dp ehpk 3pxp\n":                                                             {"", "", "SHA1", 6, 30},
		"JBSW-Y3DP-EHPK-3PXP-JBSW-Y3DP-EHPK-3PXP":                                                               {"", "", "SHA1", 6, 30},
		"otpauth://totp/Microsoft:fatture%40rossi.example?secret=" + seed + "&issuer=Microsoft":                 {"fatture@rossi.example", "Microsoft", "SHA1", 6, 30},
		"otpauth://totp/Studio%20Rossi%3A%20paghe@rossi.example?secret=" + seed:                                 {"paghe@rossi.example", "Studio Rossi", "SHA1", 6, 30},
		"OTPAUTH://TOTP/x?secret=" + strings.ToLower(seed) + "&algorithm=sha256&digits=7&period=60&image=https": {"x", "", "SHA256", 7, 60},
		"otpauth://totp/x?secret=" + seed + "%3D%3D&algorithm=HMAC-SHA512&digits=8&period=120":                  {"x", "", "SHA512", 8, 120},
		"otpauth://totp?secret=" + seed + "&issuer=Solo":                                                        {"", "Solo", "SHA1", 6, 30},
		"otpauth://totp/?secret=" + seed:                                                                        {"", "", "SHA1", 6, 30},
	}
	for text, want := range tests {
		p, err := totp.Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, params{p.Account, p.Issuer, p.Algorithm, p.Digits, p.Period}); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
		if got := base32.StdEncoding.EncodeToString(p.Seed.Reveal()); got != seed {
			t.Errorf("%s: the seed is another one", text)
		}
	}
}

// Each broken text gets a clear answer, in which none of it stands.
func TestParseRefuses(t *testing.T) {
	tests := map[string]string{
		"":    "nothing",
		" \n": "nothing",
		"otpauth://hotp/x?secret=" + seed + "&counter=1":                 "counter",
		"otpauth-migration://offline?data=" + seed:                       "Google Authenticator",
		"phonefactor://activate_account?code=" + seed:                    "Microsoft",
		"https://login.example/" + seed:                                  "no otpauth",
		"otpauth:totp/x?secret=" + seed:                                  "two slashes",
		"otpauth://steam/x?secret=" + seed:                               "totp",
		"otpauth:///x?secret=" + seed:                                    "totp",
		"otpauth://totp/x":                                               "no secret",
		"otpauth://totp/x?secret=":                                       "no secret",
		"otpauth://totp/x?Secret=" + seed:                                "no secret",
		"otpauth://totp/x?secret=" + seed + "&secret=" + seed:            "more than once",
		"otpauth://totp/x?secret=" + seed + "&period=30&period=60":       "more than once",
		"otpauth://totp/x?secret=" + seed[:15]:                           "too short",
		"otpauth://totp/x?secret=" + seed + "1":                          "base32",
		"otpauth://totp/x?secret=" + seed + "&digits=5":                  "digits",
		"otpauth://totp/x?secret=" + seed + "&digits=9":                  "digits",
		"otpauth://totp/x?secret=" + seed + "&digits=+6":                 "digits",
		"otpauth://totp/x?secret=" + seed + "&digits=sei":                "digits",
		"otpauth://totp/x?secret=" + seed + "&period=14":                 "period",
		"otpauth://totp/x?secret=" + seed + "&period=121":                "period",
		"otpauth://totp/x?secret=" + seed + "&period=0":                  "period",
		"otpauth://totp/x?secret=" + seed + "&period=-30":                "period",
		"otpauth://totp/x?secret=" + seed + "&algorithm=MD5":             "algorithm",
		"otpauth://totp/x%zz?secret=" + seed:                             "can't be read",
		"otpauth://totp/x?secret=" + seed + "&digits=%zz":                "can't be read",
		"otpauth://totp/x?secret=" + seed + ";digits=6":                  "can't be read",
		"otpauth://utente:" + seed + "@totp/x?secret=" + seed:            "can't be read",
		"otpauth://totp/x?secret=" + seed + "#x":                         "can't be read",
		"otpauth://totp/" + strings.Repeat("x", 201) + "?secret=" + seed: "name",
		"otpauth://totp/a%1b%5b2Jb?secret=" + seed:                       "name",
		"otpauth://totp/a%E2%80%AEb?secret=" + seed:                      "name",
		"otpauth://totp/x?issuer=a%00b&secret=" + seed:                   "name",
		"otpauth://totp/x?secret=" + strings.Repeat("A", 4096):           "longer",
		seed + "\n" + seed:                                               "one line",
		"\xff\xfe" + seed:                                                "UTF-8",
		seed[:14]:                                                        "too short",
		strings.Repeat("A", 216):                                         "longer than 128",
		"non è un seme":                                                  "base32",
		seed + "=A":                                                      "base32",
		"password: " + seed + "!":                                        "base32",
	}
	for text, want := range tests {
		p, err := totp.Parse([]byte(text))
		var e *totp.Error
		if !errors.As(err, &e) || !strings.Contains(e.Msg, want) {
			t.Errorf("%.80q: got %v, want an error with %q", text, err, want)
			continue
		}
		if e.Hint == "" || !p.Seed.IsZero() {
			t.Errorf("%.80q: hint %q, seed empty %t", text, e.Hint, p.Seed.IsZero())
		}
		if strings.Contains(e.Msg+e.Hint, seed[:8]) {
			t.Errorf("%.80q: the error holds the seed: %v", text, e)
		}
	}
}

// A record that Parse can't have made gives no code.
func TestCodeRefuses(t *testing.T) {
	good, err := totp.Parse([]byte(seed))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*totp.Params){
		"no seed":      func(p *totp.Params) { p.Seed = totp.Params{}.Seed },
		"no digits":    func(p *totp.Params) { p.Digits = 0 },
		"many digits":  func(p *totp.Params) { p.Digits = 10 },
		"no period":    func(p *totp.Params) { p.Period = 0 },
		"no algorithm": func(p *totp.Params) { p.Algorithm = "" },
		"MD5":          func(p *totp.Params) { p.Algorithm = "MD5" },
	} {
		p := good
		change(&p)
		if code, _, err := p.Code(time.Now()); err == nil || !code.IsZero() {
			t.Errorf("%s: got a code", name)
		}
	}
	if _, _, err := good.Code(time.Unix(-1, 0)); err == nil {
		t.Error("before 1970: got a code")
	}
}

// What is read can be written and read again; a refusal holds nothing of the
// text; a code has its digits.
func FuzzParse(f *testing.F) {
	for _, s := range []string{seed, "otpauth://totp/Issuer:a@b?secret=" + seed + "&algorithm=SHA512&digits=8&period=60&issuer=Issuer",
		"otpauth://hotp/x?secret=" + seed, "otpauth://totp/%E2%80%AE?secret=" + seed + "&digits=9", "otpauth-migration://offline?data=" + seed} {
		f.Add([]byte(s))
	}
	at := time.Unix(1_800_000_000, 0)
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := totp.Parse(text)
		if err != nil {
			var e *totp.Error
			if !errors.As(err, &e) || !p.Seed.IsZero() || e.Msg == "" {
				t.Fatalf("refused with %T %v, seed empty %t", err, err, p.Seed.IsZero())
			}
			return
		}
		code, left, err := p.Code(at)
		if err != nil || code.Len() != p.Digits || strings.IndexFunc(code.RevealString(), func(r rune) bool { return !unicode.IsDigit(r) }) >= 0 ||
			left <= 0 || left > time.Duration(p.Period)*time.Second {
			t.Fatalf("code of %d characters, good for %v, %v; want %d digits", code.Len(), left, err, p.Digits)
		}
		q := url.Values{"secret": {base32.StdEncoding.EncodeToString(p.Seed.Reveal())}, "algorithm": {p.Algorithm},
			"digits": {strconv.Itoa(p.Digits)}, "period": {strconv.Itoa(p.Period)}}
		if p.Issuer != "" {
			q.Set("issuer", p.Issuer)
		}
		again, err := totp.Parse([]byte("otpauth://totp/" + url.PathEscape(":"+p.Account) + "?" + q.Encode()))
		if err != nil {
			t.Fatalf("what was read is refused when written: %v", err)
		}
		same, _, _ := again.Code(at)
		if again.Account != p.Account || again.Issuer != p.Issuer || !same.Equal(code) {
			t.Fatalf("read again: %q %q, want %q %q", again.Account, again.Issuer, p.Account, p.Issuer)
		}
	})
}
