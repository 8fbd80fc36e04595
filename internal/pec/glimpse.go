package pec

// Glimpsed is what the first bytes of a transport envelope show. Nothing of it
// is verified: it is good for leaving a message alone, never for believing it.
type Glimpsed struct {
	// Original is the beginning of postacert.eml.
	Original []byte
	// Section is where postacert.eml stands, in IMAP's numbering of parts
	// (RFC 3501 §6.4.5).
	Section []int
	// Subject and Sender are oggetto and mittente; "" where daticert.xml is
	// not among the bytes seen.
	Subject, Sender string
}

// Glimpse looks at the first bytes of a message, which must end inside
// postacert.eml. It answers false for whatever is not plainly the beginning of
// a transport envelope as every provider writes it, so that such a message is
// looked at in full.
func Glimpse(first []byte) (Glimpsed, bool) {
	outer, body, err := parseHeader(first, maxHeaderBytes)
	if err != nil || body == nil || checkOuter(outer) != nil || kindOf(outer) != KindEnvelope {
		return Glimpsed{}, false
	}
	typ, err := parseMediaType(outer.get("content-type"))
	if err != nil || typ.value != "multipart/signed" || !isIdentity(firstToken(outer.get("content-transfer-encoding"))) {
		return Glimpsed{}, false
	}
	signed, ok := openParts(typ, body)
	if !ok || len(signed) != 1 {
		return Glimpsed{}, false
	}
	top, ok := beginning(signed[0])
	if !ok || top.typ.value != "multipart/mixed" || !isIdentity(top.encoding) {
		return Glimpsed{}, false
	}
	children, ok := openParts(top.typ, top.body)
	if !ok {
		return Glimpsed{}, false
	}
	return glimpseChildren(children)
}

// glimpseChildren reads the children of the signed part; the last one is open.
func glimpseChildren(children [][]byte) (Glimpsed, bool) {
	var g Glimpsed
	for i, raw := range children {
		p, ok := beginning(raw)
		if !ok {
			return Glimpsed{}, false
		}
		last := i == len(children)-1
		switch {
		case p.named("postacert.eml"):
			if !last || p.typ.value != "message/rfc822" || !isIdentity(p.encoding) {
				return Glimpsed{}, false
			}
			g.Original, g.Section = p.body, []int{1, i + 1}
		case last:
			return Glimpsed{}, false
		case p.named("daticert.xml"):
			d, err := daticertOf(p)
			if err != nil || g.Sender != "" {
				return Glimpsed{}, false
			}
			g.Subject, g.Sender = d.subject, d.sender
		}
	}
	return g, g.Section != nil
}

// beginning is parsePart for a part whose end may be missing; its header must
// be whole.
func beginning(raw []byte) (part, bool) {
	p, err := parsePart(raw)
	return p, err == nil && p.body != nil
}

// openParts cuts a multipart whose end is missing.
func openParts(typ mediaType, body []byte) ([][]byte, bool) {
	boundary, err := typ.one("boundary")
	if err != nil || boundary == "" {
		return nil, false
	}
	parts, err := splitOpenParts(body, boundary, maxParts)
	return parts, err == nil
}
