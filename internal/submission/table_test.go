package submission_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"pec-ingest/internal/submission"
)

var update = flag.Bool("update", false, "rewrite the committed table")

// outcome of one letter: found (right), asked (a person decides), missed, wrong,
// refused (loose and not the password: never stored, a login would refuse it).
func outcome(s sample, r *submission.Result) string {
	first := ""
	if len(r.Candidates) > 0 {
		first = r.Candidates[0].Secret.RevealString()
	}
	switch s.truth {
	case "found", "ask":
		switch r.State {
		case submission.Found:
			if s.secret != "" && first == s.secret {
				return "found"
			}
			if r.Candidates[0].Loose {
				return "refused"
			}
			return "wrong"
		case submission.Ambiguous, submission.Intended:
			return "asked"
		}
	case "extension":
		switch r.State {
		case submission.Extension:
			return "found"
		case submission.Found:
			return "wrong"
		case submission.Ambiguous, submission.Intended:
			return "asked"
		}
	case "none":
		switch r.State {
		case submission.None:
			return "found"
		case submission.Found:
			return "wrong"
		default:
			return "asked"
		}
	}
	return "missed"
}

// TestCorpus reads every letter of the corpus, and fails on a wrong password,
// below the promised rates, or when a class got worse than the committed table.
func TestCorpus(t *testing.T) {
	// alone are those found that are taken without a login, too.
	type row struct{ found, alone, asked, refused, missed, wrong int }
	rows := map[string]*row{}
	positive, negative := row{}, row{}
	letters, others := 0, 0
	for _, s := range corpus(t) {
		r := submission.FindRaw(s.message(), s.subject, s.sender, s.sent)
		got := outcome(s, r)
		sum := &positive
		expectFound := s.truth == "found" || s.truth == "extension"
		if s.truth == "none" {
			sum = &negative
			others++
			expectFound = true
		} else {
			letters++
		}
		if rows[s.class] == nil {
			rows[s.class] = &row{}
		}
		for _, x := range []*row{rows[s.class], sum} {
			if x == &positive && s.truth == "ask" {
				continue // nothing to be found in the text alone
			}
			switch got {
			case "found":
				x.found++
				if r.State != submission.Found || !r.Candidates[0].Loose {
					x.alone++
				}
			case "refused":
				x.refused++
			case "asked":
				x.asked++
			case "missed":
				x.missed++
			case "wrong":
				x.wrong++
			}
		}
		if got == "wrong" || got == "missed" || got == "asked" && expectFound || testing.Verbose() && got == "asked" && len(r.Candidates) == 0 {
			log := t.Logf
			if got == "wrong" {
				log = t.Errorf
			}
			log("%s: %s: got %s %s, want %s %q", s.name, got, r.State, describe(r), s.truth, s.secret)
		}
		if expectFound && got == "found" && s.truth != "none" {
			if s.expires == "none" && !r.Stated.IsZero() {
				t.Errorf("%s: expires: got %s, want none", s.name, r.Stated.Format("2006-01-02"))
			}
			if day := r.Stated; s.expires != "" && s.expires != "none" && (day.IsZero() || day.Format("2006-01-02") != s.expires) {
				t.Errorf("%s: expires: got %s, want %s", s.name, day.Format("2006-01-02"), s.expires)
			}
			if day := r.Generated; s.generated != "" && (day.IsZero() || day.Format("2006-01-02") != s.generated) {
				t.Errorf("%s: generated: got %s, want %s", s.name, day.Format("2006-01-02"), s.generated)
			}
		}
		if s.truth == "found" && got == "asked" && r.State == submission.Ambiguous && !holds(r, s.secret) {
			t.Logf("%s: the password is not among the candidates: %s, want %q", s.name, describe(r), s.secret)
		}
	}
	text := positive.found + positive.asked + positive.refused + positive.missed + positive.wrong
	t.Logf("letters: %d found, %d of them without a login, %d asked, %d refused, %d missed, %d wrong; others: %d none, %d asked, %d wrong",
		positive.found, positive.alone, positive.asked, positive.refused, positive.missed, positive.wrong, negative.found, negative.asked, negative.wrong)
	if letters < 300 || others < 200 {
		t.Errorf("corpus: got %d letters and %d others, want at least 300 and 200", letters, others)
	}
	if positive.found*100 < text*95 {
		t.Errorf("found: got %d of %d, want 95 %%", positive.found, text)
	}
	if (positive.found+positive.asked)*100 < text*99 {
		t.Errorf("found or asked: got %d of %d, want 99 %%", positive.found+positive.asked, text)
	}
	if negative.found != others {
		t.Errorf("others: got %d none of %d, want all", negative.found, others)
	}

	var b strings.Builder
	fmt.Fprintf(&b, "%-24s %6s %6s %6s %7s %6s %6s\n", "class", "found", "alone", "asked", "refused", "missed", "wrong")
	classes := make([]string, 0, len(rows))
	for c := range rows {
		classes = append(classes, c)
	}
	sort.Strings(classes)
	for _, c := range classes {
		x := rows[c]
		fmt.Fprintf(&b, "%-24s %6d %6d %6d %7d %6d %6d\n", c, x.found, x.alone, x.asked, x.refused, x.missed, x.wrong)
	}
	file := filepath.Join(corpusDir, "TABLE")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != b.String() {
		t.Errorf("the table differs from the committed one (-update after looking why):\n%s", b.String())
	}
}

// describe shows test passwords; they are not secret.
func describe(r *submission.Result) string {
	var b strings.Builder
	for _, c := range r.Candidates {
		fmt.Fprintf(&b, "[%q %d %s %v] ", c.Secret.RevealString(), c.Score, c.Where, c.Why)
	}
	for _, p := range r.Pairs {
		fmt.Fprintf(&b, "pair %s ", p.Mailbox)
	}
	return b.String() + fmt.Sprint(r.Notes)
}

func holds(r *submission.Result, secret string) bool {
	for _, c := range r.Candidates {
		if c.Secret.RevealString() == secret {
			return true
		}
	}
	for _, p := range r.Pairs {
		for _, c := range p.Candidates {
			if c.Secret.RevealString() == secret {
				return true
			}
		}
	}
	return false
}
