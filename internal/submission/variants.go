package submission

import (
	"html"
	"strings"
	"unicode"
)

// A password may be 4 to 64 characters long.
const (
	minLength = 4
	maxLength = 64
)

// shortest is how long a password is at least of which a mark behind it is
// surely not a part.
const shortest = 6

// setting is what surrounds a value; it tells punctuation of the sentence
// from punctuation of the password.
type setting struct {
	more     bool // text follows on the line
	alone    bool // nothing else is on the line
	labelled bool // "Password: value", not a sentence
	prose    bool // a sentence of several words leads to it
	dots     bool // the writer ends other sentences with dots
	opened   bool // "(" before it on the line
	closed   bool // ")" after it on the line
	quote    bool // a quotation mark is open
	bracket  bool // a bracket opens next
	goesOn   bool // the sentence goes on with a small letter
	capital  bool // a capital letter follows
	joined   bool // "and" follows
	casual   bool // the line itself begins with a small letter
	thanks   bool // a closing formula or the expiry follows
	aside    bool // a comma stands before it: "la password, abc123, è …"
	listed   bool // semicolons part the line: "utente …; password …; …"
	rich     bool // the text was HTML, which needs no asterisks
	escapes  bool // markdown escapes elsewhere in the letter
}

// reading is what the password may be: the likely form first. It is doubtful
// if another form can't be excluded.
type reading struct {
	forms    []string
	doubtful bool
	quoted   bool // marked as a value by quotes, backticks, bold
	trimmed  bool // punctuation or quotes were taken for the sentence's
	ended    bool // punctuation at the end was, and nothing proves it
	starred  bool // asterisks or low lines around it were: bold, or its own
}

func (r *reading) add(s string) {
	if n := len([]rune(s)); n < minLength || n > maxLength || strings.Trim(s, s[:1]) == "" {
		return // "xxxxxxxx" stands for a password
	}
	for _, f := range r.forms {
		if f == s {
			return
		}
	}
	r.forms = append(r.forms, s)
}

var pairs = map[string]string{`"`: `"`, `'`: `'`, "«": "»", "‹": "›", "<": ">", "(": ")", "[": "]", "{": "}", "**": "**", "__": "__", "*": "*", "_": "_", "`": "`", "~": "~"}

// read finds the forms of one written token.
func read(s string, in setting) reading {
	var r reading
	raw := s
	s = strings.TrimFunc(s, ornament)
	v, doubt := trimEnd(s, in)
	r.doubtful = doubt
	r.trimmed = v != s
	_, closed := unwrap(v)
	r.ended = v != s && !closed && !(in.aside && in.more && v+"," == s) && !(in.listed && v+";" == s)
	if in.alone && !in.labelled && v == s && strings.HasSuffix(s, "?") && specials(v) == 1 {
		r.ended, v = true, s[:len(s)-1] // "Xy12ab?", alone: is it this one, or is the mark its own?
		r.add(s)
	}
	partly := s
	if len(s)-len(v) > 1 {
		partly = s[:len(s)-1]
	}

	if bare := strings.TrimRight(v, "}])"); bare != v {
		if _, ok := unwrap(bare); ok && strings.ContainsAny(bare[:1], "\"'`") {
			v = bare // the end of a JSON object
		}
	}
	inner, marked := unwrap(v)
	if marked {
		r.trimmed = true
		r.quoted = strings.ContainsAny(v[:1], "\"'`*_") || v[0] >= 0x80 // guillemets
		r.starred = strings.ContainsAny(v[:1], "*_")
		// A password rich in marks may have a pair of its own at its ends.
		most := map[byte]int{'(': 1, '"': 1, '\'': 1, '`': 3, '_': -1}
		limit, known := most[v[0]]
		if strings.HasPrefix(v, "__") {
			limit = 0
		}
		if v[0] >= 0x80 {
			limit, known = maxLength, true // guillemets
		}
		if n := specials(inner); known && n > limit || !known && n > 0 || strings.ContainsAny(v[:1], "{~") || in.rich && strings.ContainsAny(v[:1], "*_") {
			r.doubtful = true
		}
		if strings.TrimRight(inner, ".,;") != inner {
			r.doubtful = true
			r.add(strings.TrimRight(inner, ".,;"))
		}
		if deeper, again := unpair(inner); again {
			r.doubtful = true
			r.add(inner)
			r.add(deeper)
		}
		v = inner
	} else {
		v, doubt = unbalanced(v, in)
		r.doubtful = r.doubtful || doubt
	}

	if masked(v) {
		r.doubtful = true
	}
	if end := strings.TrimRight(v, "*."); len(v)-len(end) > 1 && len(end) > 0 {
		r.doubtful = true // the end is left out
	}
	if inner, ok := decorated(v); ok {
		r.doubtful = true
		r.add(inner)
	}
	if first := v[:min(1, len(v))]; first == ">" || strings.ContainsAny(first, ":=") && !in.labelled {
		r.add(v)
		r.add(v[1:])
	}
	if rest, glued := afterLabel(v); glued && announces(v[:len(v)-len(rest)]) && !hasSpecial(rest) {
		v = rest // "come richiesto:abc123"
		r.trimmed = true
	} else if glued && (!in.labelled || strings.ContainsAny(v[:len(v)-len(rest)], ":=")) {
		r.doubtful = true
		r.add(rest)
	}
	for _, f := range rewritten(v, in) {
		if f.text != v {
			r.doubtful = r.doubtful || f.doubt
			r.add(f.text)
		}
	}
	r.add(v)
	r.add(compose(v))
	r.add(partly)
	r.add(s)
	r.add(raw)
	if !isASCII(strings.NewReplacer("€", "", "£", "", "§", "").Replace(v)) {
		r.doubtful = true
	}
	return r
}

