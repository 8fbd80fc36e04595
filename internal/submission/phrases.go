package submission

import (
	"embed"
	"strings"
	"sync"
	"unicode"
)

//go:embed lang
var langFiles embed.FS

// section is a heading of the files in lang: what its phrases mean.
type section string

// lexicon holds the phrases of all languages.
type lexicon struct {
	byFirst map[string][]phrase // by their first word
	begins  beginnings          // the first words, to say no at once to most others
	words   map[string]bool     // every single word of the phrases and of the word lists
	names   map[string]bool     // lang/names.txt, lower case
	order   map[section][]string
	small   map[section]map[string]bool // lang/small.txt
	people  map[string]bool             // lang/words-names.txt
	plain   map[section]map[string]bool // lang/plain.txt

	harmless *lexicon // the phrases of lang/plain.txt, and nothing else
}

type phrase struct {
	words    []string
	sections []section
}

// is tells whether the phrase stands under one of the sections.
func (p phrase) is(want ...section) bool {
	for _, s := range p.sections {
		for _, w := range want {
			if s == w {
				return true
			}
		}
	}
	return false
}

// namesPassword: "password della webmail", "copy password", "reset password".
func (p phrase) namesPassword() bool {
	for _, w := range p.words {
		if w == "password" || w == "passwords" {
			return true
		}
	}
	return false
}

// lex is read when first used: a program that only fetches a password has no
// letter to look at.
var lex = sync.OnceValue(loadLexicon)

func loadLexicon() *lexicon {
	l := &lexicon{
		byFirst: map[string][]phrase{},
		words:   map[string]bool{},
		names:   map[string]bool{},
		order:   map[section][]string{},
		people:  map[string]bool{},
	}
	for _, name := range []string{"it.txt", "en.txt", "neighbours.txt"} {
		sec := section("")
		for _, line := range langLines(name) {
			if strings.HasPrefix(line, "[") {
				sec = section(strings.Trim(line, "[]"))
				continue
			}
			l.add(line, sec)
		}
	}
	for _, line := range langLines("names.txt") {
		l.names[line] = true
	}
	l.small = smallWords("small.txt", func(_ section, w string) { l.words[w] = true })
	l.harmless = &lexicon{byFirst: map[string][]phrase{}, words: map[string]bool{}, order: map[section][]string{}}
	l.plain = smallWords("plain.txt", nil)
	for _, line := range sectionLines("plain.txt", "harmless") {
		l.harmless.add(line, "harmless")
	}
	for _, name := range []string{"words-it.txt", "words-en.txt", "words-names.txt"} {
		for _, line := range langLines(name) {
			for _, w := range splitWords(line) {
				l.words[w] = true
				if name == "words-names.txt" {
					l.people[w] = true
				}
			}
		}
	}
	return l
}

// smallWords reads a file of single words by section, and shows each to also.
func smallWords(name string, also func(section, string)) map[section]map[string]bool {
	out := map[section]map[string]bool{}
	sec := section("")
	for _, line := range langLines(name) {
		if strings.HasPrefix(line, "[") {
			sec = section(strings.Trim(line, "[]"))
			out[sec] = map[string]bool{}
			continue
		}
		for _, w := range splitWords(line) {
			out[sec][w] = true
			if also != nil {
				also(sec, w)
			}
		}
	}
	return out
}

// sectionLines gives the lines of one section of a language file.
func sectionLines(name string, want section) (out []string) {
	in := false
	for _, line := range langLines(name) {
		if strings.HasPrefix(line, "[") {
			in = strings.Trim(line, "[]") == string(want)
		} else if in {
			out = append(out, line)
		}
	}
	return out
}

