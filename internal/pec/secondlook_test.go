package pec_test

import (
	"bytes"
	"crypto"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/pectest/corpus"
)

// Envelopes thought of by somebody who had not seen those of testdata/eml:
// tricks with what stands beside the signed data, with addresses and with
// signatures, and genuine envelopes that look as odd.

// look is one envelope and what it is. Reason "" is certified, for the sender
// of corpus.Envelope and with its subject.
type look struct {
	name   string
	reason pec.Reason
	edit   func(e *pectest.Envelope)
}

const (
	aruba   = "posta-certificata@pec.aruba.it"
	forgers = "posta-certificata@pec.forger.example"
)

// swap replaces a text that must be there.
func swap(t *testing.T, s, from, to string) string {
	t.Helper()
	if !strings.Contains(s, from) {
		t.Fatalf("nothing to replace: %q", from)
	}
	return strings.Replace(s, from, to, 1)
}

// field gives the outer header with one field's value replaced.
func field(t *testing.T, name, value string) func([]string) []string {
	return func(fields []string) []string {
		for i, f := range fields {
			if strings.HasPrefix(f, name+":") {
				fields[i] = name + ": " + value
				return fields
			}
		}
		t.Errorf("no field %s", name)
		return fields
	}
}

func added(field string) func(*pectest.Envelope) {
	return func(e *pectest.Envelope) {
		e.Fields = func(fields []string) []string { return append(fields[:len(fields):len(fields)], field) }
	}
}

// author writes the original by hand, with that header.
func author(head string) func(*pectest.Envelope) {
	return func(e *pectest.Envelope) {
		e.Original = []byte(head + "\r\nMessage-ID: <letter1@client.example>\r\nSubject: Password programmi di posta\r\n\r\nla password e' Kx7mQ2pL9w\r\n")
	}
}

