package submission

import "strings"

// markNames are the sections that name one mark each.
var markNames = map[section]string{"mark-dot": ".", "mark-comma": ",", "mark-semicolon": ";", "mark-colon": ":", "mark-exclamation": "!", "mark-question": "?"}

// addLength notes how long the writer says that the password is: "di 10
// caratteri", "è lunga 12". A least length, as policies have it, is none.
func (f *facts) addLength(w []string) {
	for i := range w {
		n := 0
		if i > 0 && lex().small["characters"][w[i]] && (i < 2 || !lex().small["least"][w[i-2]]) {
			n, _ = howMany(w[i-1 : i])
		}
		if i+1 < len(w) && (w[i] == "lunga" || w[i] == "lungo") && !lex().small["least"][w[i+1]] {
			n, _ = howMany(w[i+1 : i+2])
		}
		if n >= minLength && n <= maxLength {
			f.length = n
		}
	}
}

// addMarks notes what a line says of punctuation: "punto compreso", "il punto
// finale fa parte della password", "senza virgolette".
func (f *facts) addMarks(w []string) {
	for i := range w {
		p, ok := lex().longest(w[i:], "marks")
		if !ok {
			continue
		}
		behind := w[i+len(p.words):]
		behind = behind[:min(len(behind), 6)]
		before := w[max(0, i-2):i]
		switch {
		case lex().has(before, "without") || lex().has(behind, "markout"):
			f.markOut = true
			continue
		case lex().has(before, "markin") || lex().has(behind, "markin"):
			for _, s := range p.sections {
				if markNames[s] != "" {
					f.markIn = markNames[s]
				}
			}
		}
		f.marks = true
	}
}

// heedMarks follows what the writer says of punctuation. A mark that is said
// to belong to the password is put back, if it is the one that was taken off;
// one that is said not to belong is gone for good. Else a person must look.
func (g *group) heedMarks(f facts) {
	first := g.forms[0]
	switch {
	case !g.trimmed || hasSpecial(first) && !f.marks:
		return
	case f.marks && f.markIn != "" && !f.markOut && !hasSpecial(first) && g.ended && contains(g.forms, first+f.markIn):
		g.forms = append([]string{first + f.markIn}, g.forms...)
		g.doubtful, g.ended = false, false
		g.why = append(g.why, "mark-explained")
	case f.marks:
		g.doubtful = true // "il punto fa parte della password"
	case f.markOut && strings.Trim(first, ".,;:!?") == first:
		g.doubtful, g.ended, g.starred = false, false, false
		g.why = append(g.why, "mark-explained")
	}
}
