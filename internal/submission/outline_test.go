package submission_test

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	stdmultipart "mime/multipart"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/submission"
)

// heads gives the MIME headers that an IMAP server would, from the standard
// library's reader: it shares no code with what is tested.
func heads(t testing.TB, original []byte, paths [][]int) [][]byte {
	t.Helper()
	known := map[string][]byte{}
	m, err := mail.ReadMessage(bytes.NewReader(original))
	if err != nil {
		t.Fatal(err)
	}
	var walk func(contentType string, body io.Reader, path []int)
	walk = func(contentType string, body io.Reader, path []int) {
		kind, params, err := mime.ParseMediaType(contentType)
		if err != nil || !strings.HasPrefix(kind, "multipart/") {
			return
		}
		r := stdmultipart.NewReader(body, params["boundary"])
		for n := 1; ; n++ {
			p, err := r.NextRawPart()
			if err != nil {
				return
			}
			at := append(slices.Clone(path), n)
			var head bytes.Buffer
			for name, values := range p.Header {
				fmt.Fprintf(&head, "%s: %s\r\n", name, values[0])
			}
			head.WriteString("\r\n")
			known[fmt.Sprint(at)] = head.Bytes()
			walk(p.Header.Get("Content-Type"), p, at)
		}
	}
	walk(m.Header.Get("Content-Type"), m.Body, nil)
	out := make([][]byte, len(paths))
	for i, p := range paths {
		out[i] = known[fmt.Sprint(p)]
	}
	return out
}

// arrangements puts a letter's parts beside documents and pictures in the ways
// of mail programs.
func (s sample) arrangements() map[string][]byte {
	parts := s.parts()
	text := parts[0]
	if len(parts) > 1 {
		text = multipart("alternative", "alt-1", parts)
	}
	var own []string
	for _, a := range s.attach {
		own = append(own, attachment(a, s.second))
	}
	pdf := "Content-Type: application/pdf; name=\"atto.pdf\"\r\nContent-Disposition: attachment; filename=\"atto.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		strings.Repeat("JVBERi0xLjQKJcOkw7zDtsOfCjIgMCBvYmoKPDwvTGVuZ3RoIDMgMCBSL0ZpbHRlci9GbGF0\r\n", 40)
	logo := "Content-Type: image/png; name=\"logo.png\"\r\nContent-ID: <logo@x>\r\nContent-Disposition: inline; filename=\"logo.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		strings.Repeat("iVBORw0KGgoAAAANSUhEUgAAAAUA\r\n", 20)
	foot := "Content-Type: text/plain; charset=utf-8\r\n\r\nInviato da un dispositivo mobile\r\n"
	related := multipart("related", "rel_1", []string{text, logo})
	all := map[string][]string{
		"document behind":   append([]string{text, pdf}, own...),
		"document before":   append(append([]string{text}, own...), pdf),
		"two documents":     append([]string{text, pdf, pdf}, own...),
		"picture in it":     append([]string{related, pdf}, own...),
		"letter behind":     append([]string{pdf, text}, own...),
		"text at the end":   append([]string{text, pdf, foot}, own...),
		"nested":            {multipart("mixed", "inner", append([]string{text, pdf}, own...)), pdf},
		"letter in a mixed": {pdf, multipart("mixed", "inner", append([]string{text}, own...))},
		"ten documents":     append(append([]string{text}, slices.Repeat([]string{pdf}, 10)...), own...),
	}
	out := map[string][]byte{"as it is": s.message()}
	for name, list := range all {
		head := fmt.Sprintf("From: %s\r\nTo: studio@pec.example\r\nSubject: %s\r\nMIME-Version: 1.0\r\n", s.from, mime.QEncoding.Encode("utf-8", s.subject))
		out[name] = []byte(head + multipart("mixed", "mix=1", list))
	}
	return out
}

// No letter that is a submission is given up for its beginning, wherever it is
// cut; and most of those that are none are, once only documents are left.
func TestOutline(t *testing.T) {
	none, saved := 0, 0
	for i, s := range corpus(t) {
		if strings.HasPrefix(s.class, "unproven") && i%5 > 0 {
			continue // they differ in wording, which the others do enough
		}
		for name, raw := range s.arrangements() {
			if name != "as it is" && name != "document behind" && (i+len(name))%2 == 1 {
				continue // each arrangement with half of the letters: there are many
			}
			whole := submission.Find(&pec.Message{Original: raw, Subject: s.subject, Mailbox: s.sender, SentAt: s.sent}, submission.Options{})
			given := false
			asked := map[string]bool{} // cuts inside the same part are one
			for cut := 1; cut < len(raw); cut += 1 + len(raw)/60 {
				o, ok := submission.NewOutline(raw[:cut])
				if !ok || asked[fmt.Sprint(o.Unseen())] {
					continue
				}
				asked[fmt.Sprint(o.Unseen())] = true
				if !o.Useless(s.subject, s.sender) || !o.Harmless(heads(t, raw, o.Unseen())) {
					continue
				}
				given = true
				if whole.State != submission.None {
					t.Errorf("%s, %s: given up after %d of %d bytes, and it is %s", s.name, name, cut, len(raw), whole.State)
					break
				}
			}
			if whole.State == submission.None && name == "document behind" && len(s.attach) == 0 {
				none++
				if given {
					saved++
				}
			}
			whole.Wipe()
		}
	}
	if saved*10 < none*9 || none < 50 {
		t.Errorf("of %d letters about something else %d are told by their beginning, want nine of ten", none, saved)
	}
}

