package submission

import (
	"strings"
	"sync"
)

// Most of what is read is the same few hundred words again and again. Their
// tokens are kept, so that each is taken apart once and not in every letter.
//
// Only words of the word lists are kept, with the punctuation around them: no
// secret stays in memory here.
var plainWords wordTokens

// wordTokens may be used by many goroutines.
type wordTokens struct {
	mu    sync.RWMutex
	known map[string]token // by what was written; at most maxPlainWords
}

const (
	maxPlainWords = 4096
	maxPlainWord  = 24 // bytes
)

func (w *wordTokens) get(s string) (token, bool) {
	if len(s) > maxPlainWord {
		return token{}, false
	}
	w.mu.RLock()
	t, ok := w.known[s]
	w.mu.RUnlock()
	return t, ok
}

func (w *wordTokens) put(t token) {
	if len(t.s) > maxPlainWord || !isPlainWord(&t) {
		return
	}
	t = t.clone()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known == nil || len(w.known) >= maxPlainWords {
		w.known = make(map[string]token, 256)
	}
	w.known[t.s] = t
}

// isPlainWord tells whether t is a word of the lists in any of its forms, or
// several joined by apostrophes or hyphens: what is never taken for a password.
func isPlainWord(t *token) bool {
	if t.kind != kindWord || len(t.words) == 0 {
		return false
	}
	return isASCII(t.s) && knownWord(strings.ToLower(t.core))
}

// clone is t with texts of its own: those that it was made of belong to the
// letter, which would stay in memory with them.
func (t token) clone() token {
	t.s, t.core = strings.Clone(t.s), strings.Clone(t.core)
	words := make([]string, len(t.words))
	for i, w := range t.words {
		words[i] = strings.Clone(w)
	}
	t.words = words
	return t
}
