package corpus

import (
	"bytes"
	"encoding/base64"
	"strings"

	"pec-ingest/internal/pectest"
)

// shapes: odd but legal, and certified.
func (c *collection) shapes() {
	c.good("ok-no-msgid", "no msgid in the data (Poste 2012)", func(e *pectest.Envelope) { e.NoMsgID = true; e.Letter.MessageID = ""; e.Original = withoutID(*e) })
	c.good("ok-empty-risposte", "empty risposte", func(e *pectest.Envelope) {
		e.Daticert = replaceXML("<risposte>rossi@pec.it</risposte>", "<risposte/>")
	})
	c.good("ok-no-oggetto", "no oggetto", func(e *pectest.Envelope) {
		e.Daticert = replaceXML("        <oggetto>Password programmi di posta</oggetto>\n", "")
	})
	c.good("ok-external-recipient", "a second recipient with ordinary mail", func(e *pectest.Envelope) { e.External = []string{"altro@example.com"} })
	c.good("ok-many-recipients", "the studio is the last of three", func(e *pectest.Envelope) {
		e.Recipients = []string{"a@pec.it", "b@pec.it", Studio}
	})
	c.good("ok-case", "addresses in other cases than elsewhere", func(e *pectest.Envelope) {
		e.Sender, e.Recipients = "Rossi@PEC.it", []string{"STUDIO@PEC.IT"}
		e.Letter.From = "rossi@pec.IT"
		e.Fields = setField("From", `"Per conto di: rossi@pec.it" <Posta-Certificata@PEC.Aruba.it>`)
	})
	c.good("ok-header-case", "header names in capitals", func(e *pectest.Envelope) {
		e.Fields = func(fields []string) []string {
			for i, f := range fields {
				name, value, _ := strings.Cut(f, ":")
				fields[i] = strings.ToUpper(name) + ":" + value
			}
			return fields
		}
	})
	c.good("ok-blank-before-colon", "obsolete blank before a colon", func(e *pectest.Envelope) {
		e.Fields = func(fields []string) []string {
			return mapField(fields, "X-Trasporto", func(string) []string { return []string{"X-Trasporto : posta-certificata"} })
		}
	})
	c.good("ok-from-comment", "comments around the address in From", func(e *pectest.Envelope) {
		e.Fields = setField("From", "(Per conto di: rossi@pec.it) <"+aruba+"> (Aruba)")
	})
	c.good("ok-from-bare", "From without a display name", func(e *pectest.Envelope) { e.Fields = setField("From", aruba) })
	c.good("ok-from-8bit", "raw Latin-1 in the display name", func(e *pectest.Envelope) {
		e.Fields = setField("From", "\"Per conto di: societ\xe0\" <"+aruba+">")
	})
	c.good("ok-from-folded", "From folded before the address", func(e *pectest.Envelope) {
		e.Fields = setField("From", "\"Per conto di: rossi@pec.it\"\r\n\t<"+aruba+">")
	})
	c.good("ok-message-id-comment", "a comment behind the Message-ID", func(e *pectest.Envelope) {
		e.Fields = func(fields []string) []string {
			return mapField(fields, "Message-ID", func(old string) []string { return []string{old + " (PEC)"} })
		}
	})
	c.good("ok-message-id-folded", "Message-ID and reference folded", func(e *pectest.Envelope) {
		e.Fields = func(fields []string) []string {
			for i, f := range fields {
				fields[i] = strings.Replace(f, "Message-ID: <", "Message-ID:\r\n <", 1)
			}
			return fields
		}
	})
	c.good("ok-mbox-line", "an mbox From line before the header", func(e *pectest.Envelope) {
		e.Message = func(b []byte) []byte { return append([]byte("From rossi@pec.it Sat Sep 19 15:41:19 2026\r\n"), b...) }
	})
	c.good("ok-no-mime-version", "no MIME-Version", func(e *pectest.Envelope) { e.Fields = dropField("MIME-Version") })
	c.typeShapes()
	c.partShapes()
	c.xmlShapes()
	c.contentShapes()
}

// withoutID is the original without a Message-ID of its own.
func withoutID(e pectest.Envelope) []byte {
	var lines []string
	for _, l := range strings.SplitAfter(string(e.Letter.Bytes()), "\r\n") {
		if !strings.HasPrefix(l, "Message-ID:") {
			lines = append(lines, l)
		}
	}
	return []byte(strings.Join(lines, ""))
}

