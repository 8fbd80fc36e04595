package corpus

import (
	"strings"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
)

// binding: the data under the signature against everything around it.
func (c *collection) binding() {
	bad := func(name, about string, edit func(e *pectest.Envelope)) {
		c.bad(name, about, pec.ReasonDaticertMismatch, edit)
	}
	xml := func(name, about, from, to string) {
		bad(name, about, func(e *pectest.Envelope) { e.Daticert = replaceXML(from, to) })
	}
	xml("bind-tipo", "tipo of a receipt", `tipo="posta-certificata"`, `tipo="avvenuta-consegna"`)
	xml("bind-tipo-unknown", "an unknown tipo", `tipo="posta-certificata"`, `tipo="mancata-consegna"`)
	xml("bind-errore", "errore is altro", `errore="nessuno"`, `errore="altro"`)
	xml("bind-mittente", "mittente is not the author", "<mittente>rossi@", "<mittente>bianchi@")
	xml("bind-mittente-homoglyph", "mittente with a Cyrillic o", "<mittente>rossi@", "<mittente>r\u043essi@")
	xml("bind-mittente-dot", "mittente with a last dot", "rossi@pec.it</mittente>", "rossi@pec.it.</mittente>")
	xml("bind-mittente-two", "mittente is a list", "rossi@pec.it</mittente>", "rossi@pec.it, bianchi@pec.it</mittente>")
	xml("bind-id", "identificativo is not the Message-ID", "<identificativo>", "<identificativo>x")
	xml("bind-msgid", "msgid is not the reference", "&lt;letter1@", "&lt;letter2@")
	xml("bind-recipient", "for somebody else", ">studio@pec.it</dest", ">altro@pec.it</dest")
	xml("bind-recipient-part", "our address as part of another one", ">studio@pec.it</dest", ">studio@pec.it.evil.example</dest")
	xml("bind-recipient-list", "our address in a list", ">studio@pec.it</dest", ">altro@pec.it studio@pec.it</dest")
	bad("bind-replay", "a genuine message with a new Message-ID", func(e *pectest.Envelope) {
		e.Fields = setField("Message-ID", "<opec275.20260919154119.0000000000.1.17@pec.aruba.it>")
	})
	bad("bind-id-case", "the Message-ID in another case", func(e *pectest.Envelope) {
		e.Fields = func(fields []string) []string {
			return mapField(fields, "Message-ID", func(old string) []string { return []string{replace(old, "<opec", "<OPEC")} })
		}
	})
	bad("bind-no-message-id", "no Message-ID", func(e *pectest.Envelope) { e.Fields = dropField("Message-ID") })
	bad("bind-no-reference", "msgid but no reference", func(e *pectest.Envelope) { e.Fields = dropField("X-Riferimento-Message-ID") })
	bad("bind-reference", "the reference is another one", func(e *pectest.Envelope) { e.Fields = setField("X-Riferimento-Message-ID", "<x@y>") })
	bad("bind-future", "certified two hours after reception", func(e *pectest.Envelope) { e.SentAt = ReceivedAt.Add(2 * time.Hour) })
	c.good("bind-clock", "certified half an hour after reception", func(e *pectest.Envelope) { e.SentAt = ReceivedAt.Add(30 * time.Minute) })
	author := func(name, about, from string) {
		bad(name, about, func(e *pectest.Envelope) { e.Letter.From = from })
	}
	author("bind-author", "the author is somebody else", "bianchi@pec.it")
	author("bind-author-display", "mittente in the author's display name only", `"rossi@pec.it" <bianchi@pec.it>`)
	author("bind-author-list", "two authors", "rossi@pec.it, bianchi@pec.it")
	author("bind-author-group", "a group as author", "Rossi: rossi@pec.it;")
	author("bind-author-homoglyph", "the author with a long s", "ro\u017fsi@pec.it")
	author("bind-author-empty", "an empty From", " ")
	bad("bind-author-twice", "two From in the original", func(e *pectest.Envelope) { e.Letter.Header = []string{"From: bianchi@pec.it"} })
	bad("bind-author-none", "no From in the original", func(e *pectest.Envelope) {
		e.Original = []byte(strings.Replace(string(letterOf(*e)), "From: ", "X-From: ", 1))
	})
	bad("bind-original-empty", "an empty original", func(e *pectest.Envelope) {
		e.Children = func(p []pectest.Part) []pectest.Part { p[2].Body = nil; return p }
	})
}

