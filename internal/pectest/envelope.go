package pectest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // certified times are local

	"pec-ingest/internal/pec"
)

// Envelope is a busta di trasporto, or with another Kind a receipt or an
// anomaly. Provider, Sender, Recipients and SentAt must be set; all else has a
// good default. Faults are edits at the point where they would happen.
type Envelope struct {
	Provider   *Provider
	Kind       pec.Kind // "": transport envelope
	Sender     string
	Recipients []string
	External   []string // recipients with ordinary mail
	ReplyTo    string   // "": Sender
	Subject    string
	SentAt     time.Time
	ID         string // identificativo, without <>
	OwnID      string // Message-ID of a receipt, without <>; "": made from ID
	MsgID      string // the client's, with <>; "": that of the original
	NoMsgID    bool
	Letter     Letter // the original message, where Original is nil
	Original   []byte
	Style      Style

	// Receipts.
	ReceiptType   string // completa, breve, sintetica
	Delivery      string // consegna
	ErrorType     string // "": nessuno
	ExtendedError string
	NoOriginal    bool // receipts have none but full and short delivery receipts

	// Edits, in the order in which they are applied. Fields edits the outer
	// header, without the end of lines.
	Daticert func(xml string) string
	Children func(parts []Part) []Part   // of the signed part
	Signed   func(content []byte) []byte // what is signed
	CMS      func(c *CMS)                //
	P7S      func(der []byte) []byte     // the signature
	Sent     func(content []byte) []byte // the signed part, after signing
	Fields   func(fields []string) []string
	Body     func(body []byte) []byte // the body of multipart/signed
	Message  func(message []byte) []byte
}

// Part is an entity: fields without the end of lines, and an encoded body.
type Part struct {
	Fields []string
	Body   []byte
}

func (p Part) bytes() []byte {
	return append([]byte(strings.Join(p.Fields, "\r\n")+"\r\n\r\n"), p.Body...)
}

// Text is a part with readable text.
func Text(text string) Part {
	return Part{
		Fields: []string{`Content-Type: text/plain; charset="iso-8859-1"`, "Content-Transfer-Encoding: 7bit", "Content-Disposition: inline"},
		Body:   []byte(text),
	}
}

// XML is a daticert.xml part.
func XML(xml string) Part {
	return Part{
		Fields: []string{`Content-Type: application/xml; name="daticert.xml"`, "Content-Transfer-Encoding: base64", `Content-Disposition: inline; filename="daticert.xml"`},
		Body:   base64Lines([]byte(xml)),
	}
}

// RFC822 is a postacert.eml part.
func RFC822(message []byte) Part {
	return Part{
		Fields: []string{`Content-Type: message/rfc822; name="postacert.eml"`, "Content-Transfer-Encoding: 7bit", `Content-Disposition: inline; filename="postacert.eml"`},
		Body:   message,
	}
}

var rome = func() *time.Location {
	l, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		panic("pectest: " + err.Error())
	}
	return l
}()

