package submission

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The short cuts of this package give the same answers as the long ways.

// corpusWords gives every word of the corpus as it is written.
func corpusWords(t *testing.T) []string {
	files, err := filepath.Glob("../../testdata/submissions/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	var all []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Fields(string(b))...)
	}
	return all
}

func TestPatternsNeedTheirCharacters(t *testing.T) {
	words := append(corpusWords(t), "HTTPS://X", "mailto:x", "www.x", "0xBEEF", "err_5", "a-b@c.it", "12345678-1234-1234-1234-123456789012",
		"aaaaaaaaaaaaa@b", "3°", "n°12", "§3", "1st", "12/2023", "x.PDF", "12:30", "€12", "12%", "1,5€", "051/123456", "IT12345678901", "rssmra80a01h501u", "cid:a@b", "dell'1")
	matched := map[int]int{}
	for i, p := range append(registers[:], reAmount) {
		for _, w := range words {
			want := p.compiled().MatchString(w)
			if got := p.MatchString(w); got != want {
				t.Errorf("pattern %d: %q: got %v, want %v", i, w, got, want)
			}
			if want {
				matched[i]++
			}
		}
		if matched[i] == 0 {
			t.Errorf("pattern %d matches nothing here", i)
		}
	}
}

func TestPlainWords(t *testing.T) {
	kept := 0
	for _, w := range corpusWords(t) {
		if len(w) == 0 {
			continue
		}
		want := makeToken(w)
		for range 2 { // the second one may be kept
			got := newToken(w)
			if got.s != want.s || got.core != want.core || got.kind != want.kind || !equalWords(got.words, want.words) ||
				got.colon != want.colon || got.comma != want.comma || got.stop != want.stop || got.quest != want.quest || got.open != want.open || got.shut != want.shut {
				t.Fatalf("%q: got %+v, want %+v", w, got, want)
			}
		}
		if _, ok := plainWords.get(w); ok {
			kept++
			if want.kind != kindWord || !knownWord(strings.ToLower(want.core)) {
				t.Errorf("%q is kept", w)
			}
		}
	}
	if kept == 0 {
		t.Error("nothing is kept")
	}
	for _, secret := range []string{"Xy12ab!", "k7qzzz", "tramontana77", "1234", "zqxwv"} {
		newToken(secret)
		if _, ok := plainWords.get(secret); ok {
			t.Errorf("%q is kept", secret)
		}
	}
}

func TestOneSlip(t *testing.T) {
	const word = "password"
	var all []string
	for i := 0; i <= len(word); i++ {
		for _, c := range []string{"", "a", "x", "p", "s"} {
			all = append(all, word[:i]+c+word[i:])
			if i < len(word) {
				all = append(all, word[:i]+c+word[i+1:])
			}
			if i+1 < len(word) {
				all = append(all, word[:i]+word[i+1:i+2]+c+word[i:i+1]+word[i+2:], word[:i]+c+word[i+2:])
			}
		}
	}
	for _, w := range append(all, corpusWords(t)...) {
		if got, want := oneSlip(w, word), distance(w, word) <= 1; got != want {
			t.Errorf("%q: got %v, want %v", w, got, want)
		}
	}
}

func TestBeginnings(t *testing.T) {
	for first := range lex().byFirst {
		if !lex().begins.mayHave(first) {
			t.Errorf("%q begins a phrase", first)
		}
	}
	no := 0
	for _, w := range corpusWords(t) {
		if !lex().begins.mayHave(strings.ToLower(w)) {
			no++
		}
	}
	if no == 0 {
		t.Error("it never says no")
	}
}

func TestSaysWrote(t *testing.T) {
	for _, line := range []string{"Il 3/2/2024 10:12 Mario ha scritto:", "Il giorno 3 gen 2024, alle ore 10:30, x@y.it HA SCRITTO :", "On Mon, 3 Jan 2024 wrote:  ",
		"x@y.it ha inviato il seguente messaggio", "On 3 X wrote", "Buongiorno", "scritto: 12", ""} {
		if reWrote.MatchString(line) && !saysWrote(line) {
			t.Errorf("%q introduces a quotation", line)
		}
	}
	if saysWrote("Cordiali saluti") {
		t.Error("it never says no")
	}
}
