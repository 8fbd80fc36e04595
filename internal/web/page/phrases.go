package page

import (
	"fmt"
	"regexp"
	"strings"

	"pec-ingest/internal/safetext"
)

// What the service notes in fixed English phrases, in the page's words.

var replacedForm = regexp.MustCompile(`^replaced by version ([0-9]+)$`)

// Ended says why a version ended.
func (f frame) Ended(why string) string {
	if m := replacedForm.FindStringSubmatch(why); m != nil {
		return f.T("ended.replaced", m[1])
	}
	return f.Or("ended.", strings.ReplaceAll(why, " ", "-"))
}

var reviewForm = regexp.MustCompile(`^review ([0-9]+)$`)

// Source says where a version came from: a PEC identifier, or who entered it.
func (f frame) Source(source string) string {
	how, byHand := strings.CutPrefix(source, "set")
	if !byHand || how != "" && !strings.HasPrefix(how, ": ") {
		return safetext.Line(source)
	}
	how = strings.TrimPrefix(how, ": ")
	if m := reviewForm.FindStringSubmatch(how); m != nil {
		how = f.T("review.title", m[1])
	}
	return strings.TrimSuffix(f.T("source.set")+": "+safetext.Line(how), ": ")
}

// Decision says what a person decided.
func (f frame) Decision(what string) string {
	if reason, ok := strings.CutPrefix(what, "rejected: "); ok && reason != "" {
		return f.T("decision.rejected") + ": " + safetext.Line(reason)
	}
	return f.Or("decision.", strings.TrimRight(what, ": "))
}

var whereForm = regexp.MustCompile(`^(text/plain|text/html|attachment:[0-9]+):([0-9]+)$`)

// Where says where in a letter a candidate stands.
func (f frame) Where(where string) string {
	if where == "subject" {
		return f.T("where.subject")
	}
	m := whereForm.FindStringSubmatch(where)
	if m == nil {
		return safetext.LineN(where, 40)
	}
	if n, ok := strings.CutPrefix(m[1], "attachment:"); ok {
		return f.T("where.attachment", n, m[2])
	}
	return f.T("where.line", m[2])
}

// Size writes a number of bytes for people.
func (f frame) Size(n int) string { return f.Bytes(int64(n)) }

// Bytes writes a number of bytes for people.
func (f frame) Bytes(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000*1000:
		return fmt.Sprintf("%d kB", n/1000)
	}
	s := fmt.Sprintf("%.1f MB", float64(n)/1e6)
	if f.lang == "it" {
		s = strings.ReplaceAll(s, ".", ",")
	}
	return s
}

// Level is the shape of a line of the self-check.
func (frame) Level(level string) string {
	switch level {
	case "ok":
		return "good"
	case "warning", "error":
		return level
	}
	return "missing"
}
