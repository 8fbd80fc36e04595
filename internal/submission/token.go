package submission

import (
	"slices"
	"strings"
	"unicode"
)

// kind is what a token looks like.
type kind int

const (
	kindNone   kind = iota // punctuation, bullets
	kindWord               // letters that can be pronounced, or known
	kindNumber             // digits only
	kindWeird              // letters only, of odd case or unpronounceable; capitals with digits
	kindStrong             // mixes letters with digits, or holds special characters
	kindOther              // date, address, link, phone, amount, fiscal code, …: never competes
)

// token is one blank-separated piece of a line.
type token struct {
	s     string // as written
	core  string // without wrapping quotes, brackets and trailing punctuation
	kind  kind   // of the core
	words []string
	colon bool // ends with ":" or "=", or is an arrow: what follows is a value
	comma bool // ends with "," or ";"
	stop  bool // ends with ".", "!" or "?"
	quest bool // ends with "?"
	open  bool // starts with "("
	shut  bool // ends with ")"
	cell  bool // first of its table cell (a tab stood before it)
	where int  // first index of its words in the line's words
}

var connectors = map[string]bool{":": true, "=": true, "->": true, "=>": true, "→": true, ">>": true, "-->": true, "==>": true, "⇒": true,
	":-": true, "::": true, "➔": true, "➡": true, "...": true, "…": true, "|": true}

const digits = "0123456789"