func TestSecondLook(t *testing.T) {
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	outer := func(name, value string) func(*pectest.Envelope) {
		return func(e *pectest.Envelope) { e.Fields = field(t, name, value) }
	}
	data := func(from, to string) func(*pectest.Envelope) {
		return func(e *pectest.Envelope) { e.Daticert = func(s string) string { return swap(t, s, from, to) } }
	}
	body := func(from, to string) func(*pectest.Envelope) {
		return func(e *pectest.Envelope) {
			e.Body = func(b []byte) []byte { return []byte(swap(t, string(b), from, to)) }
		}
	}
	forger := pectest.NewAuthority("second look")
	const (
		malformed = pec.ReasonMalformed
		mismatch  = pec.ReasonDaticertMismatch
	)
	for _, l := range []look{
		// Who wrote it: the original's From against mittente.
		{"author in a group", mismatch, author("From: PEC: rossi@pec.it;")},
		{"author in two words", mismatch, author("From: rossi@pec.it <bianchi@pec.it>")},
		{"author only in the display name", mismatch, author(`From: "rossi@pec.it" <bianchi@pec.it>`)},
		{"author only in a comment", mismatch, author("From: bianchi@pec.it (rossi@pec.it)")},
		{"author encoded", mismatch, author("From: =?utf-8?Q?rossi=40pec.it?=")},
		{"two authors", mismatch, author("From: rossi@pec.it, bianchi@pec.it")},
		{"two angle brackets", mismatch, author("From: <rossi@pec.it> <bianchi@pec.it>")},
		{"From twice, once in capitals", mismatch, author("From: rossi@pec.it\r\nFROM: bianchi@pec.it")},
		{"From twice, once with a blank", mismatch, author("From: rossi@pec.it\r\nFrom : bianchi@pec.it")},
		{"From behind the header", mismatch, author("To: studio@pec.it\r\n\r\nFrom: rossi@pec.it")},
		{"From behind a lone CR", mismatch, author("Subject: x\rFrom: rossi@pec.it")},
		{"From in a continuation", mismatch, author("Subject: x\r\n From: rossi@pec.it")},
		{"only Sender", mismatch, author("Sender: rossi@pec.it")},
		{"only Resent-From", mismatch, author("Resent-From: rossi@pec.it\r\nFrom: bianchi@pec.it")},
		{"author with a long s", mismatch, author("From: ro\u017fsi@pec.it")},
		{"author with a Kelvin sign", mismatch, func(e *pectest.Envelope) {
			e.Sender = "mark@pec.it"
			author("From: mar\u212a@pec.it")(e)
		}},
		{"author in full-width letters", mismatch, author("From: ｒossi@pec.it")},
		{"author with an accent decomposed", mismatch, func(e *pectest.Envelope) {
			e.Sender = "nicol\u00f2@pec.it"
			author("From: nicolo\u0300@pec.it")(e)
		}},
		{"author with quotes", mismatch, author(`From: "rossi"@pec.it`)},
		{"author with a route", mismatch, author("From: <@evil.example:rossi@pec.it>")},
		{"author of another domain behind a comment", mismatch, author("From: rossi@pec.it(x).evil.example")},
		{"empty author", mismatch, author("From: <>")},

		// The certification data.
		{"mittente in brackets", mismatch, data("<mittente>rossi@pec.it", "<mittente>&lt;rossi@pec.it&gt;")},
		{"mittente with a comment of mail", mismatch, data("rossi@pec.it</mittente>", "rossi@pec.it (Rossi)</mittente>")},
		{"mittente twice", malformed, data("</mittente>", "</mittente><mittente>rossi@pec.it</mittente>")},
		{"mittente among the data", malformed, data("<dati>", "<dati><mittente>rossi@pec.it</mittente>")},
		{"mittente cut by a comment", malformed, data("<mittente>rossi@", "<mittente>ro<!-- x -->ssi@")},
		{"mittente cut by an instruction", malformed, data("<mittente>rossi@", "<mittente>ro<?x y?>ssi@")},
		{"mittente with a namespace", malformed, data("<mittente>", `<mittente xmlns="x">`)},
		{"tipo with a blank", mismatch, data(`tipo="posta-certificata"`, `tipo=" posta-certificata"`)},
		{"tipo in capitals", mismatch, data(`tipo="posta-certificata"`, `tipo="Posta-Certificata"`)},
		{"tipo twice", malformed, data(`tipo="posta-certificata"`, `tipo="posta-certificata" tipo="posta-certificata"`)},
		{"second document", malformed, data("</postacert>", "</postacert><postacert/>")},
		{"the end of CDATA in a text", malformed, data("<oggetto>", "<oggetto>]]>")},
		{"a document type", malformed, data("<postacert", "<!DOCTYPE postacert><postacert")},
		{"recipient with a name", mismatch, data(">studio@pec.it</dest", ">\"Studio\" &lt;studio@pec.it&gt;</dest")},
		{"recipient with a homoglyph", mismatch, data(">studio@pec.it</dest", ">studi\u043e@pec.it</dest")},
		{"identifier in two brackets", mismatch, data("<identificativo>", "<identificativo>&lt;&lt;")},
		{"no zone", malformed, data(`<data zona="+0200">`, "<data>")},
		{"day of 31 February", malformed, data("19/09/2026", "31/02/2026")},
		{"an hour and a minute ahead", mismatch, func(e *pectest.Envelope) { e.SentAt = corpus.ReceivedAt.Add(61 * time.Minute) }},

		// The outer header.
		{"X-Trasporto with more", pec.ReasonNotPEC, outer("X-Trasporto", "posta-certificata; x=y")},
		{"X-Trasporto in two words", pec.ReasonNotPEC, outer("X-Trasporto", "posta- certificata")},
		{"second X-Trasporto with a tab", malformed, added("X-Trasporto\t: errore")},
		{"second Message-ID with a blank", malformed, added("Message-ID : <x@pec.aruba.it>")},
		{"second From in capitals", malformed, added("FROM: evil@example.com")},
		{"X-Ricevuta beside it", malformed, added("x-ricevuta: accettazione")},
		{"quoted-printable as a whole", malformed, added("Content-Transfer-Encoding: quoted-printable")},
		{"unknown encoding as a whole", malformed, added("Content-Transfer-Encoding: x-identity")},
		{"a NUL in a field", malformed, added("X-Other: a\x00b")},
		{"a lone CR in a field", malformed, added("X-Other: a\rFrom: evil@example.com")},
		{"From with two addresses", pec.ReasonSignerMismatch, outer("From", "<"+aruba+">, <rossi@pec.it>")},
		{"From of the client", pec.ReasonSignerMismatch, outer("From", "rossi@pec.it")},
		{"From of another provider", pec.ReasonSignerMismatch, outer("From", "posta-certificata@legalmail.it")},
		{"From with a Kelvin sign", pec.ReasonSignerMismatch, outer("From", strings.Replace(aruba, "k", "\u212a", 1)+"\u212a")},

		// The signature.
		{"signed by another provider", pec.ReasonSignerMismatch, func(e *pectest.Envelope) {
			e.CMS = func(c *pectest.CMS) { c.Signer = ca.Provider("posta-certificata@legalmail.it", "InfoCert") }
		}},
		{"signed by a stranger with the right name", pec.ReasonUntrustedSigner, func(e *pectest.Envelope) {
			e.CMS = func(c *pectest.CMS) { c.Signer = forger.Provider(aruba, "ARUBA PEC S.p.A.") }
		}},
		{"a stranger's signature, the genuine certificate", pec.ReasonBadSignature, func(e *pectest.Envelope) {
			genuine := e.Provider
			e.CMS = func(c *pectest.CMS) {
				c.Signer = &pectest.Provider{Cert: genuine.Cert, Chain: genuine.Chain, Key: forger.Provider(forgers, "x").Key}
			}
		}},
		{"a stranger's certificate before the genuine chain", pec.ReasonUntrustedSigner, func(e *pectest.Envelope) {
			stranger := forger.Provider(aruba, "ARUBA PEC S.p.A.")
			chain := append(stranger.Chain[:1:1], e.Provider.Chain...)
			e.CMS = func(c *pectest.CMS) {
				c.Signer = &pectest.Provider{Cert: stranger.Cert, Key: stranger.Key, Chain: append(chain, e.Provider.Cert)}
			}
		}},
		{"signature of another letter", pec.ReasonBadSignature, func(e *pectest.Envelope) {
			var der []byte
			other := corpus.Envelope()
			other.Subject = "Altro"
			other.P7S = func(b []byte) []byte { der = b; return b }
			other.Bytes()
			e.P7S = func([]byte) []byte { return der }
		}},
		{"postacert exchanged after signing", pec.ReasonBadSignature, body("Kx7mQ2pL9w", "Ev1lEv1lEv")},
		{"the digest of SHA-256, the signature of SHA-1", pec.ReasonUnsupportedSignature, func(e *pectest.Envelope) {
			sha256RSA, sha1RSA := []byte("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"), []byte("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05")
			e.P7S = func(b []byte) []byte {
				at := bytes.LastIndex(b, sha256RSA) // those before are in the certificates
				return append(append(bytes.Clone(b[:at]), sha1RSA...), b[at+len(sha1RSA):]...)
			}
		}},
		{"SHA-224", pec.ReasonUnsupportedSignature, func(e *pectest.Envelope) { e.Style.Digest = crypto.SHA224 }},
		{"MD5", pec.ReasonUnsupportedSignature, func(e *pectest.Envelope) { e.Style.Digest = crypto.MD5 }},
		{"RSA-PSS", pec.ReasonUnsupportedSignature, func(e *pectest.Envelope) { e.CMS = func(c *pectest.CMS) { c.PSS = true } }},
		{"two signers, both genuine", pec.ReasonBadSignature, func(e *pectest.Envelope) {
			e.CMS = func(c *pectest.CMS) { c.SecondSigner = ca.Provider("posta-certificata@legalmail.it", "InfoCert") }
		}},
		{"base64 with other characters", pec.ReasonBadSignature, func(e *pectest.Envelope) {
			e.Body = func(b []byte) []byte {
				at := bytes.LastIndex(b, []byte("MII"))
				return append(append(bytes.Clone(b[:at]), '!'), b[at:]...)
			}
		}},
		{"signature part as quoted-printable", pec.ReasonBadSignature, func(e *pectest.Envelope) {
			e.Body = func(b []byte) []byte {
				at := bytes.LastIndex(b, []byte("Transfer-Encoding: base64"))
				return []byte(string(b[:at]) + swap(t, string(b[at:]), "base64", "quoted-printable"))
			}
		}},

		// Odd, and genuine.
		{"ECDSA", "", func(e *pectest.Envelope) {
			e.Provider = ca.Issue(pectest.LeafOptions{Address: aruba, Name: "ARUBA PEC S.p.A.", Key: "ecdsa signer"})
		}},
		{"SHA-384", "", func(e *pectest.Envelope) { e.Style.Digest = crypto.SHA384 }},
		{"author in brackets without a name", "", author("From: <rossi@pec.it>")},
		{"author with comments", "", author("From: (da) rossi@pec.it (Mario (detto Mariolino))")},
		{"author in capitals", "", author("From: ROSSI@PEC.IT")},
		{"author folded", "", author("From: Mario\r\n Rossi\r\n\t<rossi@pec.it>")},
		{"author with another address as its name", "", author(`From: "bianchi@pec.it" <rossi@pec.it>`)},
		{"another From in the body", "", author("From: rossi@pec.it\r\nX-Mailer: x\r\n\r\nFrom: bianchi@pec.it")},
		{"Sender and Reply-To of somebody else", "", author("From: rossi@pec.it\r\nSender: bianchi@pec.it\r\nReply-To: bianchi@pec.it")},
		{"Reply-To and Return-Path exchanged", "", func(e *pectest.Envelope) {
			e.Fields = func(f []string) []string {
				return field(t, "Return-Path", "<evil@example.com>")(field(t, "Reply-To", "evil@example.com")(f))
			}
		}},
		{"outer Subject exchanged", "", outer("Subject", "POSTA CERTIFICATA: truffa")},
		{"outer Date exchanged", "", outer("Date", "Mon, 1 Jan 2001 00:00:00 +0000")},
		{"outer To exchanged", "", outer("To", "evil@example.com")},
		{"mittente with character references", "", data("<mittente>rossi@", "<mittente>r&#x6f;ssi&#64;")},
		{"mittente as CDATA", "", data("rossi@pec.it</mittente>", "<![CDATA[rossi@pec.it]]></mittente>")},
		{"errore left to its default", "", data(` errore="nessuno"`, "")},
		{"a comment between elements", "", data("<dati>", "<!-- dati --><dati>")},
		{"an instruction before the document", "", data("<postacert", "<?xml-stylesheet href=\"x\"?><postacert")},
		{"59 minutes ahead", "", func(e *pectest.Envelope) { e.SentAt = corpus.ReceivedAt.Add(59 * time.Minute) }},
		{"MIME-Version with a comment", "", outer("MIME-Version", "1.0 (produced by x)")},
		{"binary as a whole", "", added("Content-Transfer-Encoding: binary")},
		{"hundreds of trace fields", "", func(e *pectest.Envelope) {
			e.Fields = func(f []string) []string {
				for range 300 {
					f = append([]string{"Received: from a by b; Sat, 19 Sep 2026 15:41:19 +0200"}, f...)
				}
				return f
			}
		}},
		{"another client's PEC within", "", func(e *pectest.Envelope) {
			inner := corpus.Envelope()
			inner.Sender, inner.Letter.From = "vittima@pec.it", "vittima@pec.it"
			e.Letter.Attachments = []pectest.Attachment{{Name: "postacert.eml", Type: "message/rfc822", Data: inner.Bytes()}}
		}},
		{"another client's data as files", "", func(e *pectest.Envelope) {
			inner := corpus.Envelope()
			inner.Sender = "vittima@pec.it"
			e.Letter.Attachments = []pectest.Attachment{{Name: "daticert.xml", Type: "application/xml", Data: []byte(inner.DaticertXML())},
				{Name: "smime.p7s", Type: "application/pkcs7-signature", Data: []byte("x")}}
		}},
	} {
		t.Run(l.name, func(t *testing.T) {
			e := corpus.Envelope()
			l.edit(&e)
			message := e.Bytes()
			for form, m := range map[string][]byte{"CRLF": message, "LF": bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n"))} {
				j := pec.Judge(m, o)
				if j.Reason != l.reason {
					t.Errorf("%s: got %q (%v), want %q", form, j.Reason, j.Err, l.reason)
				}
				checkShape(t, j)
				if m := j.Message; m != nil && (m.Mailbox != "rossi@pec.it" || m.Subject != "Password programmi di posta" || !m.SentAt.Equal(e.SentAt)) {
					t.Errorf("%s: got %s, %q, %s; want the certified ones", form, m.Mailbox, m.Subject, m.SentAt)
				}
			}
		})
	}
}

