package submission

// courteous tells whether a line holds thanks or a greeting and nothing else:
// "Grazie a Lei, buona giornata". "Ok" or "fatto" is more than that.
func courteous(w []string) bool {
	said := false
	for i := 0; i < len(w); {
		p, ok := lex().longest(w[i:], "closing", "greeting")
		switch {
		case ok:
			said = true
			i += len(p.words)
		case lex().small["courtesy"][w[i]]:
			i++
		default:
			return false
		}
	}
	return said
}
