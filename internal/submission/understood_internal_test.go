package submission

import "testing"

// A word can't both change nothing and turn what is said into its opposite.
func TestPlainWordsTurnNothing(t *testing.T) {
	plain := lex().plain
	for _, s := range []section{"words", "turn", "touch", "touchstem", "touchend", "former", "formerly", "filed", "spelling", "title", "contact"} {
		if len(plain[s]) == 0 {
			t.Errorf("[%s] of lang/plain.txt: got no words", s)
		}
	}
	for w := range plain["words"] {
		if plain["turn"][w] || lex().small["wary"][w] || lex().small["kin"][w] {
			t.Errorf("%q: is among the words that change nothing, and among those that do", w)
		}
	}
}
