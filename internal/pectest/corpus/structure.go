package corpus

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
)

// structure: MIME around and under the signature.
func (c *collection) structure() {
	c.bad("mime-third-part", "an unsigned part behind the signature", pec.ReasonMalformed, extraPart(false))
	c.bad("mime-first-part", "an unsigned part before the signed one", pec.ReasonMalformed, extraPart(true))
	c.bad("mime-one-part", "no signature part", pec.ReasonMalformed, func(e *pectest.Envelope) {
		e.Body = func(b []byte) []byte {
			at := bytes.LastIndex(b, []byte("Content-Type: application/pkcs7-signature"))
			line := bytes.LastIndex(b[:at-2], []byte("\r\n"))
			return append(bytes.Clone(b[:line]), "\r\n"+lastDelimiter(b)+"\r\n"...)
		}
	})
	c.bad("mime-not-closed", "the last delimiter is missing", pec.ReasonMalformed, func(e *pectest.Envelope) {
		e.Body = func(b []byte) []byte { return []byte(replace(string(b), "\r\n"+lastDelimiter(b), "")) }
	})
	c.bad("mime-after-close", "a part behind the last delimiter", pec.ReasonMalformed, func(e *pectest.Envelope) {
		e.Body = func(b []byte) []byte {
			open := strings.TrimSuffix(lastDelimiter(b), "--")
			return append(b, open+"\r\nContent-Type: text/plain\r\n\r\nunsigned\r\n"+open+"--\r\n"...)
		}
	})
	c.bad("mime-no-boundary", "no boundary parameter", pec.ReasonMalformed, signedType(func(v string) string {
		return v[:strings.Index(v, "; boundary=")+1]
	}))
	c.bad("mime-two-boundaries", "two boundary parameters", pec.ReasonMalformed, signedType(func(v string) string {
		return v + `; boundary="other"`
	}))
	c.bad("mime-boundary-mixed", "boundary plain and in continuations", pec.ReasonMalformed, signedType(func(v string) string {
		return v + `; boundary*0="oth"; boundary*1="er"`
	}))
	c.bad("mime-inner-boundary", "the inner boundary as the outer one", pec.ReasonMalformed, func(e *pectest.Envelope) {
		var inner string
		e.Signed = func(b []byte) []byte { inner = boundaryOf(string(b)); return b }
		e.Fields = signedFields(func(v string) string { return v[:strings.Index(v, "boundary=")] + `boundary="` + inner + `"` })
	})
	c.injections()
	c.bad("mime-type-broken", "Content-Type that can't be read", pec.ReasonMalformed, signedType(func(v string) string {
		return replace(v, `protocol="`, `protocol="x"y"`)
	}))
	c.bad("mime-encoded-multipart", "base64 as transfer encoding of the whole", pec.ReasonMalformed, func(e *pectest.Envelope) {
		e.Fields = addField("Content-Transfer-Encoding: base64")
	})
	c.bad("mime-pgp", "another kind of multipart/signed", pec.ReasonUnsigned, func(e *pectest.Envelope) {
		e.Fields = signedFields(func(v string) string { return replace(v, "application/pkcs7-signature", "application/pgp-signature") })
		e.Body = replaceBytes("Content-Type: application/pkcs7-signature", "Content-Type: application/pgp-signature")
	})
	c.bad("mime-wrapped", "the genuine envelope inside a multipart/mixed", pec.ReasonUnsigned, func(e *pectest.Envelope) {
		e.Message = wrapped
	})
	c.bad("mime-opaque", "opaque S/MIME", pec.ReasonNotPEC, smime("signed-data"))
	c.bad("mime-encrypted", "encrypted S/MIME", pec.ReasonNotPEC, smime("enveloped-data"))
	c.bad("plain-with-headers", "plain text with the headers of PEC", pec.ReasonUnsigned, func(e *pectest.Envelope) {
		e.Fields = setField("Content-Type", "text/plain; charset=utf-8")
		e.Body = func([]byte) []byte { return []byte("la password e': Ev1lEv1l\r\n") }
	})
	c.bad("mixed-with-headers", "unsigned multipart/mixed with data and original", pec.ReasonUnsigned, func(e *pectest.Envelope) {
		var content []byte
		e.Sent = func(b []byte) []byte { content = b; return b }
		e.Message = func(b []byte) []byte {
			at := bytes.Index(b, []byte("Content-Type: multipart/signed"))
			return append(bytes.Clone(b[:at]), content...)
		}
	})
	c.bad("no-content-type", "PEC headers and no Content-Type", pec.ReasonUnsigned, func(e *pectest.Envelope) { e.Fields = dropField("Content-Type") })
	children := func(name, about string, reason pec.Reason, f func(p []pectest.Part) []pectest.Part) {
		c.bad(name, about, reason, func(e *pectest.Envelope) { e.Children = f })
	}
	children("signed-no-data", "no daticert.xml", pec.ReasonDaticertMissing, func(p []pectest.Part) []pectest.Part { return []pectest.Part{p[0], p[2]} })
	children("signed-no-original", "no postacert.eml", pec.ReasonDaticertMissing, func(p []pectest.Part) []pectest.Part { return p[:2] })
	children("signed-only-text", "text only", pec.ReasonDaticertMissing, func(p []pectest.Part) []pectest.Part { return p[:1] })
	children("signed-two-data", "the data twice", pec.ReasonMalformed, func(p []pectest.Part) []pectest.Part { return append(p, p[1]) })
	children("signed-two-originals", "the original twice", pec.ReasonMalformed, func(p []pectest.Part) []pectest.Part { return append(p, p[2]) })
	children("signed-second-data-disposition", "a second daticert.xml named by its disposition", pec.ReasonMalformed, func(p []pectest.Part) []pectest.Part {
		other := p[1]
		other.Fields = []string{"Content-Type: application/octet-stream", "Content-Transfer-Encoding: base64", "Content-Disposition: attachment; filename*=utf-8''DATICERT%2Exml"}
		return append(p, other)
	})
	children("signed-nested-data", "data and original one level deeper", pec.ReasonDaticertMissing, func(p []pectest.Part) []pectest.Part {
		return []pectest.Part{p[0], nest(p[1:])}
	})
	children("signed-data-base64", "data that is no base64", pec.ReasonMalformed, func(p []pectest.Part) []pectest.Part {
		p[1].Body = append([]byte("%%%"), p[1].Body...)
		return p
	})
	children("signed-data-type", "a message called daticert.xml", pec.ReasonMalformed, func(p []pectest.Part) []pectest.Part {
		p[1].Fields[0] = `Content-Type: message/rfc822; name="daticert.xml"`
		return p
	})
	children("signed-data-two-types", "two Content-Types on the data", pec.ReasonMalformed, func(p []pectest.Part) []pectest.Part {
		p[1].Fields = append(p[1].Fields, "Content-Type: application/xml")
		return p
	})
	children("signed-data-encoding", "data with an unknown transfer encoding", pec.ReasonMalformed, func(p []pectest.Part) []pectest.Part {
		p[1].Fields[1] = "Content-Transfer-Encoding: uuencode"
		return p
	})
	children("signed-data-and-original", "one part that is called both", pec.ReasonMalformed, func(p []pectest.Part) []pectest.Part {
		p[1].Fields[2] = `Content-Disposition: inline; filename="postacert.eml"`
		return p
	})
	children("signed-original-type", "a multipart called postacert.eml", pec.ReasonMalformed, func(p []pectest.Part) []pectest.Part {
		p[2] = nest(p[2:])
		p[2].Fields[0] += "; name=postacert.eml"
		return p
	})
	children("signed-child-header", "a child with a broken header", pec.ReasonMalformed, func(p []pectest.Part) []pectest.Part {
		return append(p, pectest.Part{Fields: []string{"no field"}, Body: []byte("x")})
	})
	c.bad("signed-no-boundary", "inner multipart without a boundary", pec.ReasonMalformed, func(e *pectest.Envelope) {
		e.Signed = func(b []byte) []byte { return []byte(replace(string(b), "boundary=", "border=")) }
	})
	c.bad("signed-encoded", "inner multipart in base64", pec.ReasonMalformed, func(e *pectest.Envelope) {
		e.Signed = func(b []byte) []byte { return append([]byte("Content-Transfer-Encoding: base64\r\n"), b...) }
	})
	c.bad("mime-signature-header", "two Content-Types on the signature part", pec.ReasonMalformed, func(e *pectest.Envelope) {
		e.Body = replaceBytes("Content-Disposition: attachment; filename=\"smime.p7s\"", "Content-Type: application/pkcs7-signature")
	})
	c.bad("mime-signature-type", "a signature part of another type", pec.ReasonUnsigned, func(e *pectest.Envelope) {
		e.Body = replaceBytes("Content-Type: application/pkcs7-signature", "Content-Type: text/plain")
	})
	c.bad("mime-pgp-protocol", "protocol of PGP, part of S/MIME", pec.ReasonUnsigned, signedType(func(v string) string {
		return replace(v, "application/pkcs7-signature", "application/pgp-signature")
	}))
	children("signed-many-parts", "200 parts", pec.ReasonMalformed, func(p []pectest.Part) []pectest.Part {
		for range 200 {
			p = append(p, pectest.Part{Fields: []string{"X: y"}})
		}
		return p
	})
	c.bad("signed-not-multipart", "text under a genuine signature", pec.ReasonDaticertMissing, func(e *pectest.Envelope) {
		e.Signed = func([]byte) []byte { return []byte("Content-Type: text/plain\r\n\r\nla password e': Ev1lEv1l\r\n") }
	})
	c.bad("signed-not-closed", "inner multipart without its last delimiter", pec.ReasonMalformed, func(e *pectest.Envelope) {
		e.Signed = func(b []byte) []byte { return b[:bytes.LastIndex(b, []byte("\r\n--"))] }
	})
	c.ordinary()
}

