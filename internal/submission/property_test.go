package submission_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"pec-ingest/internal/submission"
)

// frames are letters with {pw} where the password stands, or, in
// company.txt, texts around a {letter}.
func frames(t testing.TB, file string) map[string]string {
	b, err := os.ReadFile(filepath.Join(corpusDir, "frames", file))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, chunk := range strings.Split("\n"+string(b), "\n=== ")[1:] {
		name, body, _ := strings.Cut(chunk, "\n")
		out[name] = strings.TrimSuffix(body, "\n")
	}
	if len(out) < 10 {
		t.Fatalf("%s: got %d frames, want 10 or more", file, len(out))
	}
	return out
}

const alnum = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"

// randomPassword is one of the kinds that providers and people make.
func randomPassword(r *rand.Rand) (pw, class string) {
	pick := func(n int, from string) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = from[r.IntN(len(from))]
		}
		return string(b)
	}
	switch r.IntN(4) {
	case 0:
		return pick(5+r.IntN(8), alnum), "letters and digits"
	case 1:
		return pick(6+r.IntN(10), alnum+"!#$%&*+-=?@_"), "some marks"
	case 2:
		printable := make([]byte, 0, 94)
		for c := byte(33); c < 127; c++ {
			printable = append(printable, c)
		}
		return pick(4+r.IntN(61), string(printable)), "anything printable"
	}
	words := []string{"Estate", "gatto", "Bologna", "pippo", "Juventus", "mare", "Ferrari"}
	return words[r.IntN(len(words))] + pick(1, "!#._-$") + pick(2+r.IntN(3), "0123456789"), "a word and digits"
}

// TestFrames: whatever password stands in whatever letter, a found one is
// that one, and short passwords of letters and digits are mostly found.
func TestFrames(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	r := rand.New(rand.NewPCG(1, 2))
	type sum struct{ found, asked, missed int }
	sums := map[string]*sum{}
	perFrame := map[string]*sum{}
	all := frames(t, "frames.txt")
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		frame := all[name]
		for range rounds {
			pw, class := randomPassword(r)
			as := []string{"plain", "qp", "base64", "html", "both"}[r.IntN(5)]
			s := sample{from: "Mario Rossi <rossi@pec.example>", sender: "rossi@pec.example", subject: "password", as: as, sent: defaultSent,
				body: strings.ReplaceAll(frame, "{pw}", pw)}
			res := submission.FindRaw(s.message(), s.subject, s.sender, s.sent)
			if sums[class] == nil {
				sums[class] = &sum{}
			}
			if perFrame[name] == nil {
				perFrame[name] = &sum{}
			}
			for _, x := range []*sum{sums[class], perFrame[name]} {
				switch {
				case res.State == submission.Found:
					x.found++
				case res.State == submission.Ambiguous && holds(res, pw):
					x.asked++
				default:
					x.missed++
				}
			}
			if res.State == submission.Found && res.Candidates[0].Secret.RevealString() != pw {
				t.Errorf("%s (%s): got %s, want %q", name, as, describe(res), pw)
			}
			if res.State != submission.Found && !holds(res, pw) && testing.Verbose() {
				t.Logf("%s (%s): got %s %s, want %q among the candidates", name, as, res.State, describe(res), pw)
			}
		}
	}
	for class, x := range sums {
		t.Logf("%-20s %d found, %d asked, %d without it", class, x.found, x.asked, x.missed)
	}
	for name, x := range perFrame {
		if testing.Verbose() {
			t.Logf("frame %-20s %d found, %d asked, %d without it", name, x.found, x.asked, x.missed)
		}
	}
	plain := sums["letters and digits"]
	if n := plain.found + plain.asked + plain.missed; plain.found*100 < n*85 {
		t.Errorf("letters and digits: got %d of %d found, want 85 %%", plain.found, n)
	}
}

// TestCompany: what stands around a letter never changes the password that is
// found in it.
func TestCompany(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	inner, outer := frames(t, "frames.txt"), frames(t, "company.txt")
	found, asked, missed := 0, 0, 0
	for in, frame := range inner {
		for out, around := range outer {
			pw := ""
			for pw == "" || !strings.ContainsAny(pw, "23456789") {
				pw, _ = randomPassword(r)
			}
			body := strings.Replace(around, "{letter}", strings.ReplaceAll(frame, "{pw}", pw), 1)
			res := submission.FindRaw(text(body), "password", "rossi@pec.example", defaultSent)
			switch {
			case res.State == submission.Found && res.Candidates[0].Secret.RevealString() != pw:
				t.Errorf("%s in %s: got %s, want %q", in, out, describe(res), pw)
			case res.State == submission.Found:
				found++
			case holds(res, pw):
				asked++
			default:
				missed++
				t.Logf("%s in %s: got %s %s, want %q among the candidates", in, out, res.State, describe(res), pw)
			}
			if testing.Verbose() && res.State == submission.Ambiguous && len(pw) < 12 && !strings.ContainsAny(pw, "!#$%&*+-=?@_.,:;") {
				t.Logf("asked: %s in %s: %s", in, out, describe(res))
			}
		}
	}
	t.Logf("%d found, %d asked, %d without it", found, asked, missed)
}

// TestUnproven: without a probe a password is stored as it was read, so that
// what is found and not loose is right also where the password ends in what
// ends sentences, or stands in what makes words bold. Quotes around all of it
// are taken for the writer's.
func TestUnproven(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	pick := func(from string) string { return from[r.IntN(len(from)):][:1] }
	found, asked := 0, 0
	for name, frame := range frames(t, "frames.txt") {
		for range 40 {
			core := ""
			for range 5 + r.IntN(8) {
				core += pick(alnum)
			}
			pw := core + pick(".,;:!?")
			switch r.IntN(6) {
			case 0:
				pw = "*" + core + "*"
			case 1:
				pw = "_" + core + "_"
			case 2:
				pw = pick(".,;:!?-_*>=#(<") + core
			}
			res := submission.FindRaw(text(strings.ReplaceAll(frame, "{pw}", pw)), "password", "rossi@pec.example", defaultSent)
			if res.State != submission.Found || res.Candidates[0].Loose {
				asked++
				continue
			}
			found++
			if got := res.Candidates[0].Secret.RevealString(); got != pw {
				t.Errorf("%s: got %s, want %q or a person asked", name, describe(res), pw)
			}
		}
	}
	t.Logf("%d found, %d asked", found, asked)
	if found == 0 {
		t.Error("got none found: nothing was tested")
	}
}