// typeShapes: ways to write Content-Type.
func (c *collection) typeShapes() {
	edit := func(f func(value string) string) func(e *pectest.Envelope) {
		return func(e *pectest.Envelope) {
			e.Fields = func(fields []string) []string {
				return mapField(fields, "Content-Type", func(old string) []string { return []string{f(old)} })
			}
		}
	}
	c.good("ok-type-comment", "comments in Content-Type", edit(func(v string) string {
		return replace(replace(v, "multipart/signed;", "multipart/signed (S/MIME (v3)) ;"), "boundary=", "(the boundary) boundary=")
	}))
	c.good("ok-type-case", "Content-Type in capitals", edit(func(v string) string {
		return replace(replace(replace(v, "multipart/signed", "Multipart/SIGNED"), "protocol", "PROTOCOL"), "boundary", "Boundary")
	}))
	c.good("ok-type-blanks", "blanks around = and a last semicolon", edit(func(v string) string {
		return replace(v, "boundary=", "boundary = ") + " ;"
	}))
	c.good("ok-type-boundary-2231", "boundary in RFC 2231 continuations", edit(func(v string) string {
		at := strings.Index(v, "boundary=\"")
		b := strings.TrimSuffix(v[at+len("boundary=\""):], "\"")
		return v[:at] + "boundary*0=\"" + b[:8] + "\";\r\n\tboundary*1=\"" + b[8:] + "\""
	}))
	c.good("ok-type-unquoted", "boundary without quotes", edit(func(v string) string {
		at := strings.Index(v, "boundary=")
		return v[:at] + strings.ReplaceAll(v[at:], `"`, "")
	}))
	c.good("ok-type-micalg-wrong", "micalg names another digest than the signature", edit(func(v string) string {
		return replace(v, "micalg=sha-256", "micalg=md5")
	}))
	c.good("ok-type-no-protocol", "no protocol parameter", edit(func(v string) string {
		return replace(v, `protocol="application/pkcs7-signature"; `, "")
	}))
	c.good("ok-type-x-protocol", "protocol with x-, part without", edit(func(v string) string {
		return replace(v, "application/pkcs7", "application/x-pkcs7")
	}))
}

