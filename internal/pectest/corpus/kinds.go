package corpus

import (
	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
)

// kinds: every kind of message in the style of several providers.
func (c *collection) kinds() {
	styles := []struct {
		style    pectest.Style
		provider string
		name     string
	}{
		{pectest.Aruba2014, aruba, "ARUBA PEC S.p.A."},
		{pectest.Aruba2026, aruba, "ARUBA PEC S.p.A."},
		{pectest.Namirial, "posta-certificata@sicurezzapostale.it", "Namirial S.p.A."},
		{pectest.Sogei, "posta-certificata@pcert.sogei.it", "Sogei S.p.A."},
		{pectest.Poste, "posta-certificata@postecert.it", "Poste Italiane S.p.A."},
		{pectest.LFStyle, "posta-certificata@legalmail.it", "InfoCert S.p.A."},
	}
	for _, s := range styles {
		provider := authority().Provider(s.provider, s.name)
		for _, k := range envelopeKinds {
			e := Envelope()
			k.edit(&e)
			e.Provider, e.Style = provider, s.style
			c.add("kind-"+k.name+"-"+s.style.Name, k.about+", in the style of "+s.style.Name, k.kind, k.reason, e.Bytes())
		}
	}
	c.rem()
}

var envelopeKinds = []struct {
	name, about string
	kind        pec.Kind
	reason      pec.Reason
	edit        func(e *pectest.Envelope)
}{
	{"busta", "transport envelope", pec.KindEnvelope, "", func(e *pectest.Envelope) {}},
	{"anomalia", "anomaly envelope around ordinary mail", pec.KindAnomaly, pec.ReasonAnomaly, func(e *pectest.Envelope) {
		e.Kind = pec.KindAnomaly
		e.Sender = "mario@example.com"
		e.Letter.From = "mario@example.com"
	}},
	{"accettazione", "acceptance receipt", pec.KindAcceptance, pec.ReasonReceipt, toClient(pec.KindAcceptance)},
	{"non-accettazione", "non-acceptance", pec.KindNonAcceptance, pec.ReasonReceipt, func(e *pectest.Envelope) {
		toClient(pec.KindNonAcceptance)(e)
		e.ErrorType, e.ExtendedError = "altro", "5.1.1 - indirizzo non valido"
	}},
	{"non-accettazione-virus", "non-acceptance because of a virus", pec.KindNonAcceptance, pec.ReasonReceipt, func(e *pectest.Envelope) {
		toClient(pec.KindNonAcceptance)(e)
		e.ErrorType = "virus"
	}},
	{"presa-in-carico", "taken in charge, between providers", pec.KindTakenInCharge, pec.ReasonReceipt, toClient(pec.KindTakenInCharge)},
	{"consegna-completa", "delivery receipt with the whole original", pec.KindDelivery, pec.ReasonReceipt, func(e *pectest.Envelope) {
		toClient(pec.KindDelivery)(e)
		e.Delivery = client
	}},
	{"consegna-sintetica", "delivery receipt without the original", pec.KindDelivery, pec.ReasonReceipt, func(e *pectest.Envelope) {
		toClient(pec.KindDelivery)(e)
		e.Delivery, e.ReceiptType = client, "sintetica"
	}},
	{"errore-consegna", "non-delivery", pec.KindDeliveryError, pec.ReasonReceipt, func(e *pectest.Envelope) {
		toClient(pec.KindDeliveryError)(e)
		e.Delivery, e.ErrorType, e.ExtendedError = client, "no-dest", "5.1.1 - casella inesistente"
	}},
	{"preavviso", "first notice of non-delivery", pec.KindDeliveryDelay, pec.ReasonReceipt, func(e *pectest.Envelope) {
		toClient(pec.KindDeliveryDelay)(e)
		e.Delivery, e.ErrorType = client, "altro"
	}},
	{"rilevazione-virus", "virus found, between providers", pec.KindVirus, pec.ReasonReceipt, func(e *pectest.Envelope) {
		toClient(pec.KindVirus)(e)
		e.ErrorType = "virus"
	}},
}

// toClient makes a receipt about a message that the studio sent.
func toClient(kind pec.Kind) func(e *pectest.Envelope) {
	return func(e *pectest.Envelope) {
		e.Kind = kind
		e.Sender, e.Recipients = Studio, []string{client}
		e.Subject = "Password acquisita"
		e.Letter = pectest.Letter{From: Studio, Text: "Grazie.\n", MessageID: "<reply1@studio.example>"}
	}
}

// rem: messages of PEC's European successor are recognised and left alone.
func (c *collection) rem() {
	asREM := func(fields []string) []string {
		fields = dropField("X-Trasporto")(fields)
		return append([]string{"REM-MessageType: REMDispatch", "REM-UAMessageIdentifier: <x@example>"}, fields...)
	}
	e := Envelope()
	e.Fields = asREM
	c.add("rem-dispatch", "REM dispatch, known by its header", pec.KindREM, pec.ReasonNotPEC, e.Bytes())
	e = Envelope()
	e.Fields = dropField("X-Trasporto")
	e.Children = func(parts []pectest.Part) []pectest.Part {
		parts[1].Fields[0] = `Content-Type: application/xml; name="ContentConsignment.xml"`
		parts[1].Fields[2] = `Content-Disposition: inline; filename="ContentConsignment.xml"`
		parts[2].Fields = append(parts[2].Fields, "REM-Section-Type: rem_message/original")
		return parts
	}
	c.add("rem-parts", "REM dispatch, known by the marks of its parts", pec.KindREM, pec.ReasonNotPEC, e.Bytes())
	e = Envelope()
	e.Kind = pec.KindAcceptance
	e.Fields = addField("X-REM-Subject: REM SubmissionAcceptance: x")
	c.add("receipt-with-rem-subject", "PEC receipt with Aruba's X-REM-Subject", pec.KindAcceptance, pec.ReasonReceipt, e.Bytes())
}