// masked tells whether a part of s is left out: "Xy****9k", "Xyxxxx9k". Three
// or four of the characters that people put in its place; "Xy00009k" is what a
// program may have made.
func masked(s string) bool {
	run, prev := 0, rune(0)
	for _, c := range s {
		if c != prev {
			run = 0
		}
		run++
		prev = c
		if run >= 3 && strings.ContainsRune("*•●_", c) || run >= 4 && strings.ContainsRune("xX#?.-", c) {
			return true
		}
	}
	return false
}

// afterLabel cuts "pw-abc123": a label glued to the value, or all of it the
// password.
func afterLabel(s string) (string, bool) {
	if word := leadingLetters(s); len(word) >= 3 && len(s)-len(word) > minLength && strings.ContainsAny(s[len(word):len(word)+1], ":=") && knownWord(strings.ToLower(word)) {
		return s[len(word)+1:], true // "come richiesto:abc123"
	}
	if label, inner, ok := strings.Cut(s, "("); ok && strings.HasSuffix(inner, ")") && len(inner) > minLength && lex().has([]string{fold(label)}, "password") {
		return inner[:len(inner)-1], true // "password(abc123)"
	}
	const between = "-_/.>;,:="
	i := strings.IndexAny(s, between)
	if i < 2 || len(s)-i-1 < minLength {
		return s, false
	}
	label := fold(s[:i])
	if p, ok := lex().longest([]string{label}, "password"); ok && len(p.words) == 1 || passwordWord(label) {
		return strings.TrimLeft(s[i:], between), true
	}
	return s, false
}

// announces tells whether s is a longer word of the language and a colon.
func announces(s string) bool {
	word, ok := strings.CutSuffix(s, ":")
	return ok && len(word) >= 6 && knownWord(strings.ToLower(word))
}

// ornament: bullets, arrows and pictograms around a value, outside ASCII. A
// smiley or "©" that touches it may have been ":)" or "(c)" of its own.
func ornament(c rune) bool {
	if strings.ContainsRune(corrected, c) || c >= 0x1F600 && c <= 0x1F64F || c == '☺' || c == '☹' {
		return false
	}
	return c > 0x7f && (unicode.Is(unicode.So, c) || unicode.Is(unicode.Sm, c) || c == '•' || c == '·' || c == '–' || c == '—' || c == '‣' || c == '…')
}

