package demo

import (
	"bytes"
	"fmt"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
)

// The cast. Addresses end in ".example": nobody's.
const (
	studio = "studio@pec.studio.example"
	signer = "posta-certificata@pec.gestore.example"

	provider = "gestore-di-prova"
)

// actor is a client of the demo and the password that its provider accepts.
type actor struct {
	mailbox, name, password string
}

var clients = []actor{
	{"rossi@pec.gestore.example", "Mario Rossi", "Xk7pQ2"},
	{"bianchi@pec.gestore.example", "Bianchi Arredamenti S.r.l.", "h7%Kd-29qT"},
	{"verdi@pec.gestore.example", "Anna Verdi", "Rq4w$Zb8"},
	{"neri@pec.gestore.example", "Studio Neri", "mN6tR1vz"},
	{"gallo@pec.gestore.example", "Panificio Gallo", "Pw93kLd2"},
	{"conti@pec.gestore.example", "Elena Conti", "u8Tz3xQm"},
}

// parcel is one message of the demo: what it shows, when it came in.
type parcel struct {
	title string
	raw   []byte
	at    time.Time
}

// parcels makes the messages, signed now.
func parcels(authority *pectest.Authority, now time.Time) []parcel {
	genuine := authority.Provider(signer, "GESTORE DI PROVA S.p.A.")
	date := func(days int) string { return now.AddDate(0, 0, days).Format("02/01/2006") }
	env := func(i, hoursAgo int, subject, text string) pectest.Envelope {
		at := now.Add(-time.Duration(hoursAgo) * time.Hour).Truncate(time.Second)
		from := clients[i].mailbox
		return pectest.Envelope{Provider: genuine, Sender: from, Recipients: []string{studio}, Subject: subject, SentAt: at,
			Letter: pectest.Letter{From: from, To: studio, Subject: subject, Text: text, Date: at}}
	}
	put := func(title string, e pectest.Envelope) parcel {
		return parcel{title, e.Bytes(), e.SentAt.Add(time.Minute)}
	}

	older := env(0, 50, "password pec", "Buongiorno,\r\nla password per programmi di posta: vecch1a9\r\nSaluti\r\nMario Rossi\r\n")
	newer := env(0, 30, "Nuova password per programmi di posta",
		"Buongiorno,\r\n\r\nPassword per programmi di posta: "+clients[0].password+"\r\nScadenza: "+date(88)+"\r\n\r\nCordiali saluti\r\nMario Rossi\r\n")

	html := env(1, 28, "password", "")
	html.Letter.HTML = "<html><body><p>Buongiorno,</p><p>ecco la <b>password per programmi di posta</b>:&nbsp;<code>h7%Kd-29qT</code></p><p>Cordiali saluti</p></body></html>"
	html.Style = pectest.Aruba2026

	sha1 := env(2, 26, "Password per programmi di posta", "Password: Rq4w$Zb8\r\n")
	sha1.Style = pectest.Namirial

	wrong := env(3, 20, "password", "La password per programmi di posta: quellaDelSito1\r\n")

	picture := env(4, 18, "password posta", "Buongiorno, in allegato la foto della password per programmi di posta.\r\n")
	picture.Letter.Attachments = []pectest.Attachment{{Name: "foto.png", Type: "image/png", Data: photo(clients[4].password)}}

	plain := env(5, 16, "Fattura 120", "Buongiorno,\r\nin allegato la fattura del mese.\r\nCordiali saluti\r\n")
	plain.Letter.Attachments = []pectest.Attachment{{Name: "fattura.pdf", Type: "application/pdf", Data: []byte("%PDF-1.7\n")}}

	forged := env(5, 14, "password per programmi di posta", "Password per programmi di posta: Evil1234\r\n")
	forged.Provider = pectest.NewAuthority("impostor").Provider(signer, "GESTORE DI PROVA S.p.A.")

	altered := env(5, 12, "password per programmi di posta", "Password per programmi di posta: u8Tz3xQm\r\n")
	altered.Sent = func(b []byte) []byte { return bytes.Replace(b, []byte("u8Tz3xQm"), []byte("Evil1234"), 1) }

	anomaly := env(5, 10, "password per programmi di posta", "Password per programmi di posta: Evil1234\r\n")
	anomaly.Kind = pec.KindAnomaly

	receipt := env(5, 8, "Promemoria", "")
	receipt.Kind, receipt.Sender, receipt.Recipients = pec.KindAcceptance, studio, []string{clients[5].mailbox}

	ordinary := fmt.Appendf(nil, "From: newsletter@negozio.example\r\nTo: %s\r\nSubject: La tua password scade!\r\nDate: %s\r\nMessage-ID: <1@negozio.example>\r\n\r\nClicca qui.\r\n",
		studio, now.Format(time.RFC1123Z))

	return []parcel{
		put("password and date in a letter", newer),
		put("an older password of the same client, delivered later", older),
		put("HTML only, Aruba's style of 2026", html),
		put("nothing but the password, SHA-1 signature as Namirial's", sha1),
		put("the webmail's password instead of the right one", wrong),
		put("a picture of the password", picture),
		put("certified, but about an invoice", plain),
		put("signed by somebody else's authority", forged),
		put("one word changed under the signature", altered),
		put("ordinary mail in an anomaly envelope", anomaly),
		put("acceptance receipt", receipt),
		{"ordinary mail", ordinary, now.Add(-time.Hour)},
	}
}