var (
	reElided     = newPattern(`^(\pL{1,5}')(\d\S*)$`) // "all'11/02/2024"
	reMail       = patternWith("@", `(?i)^[a-z0-9._%+'-]+@[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}$`)
	reLink       = patternWith(":.", `(?i)^(https?://|www\.|mailto:|ftp://)|^[a-z0-9-]+(\.[a-z0-9-]+)*\.(it|com|eu|net|org|info|gov|biz|cloud)(/\S*)?$`)
	reDate       = patternWith(digits, `^\d{1,2}[./-]\d{1,2}([./-]\d{2,4})?$|^\d{4}[./-]\d{1,2}[./-]\d{1,2}$`)
	reNamedDate  = newPattern(`^\d{1,2}[./-]([a-z]{1,9})[./-]\d{2,4}$`)
	reElidedNum  = patternWith("'", `(?i)^(l|un|d|dell|all|nell|sull|dall|quell)'\d{1,4}$`) // "il 2 al posto dell'1"
	reTime       = patternWith(digits, `(?i)^(h|ore)?\d{1,2}[:.]\d{2}(:\d{2})?(h|am|pm)?$`)
	rePhone      = patternWith(digits, `^(\+|00)\d[\d./-]{6,}$|^0\d{1,4}[./-]\d{4,8}$|^3\d{2}[./-]\d{6,7}$|^\d{2,4}[/-]\d{5,8}$`)
	reAmount     = patternWith(digits, `^(€|\$|£)?\d{1,3}([.']\d{3})*(,\d{1,2})?(€|%|eur|euro)?$|^\d+([.,]\d+)?(€|%)$`)
	reFiscal     = patternWith(digits, `(?i)^[a-z]{6}\d{2}[a-z]\d{2}[a-z]\d{3}[a-z]$`)
	reIBAN       = patternWith(digits, `(?i)^it\d{2}[a-z]\d{10}[a-z0-9]{12}$`)
	reVAT        = patternWith(digits, `(?i)^it\d{11}$`)
	reLaw        = patternWith("/", `^\d{1,6}/(19|20)\d{2}$|^(19|20)\d{2}/\d{1,6}$`)
	reOrd        = patternWith(digits, `(?i)^\d{1,3}[°ªº^]$|^n[.°ºr]*\d+$|^\d+(st|nd|rd|th|gg|mg|kb|mb|gb)$|^§\d+$`)
	reFile       = patternWith(".", `(?i)^\S+\.(pdf|docx?|xlsx?|jpe?g|png|gif|zip|rar|7z|p7m|xml|txt|eml|csv|msg|odt|heic|tiff?|html?)$`)
	reGluedArrow = newPattern(`^([\pL.]{2,20})(?:-+>+|→|»|➜)(\S+)$`)
	reLabel      = newPattern(`^[*_"'«‹([]*\pL[\pL\d./'’_-]*[*_"'»›)\]]*$`)
	reMailValue  = newPattern(`(?i)^([a-z0-9._%+'-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}[:=;,|/])(\S{4,})$`)
	reContentID  = patternWith(":", `(?i)^cid:\S+$`)
	reError      = patternWith(digits, `(?i)^(0x[0-9a-f]{4,}|err(or)?[-_:]?\d\w*)$`)
	reMsgID      = patternWith("@-", `(?i)^<?[a-z0-9._-]{12,}@[a-z0-9.-]+>?$|^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// tokenize cuts a cleaned line into tokens. "Password:abc" is two, "|" and
// tabs part table cells.
func tokenize(line string) []token { return appendTokens(nil, line) }

// appendTokens is tokenize, into toks, which must be empty.
func appendTokens(toks []token, line string) []token {
	var pieces [2]string
	words := 0
	for ci := 0; ; ci++ {
		cell, rest, more := strings.Cut(line, "\t")
		toks = slices.Grow(toks, strings.Count(cell, " ")+1)
		fi := 0
		for f := range strings.FieldsSeq(cell) {
			for pi, p := range cutPieces(pieces[:0], f, toks) {
				t := newToken(p)
				t.cell = ci > 0 && fi == 0 && pi == 0
				t.where = words
				words += len(t.words)
				toks = append(toks, t)
			}
			fi++
		}
		if !more {
			return toks
		}
		line = rest
	}
}

// cutPieces parts a word at its label, "Password:abc", or its article, and
// appends the pieces to none; nearly all words are one. toks is what stands
// before it on the line.
func cutPieces(none []string, f string, toks []token) []string {
	pieces := append(none, f)
	var last token
	if len(toks) > 0 {
		last = toks[len(toks)-1]
	}
	// After a colon or "is", "id:3kX" is a password. No label ends otherwise.
	labels := strings.ContainsAny(f, ":=>→»➜") && !(last.colon || lex().has(last.words, "is"))
	if labels {
		if label, value, ok := cutLabel(f); ok {
			pieces = append(none, label, value)
		}
	}
	if m := mailValue(f); m != nil && !(last.colon || lex().has(last.words, "is")) {
		pieces = append(none, m[1], m[2])
	}
	if date := elidedDate(f); date != nil {
		pieces = date
	}
	if labels && len(toks) > 0 && colonGlued(last, f) {
		pieces = append(none, f[:1], f[1:]) // "Password :abc"
	}
	return pieces
}

// mailValue parts "rossi@pec.it:abc123".
func mailValue(f string) []string {
	if strings.IndexByte(f, '@') < 0 {
		return nil
	}
	return reMailValue.FindStringSubmatch(f)
}

// elidedDate parts "all'11/02/2024"; nil for what is none.
func elidedDate(f string) []string {
	if strings.IndexByte(f, '\'') < 0 {
		return nil
	}
	m := reElided.FindStringSubmatch(f)
	if m == nil || !reDate.MatchString(stripped(m[2])) {
		return nil
	}
	return m[1:]
}

// gluedArrow parts "password->abc".
func gluedArrow(f string) []string {
	if !strings.ContainsAny(f, ">→»➜") {
		return nil
	}
	return reGluedArrow.FindStringSubmatch(f)
}

// colonGlued: f begins with the colon of the label before it. Only in front of
// letters and digits: with other characters it may be the password's.
func colonGlued(label token, f string) bool {
	if len(f) <= minLength || f[0] != ':' && f[0] != '=' || connectors[f] || hasSpecial(f[1:]) {
		return false
	}
	return label.kind == kindWord && !label.comma && !label.stop && lex().has(label.words, "password", "app", "mailweak", "mail", "expiry")
}

// cutLabel parts "Password:abc", "pw=abc" and "scadenza:13/02/2024".
func cutLabel(f string) (label, value string, ok bool) {
	if m := gluedArrow(f); m != nil && lex().has(wordsOf(m[1]), "password", "app") {
		return m[1] + ":", m[2], true
	}
	i := strings.IndexAny(f, ":=")
	if i <= 0 || i == len(f)-1 || strings.HasPrefix(f[i:], "://") {
		return "", "", false
	}
	ws := wordsOf(f[:i])
	if len(ws) == 0 || len(ws) > 3 || !reLabel.MatchString(f[:i]) {
		return "", "", false
	}
	if len(ws) == 1 && ws[0] == "e'" && f[i] == ':' {
		return f[:i+1], f[i+1:], true // "la password è:abc123"
	}
	p, known := lex().longest(ws, "password", "app", "field", "softfield", "expiry", "generated", "code", "mail", "webmail", "new", "old")
	if !known && !passwordWord(ws[0]) || known && len(p.words) != len(ws) {
		return "", "", false
	}
	if known && !p.is("password", "app") && i < 3 {
		return "", "", false // "al:": more likely the value's
	}
	return f[:i+1], f[i+1:], true
}

func newToken(s string) token {
	if t, ok := plainWords.get(s); ok {
		return t
	}
	t := makeToken(s)
	plainWords.put(t)
	return t
}

func makeToken(s string) token {
	t := token{s: s}
	if connectors[s] {
		t.colon = true
		return t
	}
	t.words = wordsOf(s)
	t.core = stripped(s)
	end := strings.TrimRight(s, `"'»›)]}*_`+"`")
	if end != "" {
		switch end[len(end)-1] {
		case ':', '=':
			t.colon = true
		case ',', ';':
			t.comma = true
		case '.', '!':
			t.stop = true
		case '?':
			t.stop, t.quest = true, true
		}
	}
	t.open = strings.HasPrefix(s, "(") || strings.HasPrefix(s, "[")
	t.shut = strings.HasSuffix(strings.TrimRight(s, ".,;:!?"), ")") || strings.HasSuffix(s, "]")
	if rest, ok := strings.CutSuffix(t.core, "="); ok && len(t.words) > 0 && lex().has(t.words, "password", "app", "field", "softfield", "code", "expiry") {
		t.core = rest // "pw="
	}
	t.kind = shape(t.core)
	return t
}

// stripped is the token without what usually surrounds a word in a sentence.
// It serves recognition only: variants decides what the password may be.
func stripped(s string) string {
	s = strings.TrimRight(s, ".,;:!?…")
	for len(s) > 0 {
		t := strings.Trim(s, "\"'«»‹›()[]{}<>*_`“”")
		t = strings.TrimRight(t, ".,;:")
		if t == s {
			break
		}
		s = t
	}
	return s
}