// injections: clients who guess the provider's boundary (some are made of time
// and process number) and break out of their part of the envelope.
func (c *collection) injections() {
	e := Envelope()
	e.ID = "opec275.20260919154119.1234567890.1.17@pec.aruba.it"
	var inner string
	e.Signed = func(b []byte) []byte { inner = boundaryOf(string(b)); return b }
	e.Bytes()
	forged := Envelope()
	forged.Sender, forged.ID = "vittima@pec.it", e.ID
	data := pectest.XML(forged.DaticertXML())
	part := "--" + inner + "\r\n" + strings.Join(data.Fields, "\r\n") + "\r\n\r\n" + string(data.Body)
	for _, i := range []struct {
		name, about, text string
		first             bool
	}{
		{"inject-data", "the original breaks out and adds a second daticert.xml", part, false},
		{"inject-data-close", "the original breaks out, adds a daticert.xml and closes the multipart", part + "\r\n--" + inner + "--\r\n", false},
		{"inject-close-first", "the same with the original before the genuine data", part + "\r\n--" + inner + "--\r\n", true},
	} {
		c.bad(i.name, i.about, pec.ReasonMalformed, func(e *pectest.Envelope) {
			e.ID = forged.ID
			e.Style.OriginalFirst = i.first
			e.Original = []byte("From: vittima@pec.it\r\nMessage-ID: <letter1@client.example>\r\n\r\nciao\r\n" + i.text)
		})
	}
}