// trimEnd takes off punctuation that ends the sentence.
func trimEnd(s string, in setting) (string, bool) {
	core := strings.TrimRight(s, ".,;:!?")
	tail := s[len(core):]
	if tail == "" || core == "" {
		return s, false
	}
	if _, marked := unwrap(core); marked {
		return core, false // after a closing quote it can only be the sentence's
	}
	marks := specials(core)
	switch {
	case in.goesOn && strings.Trim(tail, "!?") == "":
		return s, false // no sentence ended here
	case len(tail) > 1:
		return core, true
	case tail == ";" && in.listed && !in.labelled && len(core) >= shortest:
		return core, marks > 0
	case tail == "!" || tail == "?":
		// People shout in sentences, not behind "Password:".
		if tail == "?" && in.more && in.capital {
			return s, true // "Password: abc123? Mi confermate …"
		}
		if in.labelled || in.alone || in.goesOn {
			return s, false
		}
		return s, true
	case tail == ":":
		return core, true
	case in.more:
		// A password with a mark in it may well end with one more; so may a
		// very short one, and one before a dot that ends no sentence.
		natural := tail == "." && in.capital || tail == "," && in.goesOn && !in.joined && len(core) >= shortest
		if tail == ";" && in.listed && len(core) >= shortest {
			return core, marks > 1
		}
		stops := tail == "." && in.goesOn && !in.thanks && !in.casual
		return core, marks > 1 || marks == 1 && !natural || tail != "," && len(core) < shortest || stops || tail == ";" && !in.prose
	case in.closed || in.opened:
		return core, marks > 0
	case tail == "." && in.prose && !in.labelled:
		return core, marks > 1 || marks == 1 && !in.dots || len(core) < shortest
	case tail == "," && in.labelled:
		return core, marks > 0 || len(core) < shortest
	}
	return core, true
}

// unwrap takes off one matching pair around a value, and markdown's bold
// around or within it.
func unwrap(s string) (string, bool) {
	inner, marked := unpair(s)
	if !marked {
		return s, false
	}
	if deeper, again := unpair(inner); again && !hasSpecial(deeper) && (strings.HasPrefix(s, "**") || strings.HasPrefix(inner, "**")) {
		inner = deeper // bold of something marked
	}
	return inner, true
}

func unpair(s string) (string, bool) {
	for _, n := range []int{2, 1} {
		open := prefixRunes(s, n)
		end, ok := pairs[open]
		if !ok || len(s) < len(open)+len(end)+minLength || !strings.HasSuffix(s, end) {
			continue
		}
		inner := s[len(open) : len(s)-len(end)]
		if (open == "*" || open == "_" || open == "~") && strings.Contains(inner, open) {
			continue
		}
		return inner, true
	}
	return s, false
}

func prefixRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// decorated takes off a row of the same mark at both ends: "---abc123---",
// ">>>abc123<<<".
func decorated(s string) (string, bool) {
	inner := strings.TrimLeft(s, s[:min(1, len(s))])
	n := len(s) - len(inner)
	if n < 2 || len(inner) < n+minLength || !strings.ContainsAny(s[:1], "-=*~#>_.") {
		return s, false
	}
	end := s[:n]
	if s[0] == '>' {
		end = strings.Repeat("<", n)
	}
	return strings.CutSuffix(inner, end)
}

// unbalanced treats a bracket or quote on one side only.
func unbalanced(s string, in setting) (string, bool) {
	if s == "" {
		return s, false
	}
	doubt := false
	switch s[0] {
	case '(', '[':
		if in.closed {
			s = s[1:]
		} else {
			doubt = true
		}
	case '"', '\'', '`':
		doubt = true
	case ':', '=':
		doubt = !in.labelled // the label's?
	case '>':
		doubt = true // "pw=>abc": an arrow's?
	case '-', '*', '_':
		doubt = in.alone // a bullet without its blank?
	}
	if n := len(s); n > 0 {
		switch s[n-1] {
		case ')', ']':
			if strings.ContainsAny(s[:n-1], "([") {
				break
			}
			if in.opened {
				s = s[:n-1]
			} else {
				doubt = true
			}
		case '"', '\'', '`':
			if s[n-1] == '"' && in.quote {
				s = s[:n-1]
			} else {
				doubt = true
			}
		}
	}
	return s, doubt
}