// shape classifies the core of a token.
func shape(s string) kind {
	s = compose(s)
	if s == "" {
		return kindNone
	}
	low := strings.ToLower(s)
	if lex().names[low] {
		return kindWord
	}
	if s[0] == '@' && lex().people[low[1:]] {
		return kindWord // "@Giulia", as chats address people
	}
	if strings.ContainsAny(s, "0123456789@./:") && recognised(s) {
		return kindOther
	}
	if field, _, ok := strings.Cut(low, "#"); ok && lex().has([]string{field}, "field") {
		return kindOther // "Ticket#2023Ab45"
	}
	if low[0] >= '0' && low[0] <= '9' {
		if m := reNamedDate.FindStringSubmatch(low); m != nil && (monthOf(fold(m[1])) > 0 || romanMonth(strings.ToUpper(m[1])) > 0) {
			return kindOther
		}
	}
	var lower, upper, digit, special, accent, odd int
	prev := rune(0)
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digit++
		case unicode.IsLower(r):
			lower++
			if r > 0x7f {
				accent++
			}
		case unicode.IsUpper(r):
			upper++
			if unicode.IsLower(prev) {
				odd++
			}
		default:
			special++
		}
		prev = r
	}
	letters := lower + upper
	switch {
	case letters == 0 && digit == 0:
		return kindNone
	case letters == 0 && special == 0:
		return kindNumber
	case letters == 0:
		if reAmount.MatchString(s) {
			return kindOther
		}
		if strings.Trim(s, "0123456789.,/-+'%°") == "" {
			return kindOther // amounts, ranges, law references
		}
		return kindStrong
	case digit == 0 && special == 0:
		if odd > 0 && letters >= 4 && !camelWords(s) {
			if letters >= 5 {
				return kindStrong
			}
			return kindWeird
		}
		if letters >= 5 && !pronounceable(low) && !knownWord(low) {
			return kindWeird
		}
		return kindWord
	case digit == 0:
		return shapeWithMarks(s)
	case special == 0 && lower == 0:
		return kindWeird // capitals and digits: codes, registration numbers, shouting
	case digit > 0 && special > 0 && reMarkedNumber.MatchString(s):
		return kindOther
	}
	return kindStrong
}

var registers = [...]pattern{reMail, reLink, reDate, reTime, rePhone, reFiscal, reIBAN, reVAT, reLaw, reOrd, reElidedNum, reFile, reMsgID, reError, reContentID}

// recognised: an address, a date, a number of some register, …
func recognised(s string) bool {
	for _, re := range &registers {
		if re.MatchString(s) {
			return true
		}
	}
	return false
}

