package corpus

import (
	"bytes"
	"strings"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
)

// headers: fields that occur twice, and the ways to hide that.
func (c *collection) headers() {
	fields := func(name, about string, f func([]string) []string) {
		c.bad(name, about, pec.ReasonMalformed, func(e *pectest.Envelope) { e.Fields = f })
	}
	for _, d := range []struct{ name, field, value string }{
		{"from", "From", "evil@example.com"},
		{"message-id", "Message-ID", "<other@pec.aruba.it>"},
		{"x-trasporto", "X-Trasporto", "errore"},
		{"reference", "X-Riferimento-Message-ID", "<other@client.example>"},
		{"content-type", "Content-Type", "text/plain"},
		{"mime-version", "MIME-Version", "1.0"},
	} {
		fields("twice-"+d.name, "a second "+d.field, twiceField(d.field, d.value, false))
		if d.name == "x-trasporto" { // the first one says what the message claims to be
			continue
		}
		fields("twice-"+d.name+"-first", "another "+d.field+" before it", twiceField(d.field, d.value, true))
	}
	fields("twice-encoding", "two transfer encodings", func(f []string) []string {
		return append(f, "Content-Transfer-Encoding: 7bit", "Content-Transfer-Encoding: base64")
	})
	fields("twice-case", "a second From in another case", addField("FROM: evil@example.com"))
	fields("twice-blank", "a second From with a blank before the colon", addField("From : evil@example.com"))
	fields("twice-folded", "a second From with a folded value", addField("From:\r\n evil@example.com"))
	fields("both-kinds", "X-Trasporto and X-Ricevuta", addField("X-Ricevuta: accettazione"))
	fields("header-nul", "a NUL in a field", addField("X-Note: a\x00b"))
	fields("header-cr", "a CR that ends no line", addField("X-Note: a\rFrom: evil@example.com"))
	fields("header-junk", "a line without a colon", addField("this is no field"))
	fields("header-8bit-name", "a field name with 8-bit letters", addField("Fr\xc3\xb2m: evil@example.com"))
	flood := Envelope()
	flood.Fields = func(f []string) []string {
		return append(strings.Split(strings.TrimSuffix(strings.Repeat("X:\n", 20000), "\n"), "\n"), f...)
	}
	c.add("header-flood", "20,000 fields", pec.KindOrdinary, pec.ReasonMalformed, flood.Bytes())
	cr := Envelope()
	cr.Message = func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\r")) }
	c.add("mime-cr-only", "CR instead of CRLF", pec.KindOrdinary, pec.ReasonMalformed, cr.Bytes())
	c.bad("header-continuation-first", "a continuation line before the first field", pec.ReasonMalformed, func(e *pectest.Envelope) {
		e.Message = func(b []byte) []byte { return append([]byte(" x\r\n"), b...) }
	})
	c.bad("header-split", "an empty line in the middle of the header", pec.ReasonUnsigned, func(e *pectest.Envelope) {
		e.Fields = func(f []string) []string {
			return mapField(f, "MIME-Version", func(old string) []string { return []string{"", old} })
		}
	})
}