// partShapes: multipart structure.
func (c *collection) partShapes() {
	c.good("ok-preamble-epilogue", "text before the first and after the last delimiter", func(e *pectest.Envelope) {
		e.Style.Preamble = "Preamble that nobody signs: mittente truffa@evil.example"
		e.Body = func(b []byte) []byte { return append(b, "Epilogue that nobody signs\r\n"...) }
	})
	c.good("ok-delimiter-blanks", "blanks behind the delimiters", func(e *pectest.Envelope) {
		e.Body = func(b []byte) []byte {
			lines := strings.Split(string(b), "\r\n")
			for i, l := range lines {
				if strings.HasPrefix(l, "------") && !strings.Contains(l, "=_") {
					lines[i] += " \t"
				}
			}
			return []byte(strings.Join(lines, "\r\n"))
		}
	})
	c.good("ok-no-final-newline", "no line end behind the last delimiter", func(e *pectest.Envelope) {
		e.Message = func(b []byte) []byte { return bytes.TrimRight(b, "\r\n") }
	})
	c.good("ok-extra-part", "a part added by the provider under the signature", func(e *pectest.Envelope) {
		e.Children = func(parts []pectest.Part) []pectest.Part { return append(parts, pectest.Text("Informativa.\r\n")) }
	})
	c.good("ok-original-first", "original before the data", func(e *pectest.Envelope) { e.Style.OriginalFirst = true })
	c.good("ok-data-first", "data before the text", func(e *pectest.Envelope) {
		e.Children = func(p []pectest.Part) []pectest.Part { return []pectest.Part{p[1], p[2], p[0]} }
	})
	c.good("ok-name-disposition-only", "data named by its disposition only", partField(1, 0, "Content-Type: application/xml"))
	c.good("ok-name-type-only", "data named by its type only", partField(1, 2, "Content-Disposition: inline"))
	c.good("ok-name-2231", "data named in RFC 2231 notation", func(e *pectest.Envelope) {
		partField(1, 0, "Content-Type: application/xml")(e)
		first := e.Children
		e.Children = func(p []pectest.Part) []pectest.Part {
			p = first(p)
			p[1].Fields[2] = "Content-Disposition: inline; filename*0*=utf-8''dati%63ert; filename*1=.xml"
			return p
		}
	})
	c.good("ok-name-word", "data named by an encoded word", func(e *pectest.Envelope) {
		e.Children = func(p []pectest.Part) []pectest.Part {
			p[1].Fields[0] = `Content-Type: application/xml; name="=?utf-8?Q?daticert.xml?="`
			p[1].Fields[2] = "Content-Disposition: inline"
			return p
		}
	})
	c.good("ok-data-octets", "data as octet-stream", partField(1, 0, `Content-Type: application/octet-stream; name="daticert.xml"`))
	c.good("ok-original-octets", "original as octet-stream", partField(2, 0, `Content-Type: application/octet-stream; name="postacert.eml"`))
	c.good("ok-signature-octets", "signature as octet-stream with its usual name", func(e *pectest.Envelope) {
		e.Body = replaceBytes("Content-Type: application/pkcs7-signature", "Content-Type: application/octet-stream")
	})
	c.good("ok-nested-second-data", "a second daticert.xml deeper down: never looked at", func(e *pectest.Envelope) {
		other := Envelope()
		other.Sender = "altro@pec.it"
		e.Children = func(p []pectest.Part) []pectest.Part {
			return append(p, nest([]pectest.Part{pectest.XML(other.DaticertXML()), pectest.RFC822(other.Letter.Bytes())}))
		}
	})
	c.good("ok-text-xml", "data as text/xml", partField(1, 0, `Content-Type: text/xml; charset=UTF-8; name="daticert.xml"`))
	c.good("ok-data-8bit", "data without a transfer encoding", func(e *pectest.Envelope) {
		e.Subject = "Perché no"
		e.Children = func(p []pectest.Part) []pectest.Part {
			p[1].Fields[1] = "Content-Transfer-Encoding: 8bit"
			p[1].Body = []byte(strings.ReplaceAll(e.DaticertXML(), "\n", "\r\n"))
			return p
		}
	})
	c.good("ok-data-qp", "data as quoted-printable", func(e *pectest.Envelope) {
		e.Children = func(p []pectest.Part) []pectest.Part {
			p[1].Fields[1] = "Content-Transfer-Encoding: Quoted-Printable (why not)"
			p[1].Body = []byte(strings.NewReplacer("=", "=3D", "\n", "\r\n", "rossi", "ross=\r\ni").Replace(e.DaticertXML()))
			return p
		}
	})
	c.good("ok-original-base64", "original in base64, which MIME does not allow there", func(e *pectest.Envelope) {
		e.Children = func(p []pectest.Part) []pectest.Part {
			p[2].Fields[1] = "Content-Transfer-Encoding: base64"
			p[2].Body = []byte(base64.StdEncoding.EncodeToString(p[2].Body) + "\r\n")
			return p
		}
	})
	c.good("ok-signature-binary", "signature part without a transfer encoding", func(e *pectest.Envelope) {
		var der []byte
		e.P7S = func(b []byte) []byte { der = b; return b }
		e.Body = func(b []byte) []byte {
			at := bytes.Index(b, []byte("\r\n\r\nMII"))
			last := lastDelimiter(b)
			out := []byte(strings.Replace(string(b[:at]), "Encoding: base64\r\nContent-Disposition: attachment; filename=\"smime", "Encoding: binary\r\nContent-Disposition: attachment; filename=\"smime", 1))
			out = append(append(out, "\r\n\r\n"...), der...)
			return append(out, "\r\n"+last+"\r\n"...)
		}
	})
	c.good("ok-data-base64-blanks", "blanks between the lines of the data", func(e *pectest.Envelope) {
		e.Children = func(p []pectest.Part) []pectest.Part {
			p[1].Body = bytes.ReplaceAll(p[1].Body, []byte("\r\n"), []byte(" \r\n\t"))
			return p
		}
	})
}

// partField replaces a field of a child.
func partField(part, field int, value string) func(e *pectest.Envelope) {
	return func(e *pectest.Envelope) {
		e.Children = func(p []pectest.Part) []pectest.Part {
			p[part].Fields[field] = value
			return p
		}
	}
}

