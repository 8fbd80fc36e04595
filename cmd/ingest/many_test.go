package main

import (
	"fmt"
	"strings"
	"testing"
)

// Somebody with a PEC mailbox, and a client, send far more letters than
// people can decide on: the list and the digest stay short and name how many
// there are, nothing is moved or forgotten, and nobody is mailed for each.
func TestManyLetters(t *testing.T) {
	t.Parallel()
	const stranger = "stranger@pec.gestore.example"
	s := newStudio(t, studioOptions{smtp: true, config: func(c string) string {
		return c + "[warnings]\nto_studio = [\"amministrazione@studio.example\"]\n"
	}})
	write := func(from string, first, last int) {
		for i := first; i <= last; i++ {
			s.deliver(s.letter(from, 3-float64(i)/100, "password posta",
				fmt.Sprintf("Password per programmi di posta: Cavallo%d-Rx\nPassword per programmi di posta: Gatto%d-Rx\n", i, i)))
		}
	}
	write(stranger, 1, 75)
	write(rossi, 1, 30)
	forged := []byte(strings.Replace(string(s.submission(bianchi, 2, "Falsa-12345").Bytes()), "Falsa-12345", "Falsa-54321", 1))
	for range 50 {
		s.imap.Deliver(studioPEC, "INBOX", forged, s.day)
	}
	s.deliver(s.submission(neri, 1, passwords[neri]))
	s.once(sum{Seen: 156, Accepted: 1, Review: 105, Ignored: 50}, "--warn")
	s.wantState(neri, "valid", 1.0)

	many := map[any]float64{} // mailbox → letters of the item for the rest
	items := map[any]int{}
	var rest string
	for _, r := range s.rows("review", "list", "--json") {
		items[r["mailbox"]]++
		if letters := r["letters"].(float64); r["reason"] == "many" {
			many[r["mailbox"]] = letters
			if r["mailbox"] == stranger {
				rest = fmt.Sprint(r["n"])
			}
		} else if letters != 1 {
			t.Errorf("item %v stands for %v letters, want 1", r["n"], letters)
		}
	}
	if len(items) != 2 || items[stranger] != 21 || items[rossi] != 21 || many[stranger] != 55 || many[rossi] != 10 {
		t.Fatalf("got items %v, of them for the rest %v, want 21 each, with 55 and 10 letters", items, many)
	}
	if worksToday() {
		digest := s.digest()
		for _, want := range []string{"altre 55", "altre 10", "(20 lettere, fino alla n. 41)", "(50 volte)"} {
			if !strings.Contains(strings.Join(strings.Fields(digest), " "), want) { // it is wrapped
				t.Errorf("the digest does not say %q:\n%s", want, digest)
			}
		}
		if n := strings.Count(digest, "\n"); n > 40 {
			t.Errorf("the digest has %d lines:\n%s", n, digest)
		}
	}
	to := map[string]int{}
	for _, m := range s.sink.received() {
		to[m.To]++
	}
	wantTo := map[string]int{rossi: 3, neri: 1}
	if worksToday() {
		wantTo["amministrazione@studio.example"] = 1
	}
	if want := fmt.Sprint(wantTo); fmt.Sprint(to) != want {
		t.Errorf("mails went to %v, want %v", to, want)
	}
	if n := len(s.folder("INBOX")); n != 155 {
		t.Errorf("%d messages are in the inbox, want 155", n)
	}

	// The item for the rest can be read and put aside; the letters stay.
	if out := s.ok("review", "show", rest); !strings.Contains(out, "55 letters") {
		t.Errorf("review show: got\n%s", out)
	}
	s.ok("review", "reject", rest, "--reason", "pubblicità")
	s.once(sum{})
	if n := len(s.folder("INBOX")); n != 155 {
		t.Errorf("after the decision %d messages are in the inbox, want 155", n)
	}
	// Decided items make place for as many new ones.
	s.ok("review", "reject", "40", "--reason", "pubblicità")
	write(stranger, 76, 78)
	s.once(sum{Seen: 3, Review: 3})
	items = map[any]int{}
	for _, r := range s.rows("review", "list", "--json") {
		items[fmt.Sprint(r["mailbox"], " ", r["reason"], " ", r["letters"])]++
	}
	if items[stranger+" unlisted 1"] != 20 || items[stranger+" many 2"] != 1 {
		t.Errorf("after three more: got %v, want 20 items of their own and one for 2 letters", items)
	}
}
