package pec_test

import (
	"bytes"
	"strings"
	"testing"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/pectest/corpus"
)

// Wherever a message is cut, a glimpse at its beginning shows what the whole
// one holds, or nothing.
func TestGlimpse(t *testing.T) {
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	messages := map[string][]byte{}
	for _, f := range corpus.All() {
		if len(f.Message) < 64<<10 {
			messages[f.Name] = f.Message
		}
	}
	for _, style := range pectest.Styles() {
		e := corpus.Envelope()
		e.Style = style
		e.Letter.Attachments = []pectest.Attachment{{Name: "atto.pdf", Type: "application/pdf", Data: bytes.Repeat([]byte("%PDF"), 2000)}}
		messages["attachment, "+style.Name] = e.Bytes()
	}
	shown := 0
	for name, raw := range messages {
		j := pec.Judge(raw, o)
		for cut := 1; cut < len(raw); cut += 1 + len(raw)/70 {
			g, ok := pec.Glimpse(raw[:cut])
			if !ok {
				continue
			}
			if !bytes.Contains(raw[:cut], bytes.TrimRight(g.Original, "\r\n")) {
				t.Errorf("%s, cut at %d: the original is no part of what was given", name, cut)
			}
			if !j.Certified() {
				continue
			}
			shown++
			m := j.Message
			// The last line may be the beginning of a delimiter.
			whole := g.Original[:bytes.LastIndexByte(g.Original, '\n')+1]
			if whole = bytes.TrimRight(whole, "\r\n"); !bytes.HasPrefix(lf(m.Original), lf(whole)) {
				t.Errorf("%s, cut at %d: got another original than the message's", name, cut)
			}
			if g.Sender != "" && (g.Sender != m.Sender || g.Subject != m.Subject) {
				t.Errorf("%s, cut at %d: got sender %q, subject %q; want %q, %q", name, cut, g.Sender, g.Subject, m.Sender, m.Subject)
			}
			if len(g.Section) != 2 || g.Section[0] != 1 || g.Section[1] < 2 {
				t.Errorf("%s, cut at %d: got section %v", name, cut, g.Section)
			}
		}
	}
	if shown < 500 {
		t.Errorf("looked at %d beginnings, want many", shown)
	}
}

// lf has lone LF: a message may be stored so, and its original is mended.
func lf(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }

// A message that is not plainly an envelope is not judged by its beginning.
func TestGlimpseUnclear(t *testing.T) {
	whole := string(corpus.Envelope().Bytes())
	cut := strings.Index(whole, "ecco la password")
	if _, ok := pec.Glimpse([]byte(whole[:cut])); !ok {
		t.Fatal("a good envelope shows nothing")
	}
	tests := []struct{ name, from, to string }{
		{"a receipt", "X-Trasporto: posta-certificata", "X-Ricevuta: accettazione"},
		{"an anomaly", "X-Trasporto: posta-certificata", "X-Trasporto: errore"},
		{"ordinary mail", "X-Trasporto: posta-certificata\r\n", ""},
		{"two senders", "From: ", "From: a@b.example\r\nFrom: "},
		{"not signed", "multipart/signed", "multipart/mixed"},
		{"an encoded multipart", "MIME-Version: 1.0\r\n", "MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n"},
		{"an encoded original", "Content-Type: message/rfc822; name=\"postacert.eml\"\r\nContent-Transfer-Encoding: 7bit", "Content-Type: message/rfc822; name=\"postacert.eml\"\r\nContent-Transfer-Encoding: base64"},
		{"an original of another type", "message/rfc822", "application/octet-stream"},
		{"another name", "postacert.eml", "lettera.eml"},
		{"a broken header", "Message-ID: ", "Message ID "},
	}
	for _, tt := range tests {
		if !strings.Contains(whole[:cut], tt.from) {
			t.Fatalf("%s: nothing to replace", tt.name)
		}
		if _, ok := pec.Glimpse([]byte(strings.ReplaceAll(whole[:cut], tt.from, tt.to))); ok {
			t.Errorf("%s: got a glimpse", tt.name)
		}
	}
}

// FuzzGlimpse: no bytes make it panic, and what it shows was given.
func FuzzGlimpse(f *testing.F) {
	whole := corpus.Envelope().Bytes()
	for cut := 100; cut < len(whole); cut += 500 {
		f.Add(whole[:cut])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if g, ok := pec.Glimpse(raw); ok && !bytes.Contains(raw, bytes.TrimRight(g.Original, "\r\n")) {
			t.Error("shows what was not given")
		}
	})
}
