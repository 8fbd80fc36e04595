package pectest

import (
	"bytes"
	"fmt"
	"strings"

	"pec-ingest/internal/pec"
)

// signedPart is the multipart/mixed that the provider signs. RFC 6109 §4.3.
func (e Envelope) signedPart() []byte {
	parts := []Part{e.readable()}
	if e.Kind == pec.KindAnomaly { // RFC 6109 §3.2.2: no certification data
		original := RFC822(e.Original)
		parts = append(parts, original)
	} else {
		xml := e.DaticertXML()
		if e.Daticert != nil {
			xml = e.Daticert(xml)
		}
		data := XML(xml + e.Style.DaticertTail)
		parts = append(parts, data)
		if e.hasOriginal() {
			original := RFC822(e.stamped())
			original.Fields[0] = "Content-Type: message/rfc822; name=" + e.Style.name("postacert.eml")
			original.Fields[2] = "Content-Disposition: inline; filename=" + e.Style.name("postacert.eml")
			parts = append(parts, original)
			if e.Style.OriginalFirst {
				parts[1], parts[2] = parts[2], parts[1]
			}
		}
	}
	if e.Children != nil {
		parts = e.Children(parts)
	}
	boundary := "----------=_" + tag(e.ID, string(e.Kind), "mixed")
	encoding := ""
	if e.Style.BinaryParts {
		encoding = "Content-Transfer-Encoding: binary\r\nMIME-Version: 1.0\r\n"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%sContent-Type: multipart/mixed;\r\n\tboundary=%q\r\n\r\n", encoding, boundary)
	for _, p := range parts {
		fmt.Fprintf(&b, "--%s\r\n", boundary)
		b.Write(p.bytes())
		b.WriteString("\r\n")
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.Bytes()
}

func (e Envelope) hasOriginal() bool {
	if e.NoOriginal {
		return false
	}
	return e.Kind == pec.KindEnvelope || e.Kind == pec.KindDelivery && e.ReceiptType != "sintetica"
}

// stamped is the original as the access point leaves it: with the PEC message
// id, the client's own in X-Riferimento-Message-ID. RFC 6109 §2.2.1.
func (e Envelope) stamped() []byte {
	head, body, ok := bytes.Cut(e.Original, []byte("\r\n\r\n"))
	if !ok {
		return e.Original
	}
	var lines []string
	for _, line := range strings.Split(string(head), "\r\n") {
		if !strings.HasPrefix(strings.ToLower(line), "message-id:") {
			lines = append(lines, line)
		}
	}
	lines = append(lines, "Message-ID: <"+e.ID+">")
	if e.MsgID != "" {
		lines = append(lines, "X-Riferimento-Message-ID: "+e.MsgID)
	}
	return append([]byte(strings.Join(lines, "\r\n")+"\r\n\r\n"), body...)
}

// readable is the part for people. RFC 6109 §4.2.
func (e Envelope) readable() Part {
	local := e.SentAt.In(rome)
	when := fmt.Sprintf("Il giorno %s alle ore %s (%s)", local.Format("02/01/2006"), local.Format("15:04:05"), local.Format("-0700"))
	var text string
	switch e.Kind {
	case pec.KindEnvelope:
		text = fmt.Sprintf("-- Messaggio di posta certificata --\r\n\r\n%s il messaggio\r\ncon oggetto %q e' stato inviato da\r\n%q ed indirizzato a:\r\n%s\r\nIl messaggio originale e' incluso in allegato.\r\nIdentificativo messaggio: %s\r\n",
			when, e.Subject, e.Sender, strings.Join(e.Recipients, "\r\n"), e.ID)
	case pec.KindAnomaly:
		text = fmt.Sprintf("-- Anomalia nel messaggio --\r\n\r\n%s e' stato ricevuto\r\nil messaggio %q proveniente da %q.\r\nTali dati non sono stati certificati per il seguente errore:\r\nil messaggio non e' una busta di posta certificata.\r\n",
			when, e.Subject, e.Sender)
	default:
		text = fmt.Sprintf("-- Ricevuta: %s --\r\n\r\n%s il messaggio %q\r\ninviato da %q.\r\nIdentificativo messaggio: %s\r\n", e.Kind, when, e.Subject, e.Sender, e.ID)
	}
	plain := Text(text)
	if !e.Style.Alternative {
		return plain
	}
	html := Text("<html><body><p>" + strings.ReplaceAll(text, "\r\n", "<br>\r\n") + "</p></body></html>\r\n")
	html.Fields[0] = `Content-Type: text/html; charset="iso-8859-1"`
	boundary := "----------=_" + tag(e.ID, string(e.Kind), "alternative")
	var b bytes.Buffer
	for _, p := range []Part{plain, html} {
		fmt.Fprintf(&b, "--%s\r\n", boundary)
		b.Write(p.bytes())
		b.WriteString("\r\n")
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return Part{Fields: []string{fmt.Sprintf("Content-Type: multipart/alternative; boundary=%q", boundary)}, Body: b.Bytes()}
}

var xmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// DaticertXML is the certification data before any edit. RFC 6109 §4.4.
func (e Envelope) DaticertXML() string {
	e = e.complete()
	local := e.SentAt.In(rome)
	zone := local.Format("-0700")
	if e.Style.ColonZone {
		zone = local.Format("-07:00")
	}
	end := e.Style.XMLSelfClose
	if end == "" {
		end = "/>"
	}
	var b strings.Builder
	line := func(indent int, name, value string) {
		fmt.Fprintf(&b, "%s<%s>%s</%s>\n", strings.Repeat("    ", indent), name, xmlEscaper.Replace(value), strings.Fields(name)[0])
	}
	b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
	fmt.Fprintf(&b, "<postacert tipo=%q errore=%q>\n    <intestazione>\n", e.Kind, e.ErrorType)
	line(2, "mittente", e.Sender)
	for _, r := range e.Recipients {
		line(2, `destinatari tipo="certificato"`, r)
	}
	for _, r := range e.External {
		line(2, `destinatari tipo="esterno"`, r)
	}
	line(2, "risposte", e.ReplyTo)
	line(2, "oggetto", e.Subject)
	b.WriteString("    </intestazione>\n    <dati>\n")
	line(2, "gestore-emittente", e.Provider.Name)
	fmt.Fprintf(&b, "        <data zona=%q>\n", zone)
	line(3, "giorno", local.Format("02/01/2006"))
	line(3, "ora", local.Format("15:04:05"))
	b.WriteString("        </data>\n")
	line(2, "identificativo", e.ID)
	if e.MsgID != "" {
		line(2, "msgid", e.MsgID)
	}
	if e.ReceiptType != "" {
		fmt.Fprintf(&b, "        <ricevuta tipo=%q%s\n", e.ReceiptType, end)
	}
	if e.Delivery != "" {
		line(2, "consegna", e.Delivery)
	}
	if e.Kind == pec.KindTakenInCharge {
		line(2, "ricezione", e.Recipients[0])
	}
	if e.ExtendedError != "" {
		line(2, "errore-esteso", e.ExtendedError)
	}
	b.WriteString("    </dati>\n</postacert>\n")
	return b.String()
}