// reMarkedNumber is a number with a word glued on: "n.12", "art.5", "euro50,00", "30%".
var reMarkedNumber = newPattern(`(?i)^(n|nr|num|art|prot|pag|cap|tel|fax|cell|ore|eur|euro|co|p|lett|reg|int|scala|rif)[.:°]*\d[\d.,/-]*$|^\d+[a-z]?/[a-z]$`)

// shapeWithMarks classifies letters with punctuation and no digit.
func shapeWithMarks(s string) kind {
	// Words joined by ordinary marks: "e-mail", "l'ultima", "e/o", "S.r.l", "D.Lgs", "amministrazione@".
	pieces := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("'-/.,&–—…:;()°+", r) })
	if len(pieces) >= 3 && len(s) == 5*len(pieces)-1 && strings.Count(s, "-") == len(pieces)-1 && s == strings.ToLower(s) {
		return kindStrong // abcd-efgh-ijkl-mnop, as app passwords are shown
	}
	ordinary := true
	for _, p := range pieces {
		for _, r := range p {
			if !unicode.IsLetter(r) {
				ordinary = false
			}
		}
		if strings.Contains(s, "&") && p == strings.ToLower(p) && len(p) > 2 {
			ordinary = false // "sole&mare", but "Rossi&Figli"
		}
		if ordinary && len(p) > 3 && !camelWords(p) && hasOddCase(p) {
			ordinary = false
		}
	}
	if ordinary {
		return kindWord
	}
	return kindStrong
}

func hasOddCase(s string) bool {
	prev := rune(0)
	for _, r := range s {
		if unicode.IsUpper(r) && unicode.IsLower(prev) {
			return true
		}
		prev = r
	}
	return false
}

// camelWords tells "PosteItaliane" or "McDonald" from "xKqTbe": every capital
// starts a piece of three letters or more that can be pronounced.
func camelWords(s string) bool {
	var pieces []string
	start := 0
	rs := []rune(s)
	for i := 1; i < len(rs); i++ {
		if unicode.IsUpper(rs[i]) && unicode.IsLower(rs[i-1]) {
			pieces = append(pieces, string(rs[start:i]))
			start = i
		}
	}
	pieces = append(pieces, string(rs[start:]))
	for i, p := range pieces {
		if i == 0 && len(pieces) > 1 && (p == "i" || p == "e") || i == len(pieces)-1 && p == strings.ToUpper(p) && len(p) <= 3 {
			continue // iCloud, FatturaPA
		}
		if i > 0 && i == len(pieces)-1 && len(pieces[0]) >= 5 && len(p) <= 3 && lex().words[strings.ToLower(p)] {
			continue // "comunicarLe"
		}
		if len(p) < 3 || !pronounceable(strings.ToLower(p)) {
			return false
		}
	}
	return len(pieces) <= 3
}

// pronounceable: has a vowel in every run of letters and no run of four
// consonants, as the words of our languages.
func pronounceable(low string) bool {
	vowels, run := 0, 0
	for _, r := range low {
		if strings.ContainsRune("aeiouyàèéìòùáíóúäöü", r) {
			vowels++
			run = 0
			continue
		}
		run++
		if run >= 4 {
			return false
		}
	}
	return vowels*5 >= len([]rune(low))
}

// knownWord asks the word lists; endings of Italian words are forgiven.
func knownWord(low string) bool {
	for _, w := range wordsOf(low) {
		if !lex().words[w] && !lex().names[w] && !inflected(w) {
			return false
		}
	}
	return true
}

// inflected knows a word by its stem: the lists hold one form of each.
func inflected(w string) bool {
	if len(w) < 5 {
		return false
	}
	for cut := 1; cut <= 2 && len(w)-cut >= 4; cut++ {
		for _, end := range []string{"o", "a", "i", "e"} {
			if lex().words[w[:len(w)-cut]+end] {
				return true
			}
		}
	}
	return false
}

// ordinary tells whether an unknown word has an ending of the language.
func ordinary(low string) bool {
	if len(low) < 6 {
		return false
	}
	for _, end := range []string{"ata", "ato", "ati", "ate", "are", "ere", "ire", "ando", "endo", "ita", "ito", "iti", "ite", "uta", "uto",
		"uti", "ute", "zione", "zioni", "mente", "remo", "rete", "ranno", "ete", "iamo", "ala", "alo", "ela", "sta", "sto", "arsi", "ersi", "irsi", "eva", "ava", "iva", "ano", "ono", "ing", "ed", "tion", "ly"} {
		if strings.HasSuffix(low, end) {
			return true
		}
	}
	return false
}