func letterOf(e pectest.Envelope) []byte {
	l := e.Letter
	l.To, l.Subject, l.Date = Studio, e.Subject, e.SentAt
	return l.Bytes()
}

// disguises: signed by a genuine provider, but not a certified message.
func (c *collection) disguises() {
	fake := Envelope()
	anomaly := func() pectest.Envelope {
		e := Envelope()
		e.Kind, e.Sender = pec.KindAnomaly, "evil@example.com"
		e.Original = fake.Bytes()
		return e
	}
	e := anomaly()
	c.add("anomaly-fake-inside", "an anomaly around a perfect fake", pec.KindAnomaly, pec.ReasonAnomaly, e.Bytes())
	e = anomaly()
	e.Fields = func(f []string) []string {
		f = setField("X-Trasporto", "posta-certificata")(f)
		return setField("Subject", "POSTA CERTIFICATA: Password")(f)
	}
	c.add("anomaly-relabelled", "an anomaly around a perfect fake, its headers changed to an envelope's", pec.KindEnvelope, pec.ReasonDaticertMissing, e.Bytes())
	e = anomaly()
	e.Original = []byte("From: rossi@pec.it\r\nTo: studio@pec.it\r\nContent-Type: application/xml; name=daticert.xml\r\n\r\n" + fake.DaticertXML())
	e.Fields = setField("X-Trasporto", "posta-certificata")
	c.add("anomaly-data-as-mail", "an anomaly around a mail that is a daticert.xml", pec.KindEnvelope, pec.ReasonDaticertMissing, e.Bytes())

	receipt := Envelope()
	toClient(pec.KindDelivery)(&receipt)
	receipt.Delivery = client
	receipt.Letter.From = Studio
	receipt.Fields = func(f []string) []string {
		f = dropField("X-Ricevuta")(f)
		return append(f, "X-Trasporto: posta-certificata")
	}
	receipt.OwnID = receipt.ID
	c.add("receipt-relabelled", "a full delivery receipt, which quotes our own mail, relabelled as an envelope", pec.KindEnvelope, pec.ReasonDaticertMismatch, receipt.Bytes())
	e = Envelope()
	e.Fields = func(f []string) []string {
		return append(dropField("X-Trasporto")(f), "X-Ricevuta: accettazione")
	}
	c.add("envelope-as-receipt", "an envelope relabelled as a receipt", pec.KindAcceptance, pec.ReasonReceipt, e.Bytes())
	e = Envelope()
	e.Fields = setField("X-Trasporto", "errore")
	c.add("envelope-as-anomaly", "an envelope relabelled as an anomaly", pec.KindAnomaly, pec.ReasonAnomaly, e.Bytes())
	e = Envelope()
	toClient(pec.KindAcceptance)(&e)
	e.Fields = setField("X-Ricevuta", "ricevuta-nuova")
	c.add("receipt-unknown", "a receipt with an unknown X-Ricevuta", pec.KindAcceptance, pec.ReasonReceipt, e.Bytes())
	e = Envelope()
	toClient(pec.KindAcceptance)(&e)
	e.Provider = pectest.NewAuthority("forger").Provider(aruba, "x")
	c.add("receipt-forged", "a receipt signed by nobody known", pec.KindAcceptance, pec.ReasonUntrustedSigner, e.Bytes())
	e = anomaly()
	e.Provider = pectest.NewAuthority("forger").Provider(aruba, "x")
	c.add("anomaly-forged", "an anomaly signed by nobody known", pec.KindAnomaly, pec.ReasonUntrustedSigner, e.Bytes())
	e = anomaly()
	e.Provider = authority().Issue(pectest.LeafOptions{Address: aruba, Name: "x", NotAfter: ReceivedAt.Add(-time.Hour)})
	c.add("anomaly-expired", "an anomaly whose signer had expired at reception", pec.KindAnomaly, pec.ReasonSignerNotValid, e.Bytes())
	e = Envelope()
	toClient(pec.KindAcceptance)(&e)
	e.Children = func(p []pectest.Part) []pectest.Part { return p[:1] }
	c.add("receipt-no-data", "a receipt without data", pec.KindAcceptance, pec.ReasonReceipt, e.Bytes())
}