// certificationData: what daticert.xml may not be.
func (c *collection) certificationData() {
	xml := func(name, about string, f func(string) string) {
		c.bad(name, about, pec.ReasonMalformed, func(e *pectest.Envelope) { e.Daticert = f })
	}
	const head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	xml("xml-broken", "an end tag missing", replaceXML("</dati>", ""))
	xml("xml-dtd", "a DTD", replaceXML(head, head+"<!DOCTYPE postacert [<!ENTITY m \"rossi@pec.it\">]>\n"))
	xml("xml-entity", "an entity from a DTD in a value", func(s string) string {
		s = replace(s, head, head+"<!DOCTYPE postacert [<!ENTITY m \"rossi@pec.it\">]>\n")
		return replace(s, "rossi@pec.it</mittente>", "&m;</mittente>")
	})
	xml("xml-bomb", "entities of entities", func(s string) string {
		dtd := "<!DOCTYPE postacert [<!ENTITY a \"aaaaaaaaaa\">"
		for i := 'b'; i < 'k'; i++ {
			dtd += "<!ENTITY " + string(i) + " \"" + strings.Repeat("&"+string(i-1)+";", 10) + "\">"
		}
		return replace(replace(s, head, head+dtd+"]>\n"), "Password programmi", "&j;")
	})
	xml("xml-external", "an external entity", func(s string) string {
		s = replace(s, head, head+"<!DOCTYPE postacert [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\n")
		return replace(s, "Password programmi", "&x;")
	})
	xml("xml-unknown-entity", "an entity that XML does not have", replaceXML("Password programmi", "&nbsp;programmi"))
	xml("xml-latin1", "another encoding", func(s string) string { return replace(s, "UTF-8", "ISO-8859-1") })
	xml("xml-latin1-bytes", "Latin-1 bytes", replaceXML("Password programmi", "Perch\xe9"))
	xml("xml-utf16", "UTF-16", func(s string) string {
		var b strings.Builder
		b.WriteString("\xfe\xff")
		for _, r := range s {
			b.WriteString("\x00" + string(r))
		}
		return b.String()
	})
	xml("xml-nul", "a NUL", replaceXML("rossi@pec.it</mittente>", "rossi@pec.it\x00</mittente>"))
	xml("xml-nul-reference", "a reference to NUL", replaceXML("rossi@pec.it</mittente>", "rossi@pec.it&#0;</mittente>"))
	xml("xml-comment-in-value", "a comment inside a value", replaceXML("rossi@pec.it</mittente>", "rossi@pec.it<!-- .evil.example --></mittente>"))
	xml("xml-pi-in-value", "a processing instruction inside a value", replaceXML("rossi@pec.it</mittente>", "rossi@<?x y?>pec.it</mittente>"))
	xml("xml-pi-target", "a processing instruction without a name", replaceXML("<postacert ", "<?75.x y?><postacert "))
	xml("xml-comment-dashes", "a comment with two dashes inside", replaceXML("<postacert ", "<!-- a -- b --><postacert "))
	xml("xml-late-declaration", "a declaration behind a line end", func(s string) string { return "\n" + s })
	xml("xml-namespace", "a default namespace", replaceXML("<postacert ", "<postacert xmlns=\"urn:x\" "))
	xml("xml-prefix", "elements with a prefix", func(s string) string {
		return strings.NewReplacer("<postacert ", "<p:postacert xmlns:p=\"urn:x\" ", "</postacert>", "</p:postacert>").Replace(s)
	})
	xml("xml-element-in-value", "an element inside a value", replaceXML("rossi@pec.it</mittente>", "rossi<b/>@pec.it</mittente>"))
	xml("xml-second-root", "a second document behind the first", func(s string) string { return s + s })
	xml("xml-two-senders", "two mittente", replaceXML("<mittente>", "<mittente>evil@example.com</mittente><mittente>"))
	xml("xml-no-sender", "no mittente", replaceXML("<mittente>rossi@pec.it</mittente>", ""))
	xml("xml-no-recipient", "no destinatari", replaceXML(`<destinatari tipo="certificato">studio@pec.it</destinatari>`, ""))
	xml("xml-no-risposte", "no risposte", replaceXML("<risposte>rossi@pec.it</risposte>", ""))
	xml("xml-two-subjects", "two oggetto", replaceXML("<oggetto>", "<oggetto>x</oggetto><oggetto>"))
	xml("xml-two-ids", "two identificativo", replaceXML("<identificativo>", "<identificativo>x@y</identificativo><identificativo>"))
	xml("xml-two-dates", "two data", replaceXML("<data zona", `<data zona="+0100"><giorno>01/01/2020</giorno><ora>00:00:00</ora></data><data zona`))
	xml("xml-two-heads", "two intestazione", func(s string) string {
		at, end := strings.Index(s, "<intestazione>"), strings.Index(s, "</intestazione>")+len("</intestazione>")
		return s[:end] + s[at:end] + s[end:]
	})
	xml("xml-unknown-element", "an element that the DTD does not have", replaceXML("<oggetto>", "<nota>x</nota><oggetto>"))
	xml("xml-unknown-attribute", "an attribute that the DTD does not have", replaceXML("<mittente>", `<mittente tipo="certificato">`))
	xml("xml-attribute-twice", "an attribute twice", replaceXML(`tipo="posta-certificata"`, `tipo="posta-certificata" tipo="accettazione"`))
	xml("xml-recipient-type", "an unknown type of recipient", replaceXML(`tipo="certificato"`, `tipo="interno"`))
	xml("xml-error-type", "an unknown errore", replaceXML(`errore="nessuno"`, `errore="boh"`))
	xml("xml-date", "a day that does not exist", replaceXML("19/09/2026", "31/09/2026"))
	xml("xml-date-order", "the month first", replaceXML("19/09/2026", "09/19/2026"))
	xml("xml-zone", "a zone by name", replaceXML("+0200", "CEST"))
	xml("xml-zone-far", "a zone of 99 hours", replaceXML("+0200", "+9900"))
	xml("xml-zone-letters", "letters in a zone", replaceXML("+0200", "+O2OO"))
	xml("xml-time-short", "a time without seconds", replaceXML("15:41:19", "15:41"))
	xml("xml-root", "another root element", func(s string) string { return strings.ReplaceAll(s, "postacert", "datacert") })
	xml("xml-empty-sender", "an empty mittente", replaceXML("<mittente>rossi@pec.it<", "<mittente><"))
	xml("xml-comment-only-value", "a comment for a value", replaceXML("<risposte>rossi@pec.it<", "<risposte><!-- rossi@pec.it --><"))
	xml("xml-ricevuta-text", "text in ricevuta", replaceXML(`<ricevuta tipo="completa"/>`, `<ricevuta tipo="completa">x</ricevuta>`))
	xml("xml-ricevuta-type", "an unknown type of receipt", replaceXML(`<ricevuta tipo="completa"/>`, `<ricevuta tipo="lunga"/>`))
	xml("xml-text-between", "text between elements", replaceXML("<dati>", "x<dati>"))
	xml("xml-attribute-unquoted", "an attribute without quotes", replaceXML(`zona="+0200"`, `zona=+0200`))
	xml("xml-noncharacter", "a noncharacter", replaceXML("Password programmi", "Password\uffff programmi"))
	xml("xml-version", "XML 1.1", replaceXML(`version="1.0"`, `version="1.1"`))
	xml("xml-cdata-open", "CDATA without an end", replaceXML("<oggetto>", "<oggetto><![CDATA["))
	xml("xml-zone-missing", "no zone", replaceXML(` zona="+0200"`, ""))
	xml("xml-empty-document", "nothing", func(string) string { return "" })
	xml("xml-deep", "elements 1,000 deep", replaceXML("rossi@pec.it</mittente>", strings.Repeat("<a>", 1000)+strings.Repeat("</a>", 1000)+"</mittente>"))
}
