package pectest

import (
	"crypto"
	"fmt"
)

// Style is how a provider's software writes messages. The zero value is usable
// and close to Aruba's of 2014 with SHA-256.
type Style struct {
	Name          string
	Protocol      string // "": application/pkcs7-signature
	Micalg        string // as it stands, with its quotes; "": sha-256
	Preamble      string
	FieldName     string // spelling of X-TipoRicevuta
	Alternative   bool   // readable text as plain and HTML
	OriginalFirst bool   // postacert.eml before daticert.xml
	BinaryParts   bool   // Content-Transfer-Encoding: binary on multiparts
	UnquotedName  bool   // name=postacert.eml
	FoldedType    bool   // Content-Type folded before its boundary
	DateComment   bool   // "(CEST)" behind the date
	XMLSelfClose  string // how an empty element ends: "/>" or " />"
	DaticertTail  string // behind </postacert>
	ColonZone     bool   // zona="+01:00"
	IDPrefix      string // "": opec
	LF            bool   // the message has lone LF, as stored copies do

	Digest     crypto.Hash // 0: SHA-256
	RSAPlain   bool
	BER        bool
	Protection bool
	NoAttrs    bool
}

// Styles of providers as seen in real messages, and one of our own invention
// for each other way that the standard leaves open.
var (
	Aruba2014 = Style{Name: "aruba-2014", Protocol: "application/x-pkcs7-signature", Micalg: "sha1", Preamble: "This is an S/MIME signed message",
		FieldName: "X-Tiporicevuta", XMLSelfClose: " />", Digest: crypto.SHA1, RSAPlain: true}
	Aruba2026 = Style{Name: "aruba-2026", Micalg: "sha-256", Preamble: "This is a S/MIME signed message", Alternative: true,
		UnquotedName: true, FoldedType: true, DateComment: true, DaticertTail: "\n\r\n", IDPrefix: "jpec", BER: true, Protection: true}
	Namirial = Style{Name: "namirial", Protocol: "application/x-pkcs7-signature", Micalg: `"sha1"`, Preamble: "This is an S/MIME signed message",
		Alternative: true, BinaryParts: true, Digest: crypto.SHA1, RSAPlain: true}
	Sogei = Style{Name: "sogei", Micalg: `"sha-256"`, Preamble: "This is an S/MIME signed message", Alternative: true,
		BinaryParts: true, RSAPlain: true}
	Poste   = Style{Name: "poste", Micalg: "sha256", OriginalFirst: true, ColonZone: true, IDPrefix: "E82D9D8F."}
	Bare    = Style{Name: "bare", NoAttrs: true, Digest: crypto.SHA512, Micalg: "sha-512"}
	LFStyle = Style{Name: "lf", LF: true, Preamble: "This is an S/MIME signed message"}
)

// Styles lists them all.
func Styles() []Style {
	return []Style{Aruba2014, Aruba2026, Namirial, Sogei, Poste, Bare, LFStyle}
}

func (s Style) signedType(boundary string) string {
	protocol, micalg, fold := s.Protocol, s.Micalg, " "
	if protocol == "" {
		protocol = "application/pkcs7-signature"
	}
	if micalg == "" {
		micalg = "sha-256"
	}
	if s.FoldedType {
		fold = " \r\n\t"
	}
	return fmt.Sprintf(`multipart/signed; protocol=%q; micalg=%s;%sboundary=%q`, protocol, micalg, fold, boundary)
}

func (s Style) name(n string) string {
	if s.UnquotedName {
		return n
	}
	return `"` + n + `"`
}
