package quickget

// What packages bytes and strings have, for the little that is read here; with
// either come the tables of Unicode, which would be made first. Separators and
// sets are ASCII.

type text interface{ ~string | ~[]byte }

// index is where part begins in s, or -1.
func index[T text](s T, part string) int {
	for i := 0; i+len(part) <= len(s); i++ {
		if string(s[i:i+len(part)]) == part {
			return i
		}
	}
	return -1
}

func contains[T text](s T, part string) bool { return index(s, part) >= 0 }

func hasPrefix[T text](s T, part string) bool {
	return len(s) >= len(part) && string(s[:len(part)]) == part
}

// cut gives what is before and behind sep, or all of s and nothing.
func cut[T text](s T, sep string) (before, after T, found bool) {
	if i := index(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, s[len(s):], false
}

// trim cuts off spaces and tabs, and what a line of Windows ends in.
func trim(s string) string {
	blank := func(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }
	for s != "" && blank(s[0]) {
		s = s[1:]
	}
	for s != "" && blank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// folded is s in small letters, without the characters of drop.
func folded(s, drop string) string {
	var b []byte
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if !contains(drop, string(rune(c))) {
			b = append(b, c)
		}
	}
	return string(b)
}
