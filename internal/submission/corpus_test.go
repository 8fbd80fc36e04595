package submission_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"mime"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"
)

const corpusDir = "../../testdata/submissions"

// sample is one letter of the corpus with the truth about it. The format is
// described in testdata/submissions/README.md.
type sample struct {
	name, class   string
	from, sender  string
	subject, as   string
	attach        []string
	sent          time.Time
	truth, secret string
	expires       string
	generated     string
	body, second  string
}

// defaultSent is when a letter was sent that doesn't say.
var defaultSent = time.Date(2023, 11, 15, 9, 10, 11, 0, time.UTC)

// corpus reads all letters; at least one is required, so that a moved folder
// doesn't pass as a good result.
func corpus(t testing.TB) []sample {
	files, err := filepath.Glob(filepath.Join(corpusDir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus in %s: %v", corpusDir, err)
	}
	sort.Strings(files)
	var all []sample
	names := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		class := strings.TrimSuffix(filepath.Base(f), ".txt")
		for i, chunk := range strings.Split("\n"+string(b), "\n=== ")[1:] {
			s, err := parseSample(class, chunk)
			if err != nil {
				t.Fatalf("%s: letter %d: %v", f, i+1, err)
			}
			if names[s.name] {
				t.Fatalf("%s: %s is there twice", f, s.name)
			}
			names[s.name] = true
			all = append(all, s)
		}
	}
	return all
}

func parseSample(class, chunk string) (sample, error) {
	s := sample{class: class, from: "Mario Rossi <rossi@pec.example>", sender: "rossi@pec.example", as: "plain",
		sent: defaultSent}
	head, body, ok := strings.Cut(chunk+"\n", "\n---\n")
	if !ok {
		return s, fmt.Errorf("no --- line in %.40q", chunk)
	}
	lines := strings.Split(head, "\n")
	s.name = class + "/" + strings.TrimSpace(lines[0])
	for _, l := range lines[1:] {
		key, value, ok := strings.Cut(l, ": ")
		if !ok {
			if key, ok = strings.CutSuffix(l, ":"); !ok {
				return s, fmt.Errorf("%s: bad line %q", s.name, l)
			}
		}
		switch key {
		case "subject":
			s.subject = value
		case "from":
			s.from = value
		case "sender":
			s.sender = value
		case "as":
			s.as = value
		case "attach":
			s.attach = strings.Split(value, ", ")
		case "truth":
			s.truth, s.secret, _ = strings.Cut(value, " ")
		case "expires":
			s.expires = value
		case "generated":
			s.generated = value
		case "sent":
			at, err := time.Parse(time.RFC3339, value)
			if err != nil {
				return s, err
			}
			s.sent = at
		default:
			return s, fmt.Errorf("%s: unknown key %q", s.name, key)
		}
	}
	switch s.truth {
	case "found", "ask", "extension", "none":
	default:
		return s, fmt.Errorf("%s: truth %q", s.name, s.truth)
	}
	s.body, s.second, _ = strings.Cut(body, "\n---\n")
	s.body = strings.TrimSuffix(s.body, "\n")
	return s, nil
}

// message builds the original message of a letter.
func (s sample) message() []byte {
	var m bytes.Buffer
	fmt.Fprintf(&m, "From: %s\r\nTo: studio@pec.example\r\nSubject: %s\r\nMIME-Version: 1.0\r\n", s.from, mime.QEncoding.Encode("utf-8", s.subject))
	parts := s.parts()
	if len(s.attach) == 0 && len(parts) == 1 {
		m.WriteString(parts[0])
		return m.Bytes()
	}
	body := parts[0]
	if len(parts) > 1 {
		body = multipart("alternative", "alt-1", parts)
	}
	if len(s.attach) > 0 {
		all := []string{body}
		for _, a := range s.attach {
			all = append(all, attachment(a, s.second))
		}
		body = multipart("mixed", "mix=1", all)
	}
	m.WriteString(body)
	return m.Bytes()
}

func multipart(kind, boundary string, parts []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Content-Type: multipart/%s; boundary=\"%s\"\r\n\r\n", kind, boundary)
	for _, p := range parts {
		fmt.Fprintf(&b, "--%s\r\n%s\r\n", boundary, p)
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.String()
}

func attachment(name, text string) string {
	kind := mime.TypeByExtension(filepath.Ext(name))
	data := []byte("%PDF-1.4 not opened")
	if strings.HasSuffix(name, ".txt") {
		kind, data = "text/plain; charset=utf-8", []byte(text)
	}
	if kind == "" {
		kind = "application/octet-stream"
	}
	return fmt.Sprintf("Content-Type: %s\r\nContent-Disposition: attachment; filename=\"%s\"\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n",
		kind, name, base64.StdEncoding.EncodeToString(data))
}

// parts gives the header and body of each form of the text.
func (s sample) parts() []string {
	crlf := strings.ReplaceAll(s.body, "\n", "\r\n") + "\r\n"
	switch s.as {
	case "plain":
		return []string{"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + crlf}
	case "flowed":
		return []string{"Content-Type: text/plain; charset=utf-8; format=flowed\r\n\r\n" + crlf}
	case "qp":
		return []string{"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + qp(crlf)}
	case "base64":
		return []string{"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(crlf)) + "\r\n"}
	case "latin1":
		return []string{"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + qp(latin1(crlf))}
	case "mislabelled":
		return []string{"Content-Type: text/plain; charset=utf-8\r\n\r\n" + latin1(crlf)}
	case "html":
		return []string{"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + qp(toHTML(s.body))}
	case "rawhtml":
		return []string{"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + qp(crlf)}
	case "both":
		second := s.second
		if second == "" || len(s.attach) > 0 {
			second = toHTML(s.body)
		}
		return []string{"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + qp(crlf),
			"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + qp(second)}
	}
	panic("unknown form " + s.as)
}

func toHTML(text string) string {
	var b strings.Builder
	b.WriteString("<html><head><style>p {margin: 0cm}</style></head><body>\r\n")
	for _, para := range strings.Split(text, "\n\n") {
		b.WriteString("<p>" + strings.ReplaceAll(html.EscapeString(para), "\n", "<br>\r\n") + "</p>\r\n")
	}
	b.WriteString("</body></html>\r\n")
	return b.String()
}

func qp(s string) string {
	var b strings.Builder
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func latin1(s string) string {
	out, err := charmap.Windows1252.NewEncoder().String(s)
	if err != nil {
		panic(err)
	}
	return out
}