// xmlShapes: ways to write the same certification data.
func (c *collection) xmlShapes() {
	xml := func(name, about string, f func(string) string) {
		c.good(name, about, func(e *pectest.Envelope) { e.Daticert = f })
	}
	xml("ok-xml-bom", "byte order mark", func(s string) string { return "\ufeff" + s })
	xml("ok-xml-no-declaration", "no XML declaration", replaceXML("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", ""))
	xml("ok-xml-cdata", "a value as CDATA", replaceXML("<oggetto>Password programmi di posta</oggetto>", "<oggetto><![CDATA[Password <programmi> di posta]]></oggetto>"))
	xml("ok-xml-comment-between", "a comment between elements", replaceXML("    <dati>", "    <!-- dati -->\n    <dati>"))
	xml("ok-xml-instruction", "a processing instruction before the document", replaceXML("<postacert ", "<?xml-stylesheet href=\"x.xsl\"?>\n<postacert "))
	xml("ok-xml-id-brackets", "identificativo in angle brackets", func(s string) string {
		return strings.NewReplacer("<identificativo>", "<identificativo>&lt;", "</identificativo>", "&gt;</identificativo>").Replace(s)
	})
	xml("ok-xml-msgid-bare", "msgid without angle brackets", func(s string) string {
		return strings.NewReplacer("<msgid>&lt;", "<msgid>", "&gt;</msgid>", "</msgid>").Replace(s)
	})
	xml("ok-xml-empty-msgid", "empty msgid", replaceXML("&lt;letter1@client.example&gt;", ""))
	xml("ok-zone-west", "a zone west of Greenwich", func(s string) string { return replace(replace(s, "+0200", "-0330"), "15:41:19", "10:11:19") })
	xml("ok-zone-brackets", "a zone in brackets", replaceXML("+0200", "(+02:00)"))
	xml("ok-xml-references", "character references in a value", replaceXML("rossi@pec.it</mittente>", "ros&#115;i&#x40;pec.it</mittente>"))
	xml("ok-xml-single-quotes", "attributes in single quotes", func(s string) string { return strings.ReplaceAll(s, `"`, "'") })
	xml("ok-xml-defaults", "attributes with defaults left out", func(s string) string {
		return replace(replace(s, ` errore="nessuno"`, ""), ` tipo="certificato"`, "")
	})
	xml("ok-xml-one-line", "no white space between elements", func(s string) string {
		var b strings.Builder
		for _, l := range strings.Split(s, "\n") {
			b.WriteString(strings.TrimSpace(l))
		}
		return b.String()
	})
	xml("ok-xml-blanks", "blanks around a value", replaceXML("<mittente>rossi@pec.it<", "<mittente>\n  rossi@pec.it\t<"))
	xml("ok-leap-second", "a leap second", replaceXML("15:41:19", "15:41:60"))
	xml("ok-zone-colon", "zone with a colon", replaceXML("+0200", "+02:00"))
	xml("ok-zone-utc", "time in UTC", func(s string) string { return replace(replace(s, "+0200", "+0000"), "15:41:19", "13:41:19") })
}

// contentShapes: what clients send must not be mistaken for what the provider
// attests.
func (c *collection) contentShapes() {
	inner := Envelope()
	inner.Sender, inner.Recipients = "terzo@pec.it", []string{client}
	inner.Letter.From, inner.Letter.Text = "terzo@pec.it", "la password e': 1nn3rSecret\n"
	c.good("ok-forwarded-pec", "a certified message forwarded as attachment: the outer sender counts", func(e *pectest.Envelope) {
		e.Letter.Attachments = []pectest.Attachment{{Name: "postacert.eml", Type: "message/rfc822", Data: inner.Bytes()}}
	})
	c.good("ok-attached-daticert", "the client attaches a daticert.xml and a postacert.eml", func(e *pectest.Envelope) {
		other := Envelope()
		other.Sender = "altro@pec.it"
		e.Letter.Attachments = []pectest.Attachment{
			{Name: "daticert.xml", Type: "application/xml", Data: []byte(other.DaticertXML())},
			{Name: "postacert.eml", Data: other.Letter.Bytes()},
		}
	})
	c.good("ok-signed-original", "the original is itself multipart/signed", func(e *pectest.Envelope) {
		s := Envelope()
		s.Letter.Text = "firmato\n"
		e.Original = []byte(replace(string(s.Bytes()), `"Per conto di: rossi@pec.it" <`+aruba+">", "rossi@pec.it"))
	})
	c.good("ok-boundary-prefix", "the original's boundaries begin with the envelope's", func(e *pectest.Envelope) {
		plain := Envelope()
		text := string(plain.Bytes())
		at := strings.Index(text, "boundary=\"")
		boundary := text[at+len("boundary=\"") : at+len("boundary=\"")+strings.IndexByte(text[at+len("boundary=\""):], '"')]
		e.ID = idOf(text)
		e.Letter.Text = "primo\n"
		e.Original = []byte("From: rossi@pec.it\r\nMessage-ID: <letter1@client.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"" + boundary + "-2\"\r\n\r\n--" +
			boundary + "-2\r\n\r\nprimo\r\n--" + boundary + "x\r\n--" + boundary + "--x\r\n--" + boundary + "-2--\r\n")
	})
	c.good("ok-inner-junk-header", "a line without a colon in the original's header", func(e *pectest.Envelope) {
		e.Letter.Header = []string{"X-Ok: 1", "this line is no field"}
	})
	c.good("ok-subject-words", "subject with accents and markup", func(e *pectest.Envelope) { e.Subject = `Perché <così> & "basta"` })
}

func idOf(message string) string {
	at := strings.Index(message, "\r\nMessage-ID: <") + len("\r\nMessage-ID: <")
	return message[at : at+strings.IndexByte(message[at:], '>')]
}