// langLines gives the lines of a language file without blanks and comments.
func langLines(name string) []string {
	b, err := langFiles.ReadFile("lang/" + name)
	if err != nil {
		panic("submission: " + err.Error()) // embedded: a build fault
	}
	var out []string
	for _, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

func (l *lexicon) add(text string, sec section) {
	words := splitWords(text)
	if len(words) == 0 {
		return
	}
	for _, w := range words {
		l.words[w] = true
	}
	l.order[sec] = append(l.order[sec], strings.Join(words, " "))
	l.begins.add(words[0])
	list := l.byFirst[words[0]]
	for i := range list {
		if equalWords(list[i].words, words) {
			list[i].sections = append(list[i].sections, sec)
			return
		}
	}
	l.byFirst[words[0]] = append(list, phrase{words: words, sections: []section{sec}})
}

func equalWords(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// longest returns the longest phrase under one of the sections (under any,
// with none given) that starts at words[0].
func (l *lexicon) longest(words []string, want ...section) (phrase, bool) {
	var best phrase
	if !l.begins.mayHave(words[0]) {
		return best, false
	}
	list := l.byFirst[words[0]]
	for i := range list {
		p := &list[i]
		if len(p.words) <= len(best.words) || len(p.words) > len(words) {
			continue
		}
		if equalWords(p.words[1:], words[1:len(p.words)]) && (len(want) == 0 || p.is(want...)) {
			best = *p
		}
	}
	return best, len(best.words) > 0
}

// beginnings answers "no" or "perhaps" to whether a word begins a phrase, from
// its length and four of its letters.
type beginnings [1 << 12]bool

func (b *beginnings) place(w string) *bool {
	n := len(w)
	if n == 0 {
		return &b[0]
	}
	h := uint32(n) + 31*uint32(w[0]) + 997*uint32(w[n/3]) + 7919*uint32(w[n/2]) + 15*uint32(w[n-1])*uint32(w[n-1])
	return &b[h%uint32(len(b))]
}

func (b *beginnings) add(w string)          { *b.place(w) = true }
func (b *beginnings) mayHave(w string) bool { return *b.place(w) }

// has tells whether one of the sections' phrases stands anywhere in words.
func (l *lexicon) has(words []string, want ...section) bool {
	for i := range words {
		if _, ok := l.longest(words[i:], want...); ok {
			return true
		}
	}
	return false
}

// says collects what words say: the sections of all phrases, the longest
// first, none within another.
func (l *lexicon) says(words []string) map[section]bool {
	var out map[section]bool // nil while nothing was said
	say := func(s section) {
		if out == nil {
			out = map[section]bool{}
		}
		out[s] = true
	}
	for i := 0; i < len(words); {
		p, ok := l.longest(words[i:])
		if !ok {
			if passwordWord(words[i]) {
				say("password")
			}
			i++
			continue
		}
		i += len(p.words)
		for _, s := range p.sections {
			say(s)
		}
		if p.namesPassword() && !p.is("other") {
			say("password")
		}
	}
	return out
}

// splitWords cuts text into folded words: at blanks, apostrophes, hyphens,
// slashes, dots and other punctuation. "e-mail" and "wi-fi" are one word, and
// "è" or "e'" is "e'".
func splitWords(text string) []string {
	var out []string
	for _, field := range strings.Fields(text) {
		out = append(out, wordsOf(field)...)
	}
	return out
}

func wordsOf(field string) []string {
	f := fold(strings.Trim(compose(field), ".,;:!?()[]{}<>\"«»‹›*_=`…"))
	switch f {
	case "":
		return nil
	case "e'":
		return []string{f}
	case "e-mail", "e-mails":
		return []string{"email"}
	case "wi-fi":
		return []string{"wifi"}
	}
	parts := strings.FieldsFunc(f, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	// "cos'è" and "dov'e'" carry the verb.
	for i, p := range parts {
		if i > 0 && p == "e" && strings.Contains(f, "'e") {
			parts[i] = "e'"
		}
	}
	return parts
}

// passwordWord knows "password" with a slip of the fingers, too.
func passwordWord(w string) bool {
	if len(w) < 7 || len(w) > 10 || w[0] != 'p' || strings.HasPrefix(w, "passag") || strings.HasPrefix(w, "passap") {
		return false
	}
	return oneSlip(w, "password")
}

// oneSlip tells whether the distance of two words is 1 at most: what is left
// between their common beginning and end is one letter more, one less, another
// one, or two that changed places.
func oneSlip(a, b string) bool {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) <= 1 && len(b) <= 1 || len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
}

// distance is the optimal string alignment distance; both are short.
func distance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
