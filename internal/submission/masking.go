package submission

import "strings"

// MaskLine replaces each occurrence of a candidate in line by "••••".
func MaskLine(line string, cands []Candidate) string {
	for _, c := range cands {
		if !c.Secret.IsZero() {
			line = strings.ReplaceAll(line, c.Secret.RevealString(), mask)
		}
	}
	return line
}

const mask = "••••"