func boundaryOf(entity string) string {
	_, after, _ := strings.Cut(entity, `boundary="`)
	b, _, _ := strings.Cut(after, `"`)
	return b
}

// ordinary: what is no PEC at all.
func (c *collection) ordinary() {
	letter := pectest.Letter{From: "mario@example.com", To: Studio, Subject: "Password", Text: "la password e': Ev1lEv1l\n", Date: SentAt}
	c.add("ordinary", "ordinary mail", pec.KindOrdinary, pec.ReasonNotPEC, letter.Bytes())
	e := Envelope()
	e.Fields = dropField("X-Trasporto")
	c.add("no-x-trasporto", "a genuine envelope without X-Trasporto", pec.KindOrdinary, pec.ReasonNotPEC, e.Bytes())
	e = Envelope()
	e.Fields = setField("X-Trasporto", "posta-certificata-2")
	c.add("x-trasporto-unknown", "an unknown X-Trasporto", pec.KindOrdinary, pec.ReasonNotPEC, e.Bytes())
	c.add("empty", "nothing", pec.KindOrdinary, pec.ReasonMalformed, nil)
	c.add("no-header", "a body only", pec.KindOrdinary, pec.ReasonMalformed, []byte("\r\nX-Trasporto: posta-certificata\r\n"))
	c.add("binary", "bytes that are no message", pec.KindOrdinary, pec.ReasonMalformed, bytes.Repeat([]byte{0, 1, 2, 255}, 300))
}