// tag is a short name made from a text, for ids and boundaries.
func tag(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// complete fills in the defaults.
func (e Envelope) complete() Envelope {
	if e.Kind == "" {
		e.Kind = pec.KindEnvelope
	}
	if e.Original == nil {
		l := e.Letter
		if l.From == "" {
			l.From = e.Sender
		}
		if l.To == "" {
			l.To = strings.Join(append(append([]string(nil), e.Recipients...), e.External...), ", ")
		}
		if l.Subject == "" {
			l.Subject = e.Subject
		}
		if l.Date.IsZero() {
			l.Date = e.SentAt.In(rome)
		}
		if e.MsgID != "" && l.MessageID == "" {
			l.MessageID = e.MsgID
		}
		e.Original = l.Bytes()
		if e.Subject == "" {
			e.Subject = l.Subject
		}
	}
	if e.MsgID == "" && !e.NoMsgID {
		if id := pec.MessageID(e.Original); id != "" {
			e.MsgID = "<" + id + ">"
		}
	}
	if e.ID == "" {
		prefix := e.Style.IDPrefix
		if prefix == "" {
			prefix = "opec"
		}
		h := tag(e.Sender, strings.Join(e.Recipients, ","), e.SentAt.String(), string(e.Original))
		e.ID = fmt.Sprintf("%s275.%s.%s.1.17@%s", prefix, e.SentAt.In(rome).Format("20060102150405"), h[:10], domain(e.Provider.Address))
	}
	if e.OwnID == "" {
		e.OwnID = e.ID
		if e.Kind != pec.KindEnvelope {
			e.OwnID = strings.Replace(e.ID, ".1.17@", ".1."+tag(string(e.Kind), e.Delivery)[:2]+".17@", 1)
		}
	}
	if e.ReplyTo == "" {
		e.ReplyTo = e.Sender
	}
	if e.ErrorType == "" {
		e.ErrorType = "nessuno"
	}
	if e.ReceiptType == "" && (e.Kind == pec.KindEnvelope || e.Kind == pec.KindDelivery) {
		e.ReceiptType = "completa"
	}
	return e
}

func domain(addr string) string {
	_, d, _ := strings.Cut(addr, "@")
	return d
}

// Bytes is the whole message.
func (e Envelope) Bytes() []byte {
	e = e.complete()
	content := e.signedPart()
	if e.Signed != nil {
		content = e.Signed(content)
	}
	cms := CMS{
		Signer: e.Provider, Digest: e.Style.Digest, SigningTime: e.SentAt,
		RSAPlain: e.Style.RSAPlain, Indefinite: e.Style.BER, Protection: e.Style.Protection, NoAttributes: e.Style.NoAttrs,
	}
	if e.CMS != nil {
		e.CMS(&cms)
	}
	der := cms.Sign(content)
	if e.P7S != nil {
		der = e.P7S(der)
	}
	if e.Sent != nil {
		content = e.Sent(content)
	}
	return e.wrap(content, der)
}

// wrap puts the signed part and its signature into multipart/signed.
func (e Envelope) wrap(content, der []byte) []byte {
	boundary := "----" + strings.ToUpper(tag(e.ID, string(e.Kind), "signed")+tag(e.OwnID))
	signatureType := e.Style.Protocol
	if signatureType == "" {
		signatureType = "application/pkcs7-signature"
	}
	var body bytes.Buffer
	if e.Style.Preamble != "" {
		body.WriteString(e.Style.Preamble + "\r\n\r\n")
	}
	fmt.Fprintf(&body, "--%s\r\n", boundary)
	body.Write(content)
	fmt.Fprintf(&body, "\r\n--%s\r\nContent-Type: %s; name=%s\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=%s\r\n\r\n",
		boundary, signatureType, e.Style.name("smime.p7s"), e.Style.name("smime.p7s"))
	body.Write(base64Lines(der))
	fmt.Fprintf(&body, "\r\n--%s--\r\n", boundary)
	b := body.Bytes()
	if e.Body != nil {
		b = e.Body(b)
	}
	fields := e.fields(e.Style.signedType(boundary))
	if e.Fields != nil {
		fields = e.Fields(fields)
	}
	message := append([]byte(strings.Join(fields, "\r\n")+"\r\n\r\n"), b...)
	if e.Style.LF {
		message = bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n"))
	}
	if e.Message != nil {
		message = e.Message(message)
	}
	return message
}

// fields is the outer header.
func (e Envelope) fields(contentType string) []string {
	date := e.SentAt.In(rome).Format("Mon, 2 Jan 2006 15:04:05 -0700")
	if e.Style.DateComment {
		date += e.SentAt.In(rome).Format(" (MST)")
	}
	from, returnPath, to := e.Provider.Address, e.Provider.Address, e.Sender
	if e.Kind == pec.KindEnvelope || e.Kind == pec.KindAnomaly {
		from = fmt.Sprintf(`"Per conto di: %s" <%s>`, e.Sender, e.Provider.Address)
		returnPath, to = e.Sender, strings.Join(append(append([]string(nil), e.Recipients...), e.External...), ", ")
	}
	fields := []string{
		"Return-Path: <" + returnPath + ">",
		"Received: from mx." + domain(e.Provider.Address) + " (localhost [127.0.0.1])\r\n\tby mx." + domain(e.Provider.Address) + " (Postfix) with ESMTP id " + tag(e.ID)[:10] + ";\r\n\t" + date,
		"Date: " + date,
		"From: " + from,
		"To: " + to,
		"Subject: " + encodeWord(e.subjectPrefix()+e.Subject),
		"Message-ID: <" + e.OwnID + ">",
	}
	if e.MsgID != "" {
		fields = append(fields, "X-Riferimento-Message-ID: "+e.MsgID)
	}
	switch e.Kind {
	case pec.KindEnvelope:
		name := e.Style.FieldName
		if name == "" {
			name = "X-TipoRicevuta"
		}
		fields = append(fields, "Reply-To: "+e.ReplyTo, "X-Trasporto: posta-certificata", name+": "+e.ReceiptType)
	case pec.KindAnomaly:
		fields = append(fields, "Reply-To: "+e.ReplyTo, "X-Trasporto: errore")
	default:
		fields = append(fields, "X-Ricevuta: "+string(e.Kind))
		if e.ErrorType == "virus" {
			fields = append(fields, "X-VerificaSicurezza: errore")
		}
	}
	return append(fields, "MIME-Version: 1.0", "Content-Type: "+contentType)
}

// subjectPrefix is the prefix that RFC 6109 §3 gives each kind, in Italian.
func (e Envelope) subjectPrefix() string {
	virus := ""
	if e.ErrorType == "virus" {
		virus = " PER VIRUS"
	}
	switch e.Kind {
	case pec.KindEnvelope:
		return "POSTA CERTIFICATA: "
	case pec.KindAnomaly:
		return "ANOMALIA MESSAGGIO: "
	case pec.KindAcceptance:
		return "ACCETTAZIONE: "
	case pec.KindNonAcceptance:
		return "AVVISO DI NON ACCETTAZIONE" + virus + ": "
	case pec.KindTakenInCharge:
		return "PRESA IN CARICO: "
	case pec.KindDelivery:
		return "CONSEGNA: "
	case pec.KindDeliveryError:
		return "AVVISO DI MANCATA CONSEGNA" + virus + ": "
	case pec.KindDeliveryDelay:
		return "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: "
	case pec.KindVirus:
		return "PROBLEMA DI SICUREZZA: "
	}
	return ""
}
