package pec

import "strings"

// singleAddress reads a From value that must hold exactly one mailbox and
// returns its address ("local@domain", as written). Display names are skipped
// without being believed: in `"a@b" <c@d>` the address is c@d. Lists, groups,
// routes, several angle brackets and anything after the address but comments
// are refused.
//
// Source: RFC 5322 §3.4; RFC 6109 §2.1 (one author).
func singleAddress(v string) (string, bool) {
	p := scanner{s: v}
	var bare strings.Builder // an address without angle brackets
	words := 0
	for {
		p.skipCFWS()
		if p.bad {
			return "", false
		}
		if p.done() {
			break
		}
		switch c := p.s[p.i]; c {
		case '"':
			start := p.i
			if _, ok := p.quoted(); !ok {
				return "", false
			}
			bare.WriteString(p.s[start:p.i])
			words++
		case '<':
			addr, ok := p.angle()
			if !ok {
				return "", false
			}
			p.skipCFWS()
			if p.bad || !p.done() {
				return "", false
			}
			return addr, isAddress(addr)
		case ',', ';', ':', '>', ')', '[', ']', '\\':
			return "", false
		default:
			start := p.i
			for p.i < len(p.s) && !strings.ContainsRune(" \t(\"<>,;:[]\\)", rune(p.s[p.i])) {
				p.i++
			}
			bare.WriteString(p.s[start:p.i])
			words++
		}
	}
	// "a @b" and "x y@z" are obsolete or nonsense: one word only.
	if words != 1 {
		return "", false
	}
	return bare.String(), isAddress(bare.String())
}

// angle reads "<address>", p.i at the bracket.
func (p *scanner) angle() (string, bool) {
	p.i++
	end := strings.IndexByte(p.s[p.i:], '>')
	if end < 0 {
		return "", false
	}
	inner := scanner{s: p.s[p.i : p.i+end]}
	p.i += end + 1
	inner.skipCFWS()
	start := inner.i
	for inner.i < len(inner.s) && !strings.ContainsRune(" \t(", rune(inner.s[inner.i])) {
		inner.i++
	}
	addr := inner.s[start:inner.i]
	inner.skipCFWS()
	return addr, inner.done() && !inner.bad
}

// isAddress asks for one "@" with something on both sides and none of the
// characters that need quoting: a PEC address has no quoted local part.
func isAddress(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.ContainsAny(s[len(local)+1:], "@") &&
		!strings.ContainsAny(s, " \t\r\n\x00\"(),:;<>[]\\")
}

// MailboxOf lower-cases an address that a client of the studio may have, and
// returns "" for every other: [a-z0-9._+-]+@ and a domain of letters, digits,
// hyphens and dots.
func MailboxOf(addr string) string {
	addr = asciiLowerString(addr)
	local, domain, ok := strings.Cut(addr, "@")
	if !ok || local == "" {
		return ""
	}
	for _, c := range []byte(local) {
		if !isAlnum(c) && !strings.ContainsRune("._+-", rune(c)) {
			return ""
		}
	}
	for _, label := range strings.Split(domain, ".") {
		if label == "" {
			return ""
		}
		for _, c := range []byte(label) {
			if !isAlnum(c) && c != '-' {
				return ""
			}
		}
	}
	return addr
}

func isAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func domainOf(addr string) string {
	_, domain, _ := strings.Cut(addr, "@")
	return asciiLowerString(domain)
}

// bareID strips the angle brackets and the comments around a message id.
// Source: RFC 5322 §3.6.4.
func bareID(v string) string {
	p := scanner{s: v}
	p.skipCFWS()
	if p.done() || p.bad || p.s[p.i] != '<' {
		return strings.Trim(v, " \t\r\n")
	}
	end := strings.IndexByte(p.s[p.i:], '>')
	if end < 0 {
		return strings.Trim(v, " \t\r\n")
	}
	id := p.s[p.i+1 : p.i+end]
	p.i += end + 1
	p.skipCFWS()
	if !p.done() || p.bad {
		return strings.Trim(v, " \t\r\n")
	}
	return id
}
