// Package pec judges messages of Posta Elettronica Certificata, the Italian
// certified mail of RFC 6109: bytes in, a verified Message or the reason why
// not out. It knows no network, disk or clock.
//
// A message is certified only if a PEC provider's detached S/MIME signature
// verifies over the exact bytes received, the signer's chain ends in an anchor
// made for PEC, the signer is the one in From, and the certification data
// under that signature agrees with the message around it. Everything else that
// a message says of itself is outside of the signature and is never believed.
// Refused are also: opaque and encrypted S/MIME, MD5, RSA-PSS, several
// signers, ETSI REM messages, and whatever different programs would read
// differently.
package pec

import "time"

// Kind is what a message is, in the words of RFC 6109.
type Kind string

// Wire words of X-Trasporto, X-Ricevuta and daticert.xml, and three kinds that
// are none. RFC 6109 §3.
const (
	KindEnvelope      Kind = "posta-certificata"         // transport envelope, to the recipient
	KindAnomaly       Kind = "anomalia"                  // X-Trasporto: errore, around ordinary mail
	KindAcceptance    Kind = "accettazione"              // the sender's provider took the message
	KindNonAcceptance Kind = "non-accettazione"          // it did not
	KindTakenInCharge Kind = "presa-in-carico"           // between providers
	KindDelivery      Kind = "avvenuta-consegna"         // in the recipient's mailbox
	KindDeliveryError Kind = "errore-consegna"           // not delivered
	KindDeliveryDelay Kind = "preavviso-errore-consegna" // not delivered for 12 or 24 hours
	KindVirus         Kind = "rilevazione-virus"         // between providers
	KindREM           Kind = "rem"                       // ETSI EN 319 532, PEC's successor
	KindOrdinary      Kind = "ordinary"                  // everything else
)

var receiptKinds = []Kind{
	KindAcceptance, KindNonAcceptance, KindTakenInCharge, KindDelivery,
	KindDeliveryError, KindDeliveryDelay, KindVirus,
}

// IsReceipt tells whether providers send this kind about a message.
func (k Kind) IsReceipt() bool {
	for _, r := range receiptKinds {
		if k == r {
			return true
		}
	}
	return false
}

// DefaultMaxBytes is the size limit where Options names none.
const DefaultMaxBytes = 25 << 20

// Options of Judge.
type Options struct {
	Trust      *Trust    // nil trusts nobody
	Recipients []string  // the studio's addresses, one of which must be a recipient; empty: not asked
	ReceivedAt time.Time // when the message came in; zero: not known, not asked
	MaxBytes   int64     // 0: DefaultMaxBytes
	// Share lets Message.Original be a part of the raw message, which the caller
	// then must not change as long as it is used: a large one is in memory once.
	Share bool
}

// Judgement is the verdict on one message.
type Judgement struct {
	Kind    Kind     // what the message claims to be
	Reason  Reason   // "" only if certified
	Err     error    // nil only if certified; wraps the sentinel of Reason, safe to print
	Weak    []string // WeakSHA1
	Message *Message // only if certified
	// Receipt is there only if Reason is ReasonReceipt and its data can be read.
	// A provider attests it, but it may be about anybody's message, and clients
	// choose their own MsgID: whoever looks for receipts of his own messages must
	// compare Sender with his own address, too.
	Receipt *Message
	Claimed Claimed // unsigned: to be shown, never believed
}

// WeakSHA1 in Judgement.Weak: the signature is over a SHA-1 digest.
const WeakSHA1 = "sha1-digest"

// Certified tells whether Message is there and may be believed.
func (j *Judgement) Certified() bool { return j.Reason == "" && j.Message != nil }

// Claimed is what the unsigned header says.
type Claimed struct {
	ID      string // Message-ID without <>
	MsgID   string // X-Riferimento-Message-ID as <…>
	Sender  string // the address after "Per conto di:", else that of From
	From    string // decoded
	Subject string // decoded
}

// Message is what a provider attests, read from under its signature only.
type Message struct {
	Kind       Kind
	ID         string // identificativo, without <>
	MsgID      string // the client's own message id, as <…>; "" when not given
	Sender     string // mittente, as written
	Mailbox    string // Sender in lower case if it has the form of a client's mailbox, else ""
	Recipients []Recipient
	ReplyTo    string    // risposte
	Subject    string    // oggetto
	SentAt     time.Time // the certified time, UTC
	Zone       string    // its zone as written
	Provider   string    // gestore-emittente

	ReceiptType   string   // completa, breve, sintetica or ""
	Delivery      string   // consegna: whom a receipt is about
	TakenInCharge []string // ricezione
	ExtendedError string   // errore-esteso
	ErrorType     string   // errore: nessuno, no-dest, no-dominio, virus, altro

	Signer Signer
	// Original is postacert.eml, decoded, line ends as signed; nil in receipts
	// without it.
	Original []byte
}

// Recipient is one of destinatari.
type Recipient struct {
	Address string
	Type    string // certificato or esterno
}

// Signer is the provider's certificate.
type Signer struct {
	Address  string // rfc822Name, lower case; equal to the envelope's From
	SPKI     string // SHA-256 of the public key, hex
	Subject  string
	NotAfter time.Time
}
