package submission

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Some programs, Apple's above all, write "è" as an "e" and a combining accent
// (Unicode Annex #15, form NFD). Words are compared composed. What may be a
// password stays as it was written: nobody knows which of the two a server
// hashed, so both are shown.

// decomposed tells whether s holds a combining mark of U+0300 to U+036F.
func decomposed(s string) bool {
	for i := range len(s) {
		if s[i] == 0xCC || s[i] == 0xCD { // the first byte of all of them
			return true
		}
	}
	return false
}

// compose is s with its accents on their letters.
func compose(s string) string {
	if !decomposed(s) {
		return s
	}
	return norm.NFC.String(s)
}

// composeWords composes the words of a line that are in the word lists, and
// leaves all else as it is.
func composeWords(line string) string {
	if !decomposed(line) {
		return line
	}
	var b strings.Builder
	for len(line) > 0 {
		end := strings.IndexFunc(line, unicode.IsSpace)
		switch end {
		case -1:
			end = len(line)
		case 0:
			b.WriteByte(line[0]) // a blank or a tab, see clean
			line = line[1:]
			continue
		}
		word := line[:end]
		if c := compose(word); fold(stripped(c)) == "e'" || shape(stripped(c)) == kindWord && knownWord(strings.ToLower(c)) {
			word = c
		}
		b.WriteString(word)
		line = line[end:]
	}
	return b.String()
}