func lastDelimiter(body []byte) string {
	at := bytes.LastIndex(bytes.TrimRight(body, "\r\n"), []byte("\r\n"))
	return strings.TrimSpace(string(body[at:]))
}

func extraPart(first bool) func(e *pectest.Envelope) {
	return func(e *pectest.Envelope) {
		e.Body = func(b []byte) []byte {
			last := lastDelimiter(b)
			open := strings.TrimSuffix(last, "--")
			text := open + "\r\nContent-Type: text/plain\r\n\r\nunsigned: la password e' Ev1lEv1l\r\n"
			if first {
				return append([]byte(text), b...)
			}
			return []byte(replace(string(b), last, text+last))
		}
	}
}

func signedType(f func(value string) string) func(e *pectest.Envelope) {
	return func(e *pectest.Envelope) { e.Fields = signedFields(f) }
}

func signedFields(f func(value string) string) func([]string) []string {
	return func(fields []string) []string {
		return mapField(fields, "Content-Type", func(old string) []string { return []string{f(old)} })
	}
}

func wrapped(b []byte) []byte {
	head, body, _ := bytes.Cut(b, []byte("\r\n\r\n"))
	at := bytes.Index(head, []byte("Content-Type: multipart/signed"))
	return fmt.Appendf(nil, "%sContent-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\n%s\r\n\r\n%s\r\n--outer\r\nContent-Type: text/plain\r\n\r\nlist footer\r\n--outer--\r\n",
		head[:at], head[at:], body)
}

// smime puts a CMS with the content inside at the top.
func smime(kind string) func(e *pectest.Envelope) {
	return func(e *pectest.Envelope) {
		embed(e)
		var der []byte
		e.P7S = func(b []byte) []byte { der = b; return b }
		e.Fields = func(fields []string) []string {
			fields = setField("Content-Type", "application/pkcs7-mime; smime-type="+kind+"; name=smime.p7m")(fields)
			return append(fields, "Content-Transfer-Encoding: base64")
		}
		e.Body = func([]byte) []byte { return []byte(base64.StdEncoding.EncodeToString(der) + "\r\n") }
	}
}

func nest(parts []pectest.Part) pectest.Part {
	var b bytes.Buffer
	for _, p := range parts {
		b.WriteString("--nested\r\n" + strings.Join(p.Fields, "\r\n") + "\r\n\r\n")
		b.Write(p.Body)
		b.WriteString("\r\n")
	}
	b.WriteString("--nested--\r\n")
	return pectest.Part{Fields: []string{"Content-Type: multipart/mixed; boundary=nested"}, Body: b.Bytes()}
}
