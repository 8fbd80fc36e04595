package probe

import (
	"strings"

	"pec-ingest/internal/secret"
)

// Classify judges the answer that the lines of text hold, the last one being
// the one that ends it.
func Classify(text, greeting string) Outcome {
	var a answer
	lines := strings.Split(text, "\n")
	for i, s := range lines {
		l := parseLine(s)
		if i == len(lines)-1 {
			a.line = l
			break
		}
		a.warnings = append(a.warnings, l)
	}
	return classify(a, greeting)
}

// Clean is what becomes of a server's words.
func Clean(login string, password secret.Secret, words string) string {
	return newScrubber(login, password).clean(words)
}
