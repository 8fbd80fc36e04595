package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestClientGuide: a client who writes word for word what docs/guida-cliente.md
// says is understood.
func TestClientGuide(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/guida-cliente.md")
	if err != nil {
		t.Fatal(err)
	}
	guide := string(b)
	day := regexp.MustCompile(`\d\d/\d\d/\d{4}`)
	letter := ""
	for line := range strings.Lines(guide) {
		if words, ok := strings.CutPrefix(strings.TrimSpace(line), "> "); ok {
			letter += words + "\n"
		}
	}
	if !strings.Contains(letter, "*(qui la password incollata)*") || !day.MatchString(letter) {
		t.Fatalf("the guide's letter: got %q, want a place for the password, and a date", letter)
	}
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	first, later := s.day.AddDate(0, 0, 85), s.day.AddDate(0, 0, 170)
	letter = strings.Replace(letter, "*(qui la password incollata)*", passwords[rossi], 1)
	s.deliver(s.letter(rossi, 2, "Password per programmi di posta", day.ReplaceAllString(letter, first.Format("02/01/2006"))))
	s.once(sum{Seen: 1, Accepted: 1})
	if got, want := s.status(rossi)["expires_at"], first.Format("2006-01-02"); got != want {
		t.Errorf("expires: got %v, want %s as the letter says", got, want)
	}
	postponed := between(strings.ReplaceAll(guide, "\n ", ""), "una PEC: «", "»")
	if !strings.Contains(postponed, "…") {
		t.Fatalf("the guide's words for a postponed date: got %q", postponed)
	}
	s.deliver(s.letter(rossi, 1, "Password posticipata", strings.Replace(postponed, "…", later.Format("02/01/2006"), 1)+"\n"))
	s.once(sum{Seen: 1, Extended: 1})
	if got, want := s.status(rossi)["claimed_until"], later.Format("2006-01-02"); got != want {
		t.Errorf("claimed until: got %v, want %s", got, want)
	}
}