// What is unclear is read whole.
func TestOutlineUnclear(t *testing.T) {
	const head = "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
	const text = "--x\r\nContent-Type: text/plain\r\n\r\nBuongiorno, in allegato la fattura.\r\n"
	const pdf = "--x\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=f.pdf\r\n\r\nJVBE\r\n"
	tests := []struct {
		name, beginning string
		ok              bool
		unseen          int
	}{
		{"inside a document", head + text + pdf, true, 8},
		{"a document alone", "From: a@b.example\r\nContent-Type: application/pdf\r\n\r\nJVBE", true, 0},
		{"a picture within the letter", head + "--x\r\nContent-Type: multipart/related; boundary=y\r\n\r\n--y\r\nContent-Type: text/html\r\n\r\n<p>x\r\n--y\r\nContent-Type: image/png\r\n\r\nAA", true, 16},
		{"behind a closed multipart", head + "--x\r\nContent-Type: multipart/related; boundary=y\r\n\r\n--y\r\nContent-Type: text/html\r\n\r\n<p>x\r\n--y--\r\n", true, 8},
		{"nothing", "", false, 0},
		{"inside the header", "From: a@b.example\r\nContent-Type: multi", false, 0},
		{"no header at all", "Buongiorno\r\n\r\nx", false, 0},
		{"inside the text", head + text, false, 0},
		{"text alone", "From: a@b.example\r\n\r\nBuongiorno", false, 0},
		{"inside a part's header", head + text + "--x\r\nContent-Type: application/pdf\r\n", false, 0},
		{"inside a delimiter", head + text + pdf + "--x", false, 0},
		{"inside a delimiter's line", head + text + pdf + "-", false, 0},
		{"behind the end", head + text + pdf + "--x--\r\n", false, 0},
		{"a part without a type", head + text + "--x\r\n\r\nciao", false, 0},
		{"a part with a broken type", head + text + "--x\r\nContent-Type: allegato\r\n\r\nciao", false, 0},
		{"no boundary", "From: a@b.example\r\nContent-Type: multipart/mixed\r\n\r\n--x\r\nContent-Type: application/pdf\r\n\r\nJVBE", false, 0},
		{"a preamble only", head + "This is a message", false, 0},
	}
	for _, tt := range tests {
		o, ok := submission.NewOutline([]byte(tt.beginning))
		if ok != tt.ok {
			t.Errorf("%s: got ok %t, want %t", tt.name, ok, tt.ok)
		} else if ok && len(o.Unseen()) != tt.unseen {
			t.Errorf("%s: got %d parts to ask for, want %d", tt.name, len(o.Unseen()), tt.unseen)
		}
	}
}

// Only documents behind what was read are harmless.
func TestHarmless(t *testing.T) {
	o, ok := submission.NewOutline([]byte("From: a@b.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: application/pdf\r\n\r\nJVBE"))
	if !ok {
		t.Fatal("no outline")
	}
	const pdf = "Content-Type: application/pdf\r\n\r\n"
	tests := []struct {
		name  string
		heads []string
		want  bool
	}{
		{"nothing more", nil, true},
		{"a document", []string{pdf}, true},
		{"a message", []string{pdf, "Content-Type: message/rfc822\r\n\r\n"}, true},
		{"a text", []string{pdf, "Content-Type: text/plain; name=password.txt\r\n\r\n"}, false},
		{"a page", []string{"content-type: TEXT/HTML\r\n\r\n"}, false},
		{"no type", []string{"Content-Disposition: attachment; filename=x.pdf\r\n\r\n"}, false},
		{"a broken type", []string{"Content-Type: pdf\r\n\r\n"}, false},
		{"more parts inside", []string{"Content-Type: multipart/mixed; boundary=y\r\n\r\n"}, false},
		{"a gap", []string{"", pdf}, false},
		{"too many", slices.Repeat([]string{pdf}, submission.MaxUnseen), false},
		{"a header that doesn't end", []string{"Content-Type: application/pdf\r\n\r\nmore"}, false},
	}
	for _, tt := range tests {
		answer := make([][]byte, submission.MaxUnseen)
		for i, h := range tt.heads {
			answer[i] = []byte(h)
		}
		if got := o.Harmless(answer); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
		}
	}
	if o.Harmless(nil) {
		t.Error("no answer: got harmless")
	}
}

// FuzzOutline: no bytes make it panic, and a beginning that is given up
// belongs to no submission, if documents follow.
func FuzzOutline(f *testing.F) {
	for _, s := range corpus(f)[:40] {
		raw := s.arrangements()["document behind"]
		f.Add(raw, len(raw)*9/10)
	}
	f.Fuzz(func(t *testing.T, raw []byte, cut int) {
		if len(raw) > 64<<10 || cut < 0 || cut > len(raw) {
			return
		}
		o, ok := submission.NewOutline(raw[:cut])
		if !ok || !o.Useless("", "rossi@pec.example") {
			return
		}
		// The same, with the open parts closed right there.
		m := pec.Message{Original: raw[:cut], Mailbox: "rossi@pec.example", SentAt: defaultSent}
		if r := submission.Find(&m, submission.Options{}); r.State != submission.None {
			t.Errorf("given up, and what was read of it is %s", r.State)
		}
	})
}