// A receipt or an anomaly is never a letter, whatever it carries: its kind is
// that of the header, which must agree, and no Message comes of it.
func TestSecondLookReceipts(t *testing.T) {
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []pec.Kind{pec.KindAcceptance, pec.KindNonAcceptance, pec.KindTakenInCharge, pec.KindDelivery, pec.KindDeliveryError, pec.KindDeliveryDelay, pec.KindVirus} {
		for _, as := range []string{"receipt", "envelope"} {
			e := corpus.Envelope()
			e.Kind, e.Delivery = kind, corpus.Studio
			want := pec.ReasonReceipt
			if as == "envelope" {
				e.Fields = func(fields []string) []string {
					for i, f := range fields {
						if strings.HasPrefix(f, "X-Ricevuta:") {
							fields[i] = "X-Trasporto: posta-certificata"
						}
					}
					return fields
				}
				// Its data, or the lack of an original, tells.
				want = pec.ReasonDaticertMissing
				if kind == pec.KindDelivery {
					want = pec.ReasonDaticertMismatch
				}
			}
			j := pec.Judge(e.Bytes(), o)
			if j.Message != nil || j.Reason != want {
				t.Errorf("%s as %s: got %q (%v) and a message: %v; want %q", kind, as, j.Reason, j.Err, j.Message != nil, want)
			}
		}
	}
}
