package pec_test

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest/corpus"
)

func TestSingleAddress(t *testing.T) {
	for in, want := range map[string]string{
		"a@b.it":                               "a@b.it",
		" a@b.it ":                             "a@b.it",
		"<a@b.it>":                             "a@b.it",
		"Rossi <a@b.it>":                       "a@b.it",
		`"Per conto di: x@y.it" <a@b.it>`:      "a@b.it",
		`"Per conto di: \"x\" <x@y>" <a@b.it>`: "a@b.it",
		"a@b.it (Rossi)":                       "a@b.it",
		"(x@y) a@b.it":                         "a@b.it",
		"Rossi < a@b.it >":                     "a@b.it",
		"Rossi <(c)a@b.it(d)>":                 "a@b.it",
		"=?utf-8?Q?x=40y?= <a@b.it>":           "a@b.it",
		"x@y.it <a@b.it>":                      "a@b.it",
		"Rossi, Mario <a@b.it>":                "",
		"a@b.it, c@d.it":                       "",
		"a@b.it,":                              "",
		"G: a@b.it;":                           "",
		"<a@b.it> <c@d.it>":                    "",
		"<a@b.it> c@d.it":                      "",
		"<@x:a@b.it>":                          "",
		"<a@b@c>":                              "",
		"a@b.it c@d.it":                        "",
		"a @b.it":                              "",
		`"a"@b.it`:                             "",
		`"a@b.it"`:                             "",
		"(a@b.it)":                             "",
		"a@":                                   "",
		"@b":                                   "",
		"a":                                    "",
		"":                                     "",
		`"open <a@b.it>`:                       "",
		"(open a@b.it":                         "",
		"<a@b.it":                              "",
		"a@b.it>":                              "",
		"<>":                                   "",
		"a@b.it\x00":                           "",
		"a@[127.0.0.1]":                        "",
	} {
		got, ok := pec.SingleAddress(in)
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestMailbox(t *testing.T) {
	for in, want := range map[string]string{
		"Rossi@PEC.it":          "rossi@pec.it",
		"a.b_c+d-e@x-y.pec.it":  "a.b_c+d-e@x-y.pec.it",
		"rossi@pec.it.":         "",
		"rossi@.it":             "",
		"rossi@pec..it":         "",
		"r\u043essi@pec.it":     "",
		"rossi@\u212amailer.it": "", // Kelvin sign
		"ro\u017fsi@pec.it":     "", // long s
		"rossi@p\u0435c.it":     "",
		"a b@pec.it":            "",
		"a@b@c":                 "",
		"@pec.it":               "",
		"rossi":                 "",
		"rossi/x@pec.it":        "",
		"\"rossi\"@pec.it":      "",
	} {
		if got := pec.MailboxOf(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestBareID(t *testing.T) {
	for in, want := range map[string]string{
		"<a@b>": "a@b", " <a@b> ": "a@b", "(c) <a@b> (d (e))": "a@b", "a@b": "a@b", "<a@b": "<a@b", "<a@b> x": "<a@b> x", "": "",
	} {
		if got := pec.BareID(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestMediaType(t *testing.T) {
	for _, c := range []struct {
		in, value string
		boundary  []string
		bad       bool
	}{
		{in: `multipart/signed; boundary="a b"`, value: "multipart/signed", boundary: []string{"a b"}},
		{in: `Multipart/Signed;BOUNDARY=a=b?c`, value: "multipart/signed", boundary: []string{"a=b?c"}},
		{in: `x/y (c;boundary=no) ; (d) boundary (e) = (f) "z\"w" (g)`, value: "x/y", boundary: []string{`z"w`}},
		{in: `x/y; boundary*0="a"; boundary*1="b"; boundary*2=c`, value: "x/y", boundary: []string{"abc"}},
		{in: `x/y; boundary*=utf-8'it'a%20b`, value: "x/y", boundary: []string{"a b"}},
		{in: `x/y; boundary*0*=us-ascii''a%2; boundary*1=b`, value: "x/y", boundary: []string{"a%2b"}},
		{in: `x/y; boundary*1=b; boundary*0=a`, value: "x/y", boundary: []string{"ab"}},
		{in: `x/y; boundary*0=a; boundary*2=c`, value: "x/y", boundary: []string{"a"}},
		{in: `x/y; boundary=a; boundary*=b`, value: "x/y", boundary: []string{"a", "b"}},
		{in: `x/y; ; boundary=a;`, value: "x/y", boundary: []string{"a"}},
		{in: `x/y; boundary=`, value: "x/y", boundary: []string{""}},
		{in: `x/y; boundary=a; Boundary=b`, bad: true},
		{in: `x/y; boundary="a`, bad: true},
		{in: `x/y; boundary="a"b`, bad: true},
		{in: `x/y; boundary`, bad: true},
		{in: `x/y boundary=a`, bad: true},
		{in: `x/y; (open`, bad: true},
		{in: ``, bad: true},
	} {
		value, all, err := pec.ParseMediaType(c.in, "boundary")
		if (err != nil) != c.bad || !c.bad && (value != c.value || !slices.Equal(all, c.boundary)) {
			t.Errorf("%s: got %q %q %v, want %q %q", c.in, value, all, err, c.value, c.boundary)
		}
	}
}

func TestSplitParts(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
		bad      bool
	}{
		{"two", "--b\r\n1\r\n--b\r\n2\r\n--b--\r\n", []string{"1", "2"}, false},
		{"lone LF", "pre\n--b\n1\n\n--b\n2\n--b--", []string{"1\n", "2"}, false},
		{"blanks", "--b \t\r\n1\r\n--b--  \r\nepilogue", []string{"1"}, false},
		{"empty parts", "--b\r\n--b\r\n\r\n--b--", []string{"", ""}, false},
		{"prefix", "--b\r\n--bc\r\n--b-\r\n--b--x\r\nx--b\r\n --b\r\n--b--", []string{"--bc\r\n--b-\r\n--b--x\r\nx--b\r\n --b"}, false},
		{"CR ends no line", "--b\r\n1\r--b\r\n--b--", []string{"1\r--b"}, false},
		{"not closed", "--b\r\n1\r\n--b\r\n2", nil, true},
		{"none", "1", nil, true},
		{"after the last", "--b\r\n1\r\n--b--\r\n--b\r\n2\r\n--b--", nil, true},
		{"last only", "--b--\r\n", nil, false},
	} {
		parts, err := pec.SplitParts([]byte(c.in), "b", 10)
		var got []string
		for _, p := range parts {
			got = append(got, string(p))
		}
		if (err != nil) != c.bad || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q %v, want %q", c.name, got, err, c.want)
		}
	}
	if _, err := pec.SplitParts([]byte(strings.Repeat("--b\r\nx\r\n", 12)+"--b--"), "b", 10); err == nil {
		t.Error("12 parts passed a limit of 10")
	}
}

func TestToDER(t *testing.T) {
	for _, c := range []struct{ name, in, want, rest string }{
		{"definite", "\x30\x03\x02\x01\x05", "\x30\x03\x02\x01\x05", ""},
		{"rest", "\x02\x01\x05\x05\x00", "\x02\x01\x05", "\x05\x00"},
		{"indefinite", "\x30\x80\x02\x01\x05\x00\x00", "\x30\x03\x02\x01\x05", ""},
		{"nested", "\x30\x80\xa0\x80\x02\x01\x05\x00\x00\x31\x00\x00\x00!", "\x30\x07\xa0\x03\x02\x01\x05\x31\x00", "!"},
		{"inside definite", "\x30\x07\x30\x80\x02\x01\x05\x00\x00", "\x30\x05\x30\x03\x02\x01\x05", ""},
		{"empty", "\x30\x80\x00\x00", "\x30\x00", ""},
	} {
		der, rest, err := pec.ToDER([]byte(c.in))
		if err != nil || string(der) != c.want || string(rest) != c.rest {
			t.Errorf("%s: got %x, rest %x, %v, want %x, rest %x", c.name, der, rest, err, c.want, c.rest)
		}
	}
	for name, in := range map[string]string{
		"empty": "", "no end": "\x30\x80\x02\x01\x05", "primitive": "\x04\x80\x00\x00", "too long": "\x30\x05\x02\x01",
		"long length": "\x30\x85\x00\x00\x00\x00\x01\x05", "high tag": "\x3f\x21\x00",
		"deep": strings.Repeat("\x30\x80", 100) + strings.Repeat("\x00\x00", 100),
	} {
		if der, _, err := pec.ToDER([]byte(in)); err == nil {
			t.Errorf("%s: got %x, want an error", name, der)
		}
	}
}

// Triage reads unsigned fields; what it is unsure of must be looked at.
func TestTriage(t *testing.T) {
	for in, want := range map[string]pec.Kind{
		"X-Trasporto: posta-certificata\r\n\r\n":                         pec.KindEnvelope,
		"x-trasporto:Posta-Certificata\r\n":                              pec.KindEnvelope,
		"X-Trasporto: errore\r\n\r\n":                                    pec.KindAnomaly,
		"X-Ricevuta: avvenuta-consegna\r\n\r\n":                          pec.KindDelivery,
		"X-Ricevuta:\r\n preavviso-errore-consegna\r\n\r\n":              pec.KindDeliveryDelay,
		"X-Ricevuta: altro\r\n\r\n":                                      pec.KindOrdinary,
		"Subject: POSTA CERTIFICATA: x\r\n\r\n":                          pec.KindOrdinary,
		"REM-MessageType: x\r\n\r\n":                                     pec.KindREM,
		"X-REM-Subject: x\r\nX-Ricevuta: accettazione\r\n":               pec.KindAcceptance,
		"X-Trasporto: posta-certificata\r\nX-Ricevuta: accettazione\r\n": "",
		"X-Ricevuta: accettazione\r\nX-Ricevuta: accettazione\r\n":       "",
		"From: a@b\r\nFrom: c@d\r\n":                                     "",
		"no header at all":                                               "",
		"":                                                               "",
	} {
		if got := pec.Triage([]byte(in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	for _, f := range corpus.All() {
		head, _, _ := bytes.Cut(f.Message, []byte("\r\n\r\n"))
		if got := pec.Triage(head); f.Reason == "" && got != pec.KindEnvelope && !bytes.Contains(head, []byte("\n\n")) {
			t.Errorf("%s: certified, but triage says %q", f.Name, got)
		}
	}
}

func TestMessageID(t *testing.T) {
	for in, want := range map[string]string{
		"Message-ID: <a@b>\r\n\r\n": "a@b", "message-id:\r\n <a@b> (x)\r\n": "a@b",
		"Message-ID: <a@b>\r\nMessage-Id: <c@d>\r\n": "", "X: y\r\n": "", "": "",
	} {
		if got := pec.MessageID([]byte(in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestReasons(t *testing.T) {
	want := "too-large malformed not-pec unsigned bad-signature unsupported-signature untrusted-signer signer-not-valid signer-mismatch anomaly receipt daticert-missing daticert-mismatch"
	var got []string
	sentences := map[string]bool{}
	for _, r := range pec.Reasons() {
		got = append(got, string(r))
		sentences[r.Sentence()] = true
		if r.Err() == nil || !strings.HasPrefix(r.Err().Error(), "pec: ") {
			t.Errorf("%s: sentinel is %v", r, r.Err())
		}
	}
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	if len(sentences) != len(got) || pec.Reason("").Err() != nil || pec.Reason("").Sentence() == "" {
		t.Error("sentences are not all different, or the empty reason has an error")
	}
	seen := map[pec.Reason]bool{}
	for _, f := range corpus.All() {
		seen[f.Reason] = true
	}
	for _, r := range pec.Reasons() {
		if !seen[r] && r != pec.ReasonTooLarge { // its message is made in TestBombs
			t.Errorf("no fixture is refused as %s", r)
		}
	}
}

// All that a provider attests arrives, and what only the header claims stands
// apart.
func TestMessageFields(t *testing.T) {
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	e := corpus.Envelope()
	e.Sender = "Rossi@pec.it"
	e.External = []string{"altro@example.com"}
	e.Fields = func(f []string) []string { return append(f, "Reply-To: evil@example.com") }
	raw := e.Bytes()
	j := pec.Judge(raw, o)
	if !j.Certified() {
		t.Fatal(j.Err)
	}
	m := j.Message
	want := pec.Message{
		Kind: pec.KindEnvelope, ID: m.ID, MsgID: "<letter1@client.example>", Sender: "Rossi@pec.it", Mailbox: "rossi@pec.it",
		ReplyTo: "Rossi@pec.it", Subject: "Password programmi di posta", SentAt: time.Date(2026, 9, 19, 13, 41, 19, 0, time.UTC),
		Zone: "+0200", Provider: "ARUBA PEC S.p.A.", ReceiptType: "completa", ErrorType: "nessuno",
	}
	if !strings.HasSuffix(m.ID, "@pec.aruba.it") || m.MsgID != want.MsgID || m.Sender != want.Sender || m.Mailbox != want.Mailbox ||
		m.ReplyTo != want.ReplyTo || m.Subject != want.Subject || m.SentAt != want.SentAt || m.Zone != want.Zone ||
		m.Provider != want.Provider || m.ReceiptType != want.ReceiptType || m.ErrorType != want.ErrorType || m.Kind != want.Kind {
		t.Errorf("got  %+v\nwant %+v", *m, want)
	}
	recipients := []pec.Recipient{{Address: "studio@pec.it", Type: "certificato"}, {Address: "altro@example.com", Type: "esterno"}}
	if !slices.Equal(m.Recipients, recipients) {
		t.Errorf("recipients: got %v, want %v", m.Recipients, recipients)
	}
	if !bytes.HasPrefix(m.Original, []byte("From: \"Mario Rossi\" <rossi@pec.it>\r\n")) || !bytes.HasSuffix(m.Original, []byte("Mario Rossi\r\n")) {
		t.Errorf("original: got %q", m.Original)
	}
	c := pec.Claimed{ID: m.ID, MsgID: m.MsgID, Sender: "Rossi@pec.it", From: `"Per conto di: Rossi@pec.it" <posta-certificata@pec.aruba.it>`, Subject: "POSTA CERTIFICATA: Password programmi di posta"}
	if j.Claimed != c {
		t.Errorf("claimed: got %+v, want %+v", j.Claimed, c)
	}
	// The caller may use its buffer again.
	clear(raw)
	if !bytes.HasPrefix(m.Original, []byte("From: ")) {
		t.Error("the original is a part of the caller's buffer")
	}
}

// Our base64 decoder takes what encoding/base64 takes, and blanks besides.
func TestDecodeBase64(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 56, 57, 58, 767, 768, 769, 1024, 5000, 5001} {
		want := bytes.Repeat([]byte("pec\x00\xff"), n/5+1)[:n]
		text := base64.StdEncoding.EncodeToString(want)
		if got, err := pec.DecodeBase64([]byte(strings.ReplaceAll(text, "A", "A  "))); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes with blanks between: got %d bytes, %v", n, len(got), err)
		}
		for _, width := range []int{4, 60, 76, 1024, 10000} {
			var lines strings.Builder
			for i := 0; i < len(text); i += width {
				lines.WriteString(" \t" + text[i:min(i+width, len(text))] + " \r\n")
			}
			if got, err := pec.DecodeBase64([]byte(lines.String())); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes in lines of %d: got %d bytes, %v", n, width, len(got), err)
			}
		}
	}
	long := strings.Repeat("AAAA", 255)
	for _, bad := range []string{"A", "AA", "AAA", "AA=", "AA==A", "AA==\r\nAAAA", "A===", "====", "AAAA=", "AA!A", "AAAA\x00", "A-_A", long + "AA==AAAA", long + "AA==\r\nAAAA"} {
		if got, err := pec.DecodeBase64([]byte(bad)); err == nil {
			t.Errorf("%.20q: got %d bytes, want an error", bad, len(got))
		}
	}
}

// A body that ends early is cut as if it were closed right there.
func TestSplitOpenParts(t *testing.T) {
	const body = "preamble\r\n--b\r\none\r\n\r\n--bb\r\n--b  \r\ntwo\r\n--b\r\nthree --b\n--b--\r\nepilogue\r\n"
	for cut := range len(body) + 1 {
		begun := body[:cut]
		if strings.HasSuffix(begun, "--b\r") || strings.HasSuffix(begun, "--b  \r") || strings.HasSuffix(begun, "--b--\r") {
			continue // whether this is a delimiter is not known yet
		}
		want, wantErr := pec.SplitParts([]byte(begun+"\r\n--b--\r\n"), "b", 10)
		got, err := pec.SplitOpenParts([]byte(begun), "b", 10)
		if begun == "" || !strings.Contains(begun, "--b") {
			if err == nil {
				t.Errorf("%q: got %q, want an error: no part has begun", begun, got)
			}
			continue
		}
		if (err == nil) != (wantErr == nil) || !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%q: got %q, %v, want %q, %v", begun, got, err, want, wantErr)
		}
	}
	if _, err := pec.SplitOpenParts([]byte(strings.Repeat("--b\r\nx\r\n", 11)), "b", 10); err == nil {
		t.Error("more parts than allowed: got no error")
	}
}