// corrected is what word processors and telephones make of typed characters.
const corrected = "©®™"

var uncorrected = strings.NewReplacer("©", "(c)", "®", "(r)", "™", "(tm)")

type rewriting struct {
	text  string
	doubt bool
}

// rewritten undoes what programs do to a text on its way.
func rewritten(v string, in setting) []rewriting {
	var out []rewriting
	if strings.Contains(v, `\`) {
		if u := unescapeMarkdown(v); u != v {
			out = append(out, rewriting{u, !in.escapes})
		}
	}
	if u := html.UnescapeString(v); u != v {
		out = append(out, rewriting{u, true})
	}
	if strings.ContainsAny(v, "–—") {
		out = append(out, rewriting{strings.NewReplacer("–", "-", "—", "-").Replace(v), true},
			rewriting{strings.NewReplacer("–", "--", "—", "--").Replace(v), true})
	}
	if strings.ContainsAny(v, corrected) {
		out = append(out, rewriting{uncorrected.Replace(v), true})
	}
	if strings.Contains(v, "…") {
		out = append(out, rewriting{strings.ReplaceAll(v, "…", "..."), true})
	}
	if cut := gluedEnd(v); cut != v {
		plain := specials(cut) == 0 && len(cut) >= shortest && labelWord(v[len(cut)+1:])
		out = append(out, rewriting{cut, !plain})
	}
	if cut := gluedButton(v); cut != v {
		out = append(out, rewriting{cut, true})
	}
	return out
}

// unescapeMarkdown removes the backslash before punctuation: a guide's
// "1\$lhW" is 1$lhW.
func unescapeMarkdown(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("\\`*_{}[]()#+-.!$<>&|~\"'", s[i+1]) >= 0 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// gluedEnd cuts "Xy12ab,scade" or "Xy12ab(elle" where the writer forgot a
// blank: a known word follows the mark.
func gluedEnd(s string) string {
	if reMail.MatchString(s) || reLink.MatchString(s) {
		return s
	}
	for i := minLength; i < len(s)-1; i++ {
		if s[i] == '&' && labelWord(s[i+1:]) {
			return s[:i] // "password=abc123&scadenza=…"
		}
		if strings.IndexByte(",;.:(/|", s[i]) < 0 {
			continue
		}
		rest := strings.TrimRight(s[i+1:], ".,;:)")
		if len(rest) >= 4 && shape(rest) == kindWord && knownWord(strings.ToLower(rest)) || reDate.MatchString(rest) || labelWord(rest) {
			return s[:i]
		}
		if s[i] == '/' && shape(s[:i]) == kindStrong && shape(rest) == kindStrong {
			return s[:i] // perhaps two passwords
		}
	}
	return s
}

// labelWord tells whether s begins with a word that leads to another value,
// as in "abc123;scadenza=13/02/2024".
func labelWord(s string) bool {
	word := strings.ToLower(leadingLetters(s))
	if len(word) < 4 {
		return false
	}
	_, ok := lex().longest([]string{word}, "expiry", "generated", "field", "softfield", "within")
	return ok
}

// leadingLetters is the word that s begins with.
func leadingLetters(s string) string {
	for i, r := range s {
		if !unicode.IsLetter(r) {
			return s[:i]
		}
	}
	return s
}

// gluedButton cuts the "Copia" of a provider's page behind the value.
func gluedButton(s string) string {
	for _, w := range lex().order["ui"] {
		if len(w) < 4 || len(s) < len(w)+minLength || strings.Contains(w, " ") {
			continue
		}
		if strings.HasSuffix(s, strings.ToUpper(w[:1])+w[1:]) {
			return s[:len(s)-len(w)]
		}
	}
	return s
}

func hasSpecial(s string) bool { return specials(s) > 0 }

// specials counts the characters that are neither letter nor digit.
func specials(s string) int {
	n := 0
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			n++
		}
	}
	return n
}
