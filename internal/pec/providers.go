package pec

// agidPin is the SHA-256 of the public key (SubjectPublicKeyInfo) of AgID CA1,
// which issues the signing certificates of all PEC providers. It is the same
// in all of its re-issues since 2018.
const agidPin = "39e3c6c6f13c9620775172694d20f81edad55a8613934cdaa7c3793a6d26b86b"

// signingDomains are the domains of the addresses with which PEC providers
// sign: the permitted e-mail domains of AgID CA1's name constraints. They are
// kept here because a constraint in a certificate that the message itself
// brings can't be believed.
var signingDomains = []string{
	"agid.gov.it", "cert.informatica.aci.it", "cert.interno.it", "emarche.it",
	"fastweb-pec.it", "gestorepec.unina.it", "kmailer.it", "legalmail.it",
	"pcert.sogei.it", "pec.actalis.it", "pec.ancitel.it", "pec.aruba.it",
	"pec.basilicatanet.it", "pec-email.com", "pec.postecert.it",
	"pec.posteitaliane.it", "pec.rupar.puglia.it", "postacert.cedacri.it",
	"postacertificata.notariato.it", "postacert.it.net", "postecert.it",
	"sicurezzapostale.it", "telecompost.it", "trustedmail.intesa.it",
	"twtcert.it", "zucchettipec.it", "cert.intesa.it", "certmail.kpnqwest.it",
	"certmail.irideos.it", "pupec.informatica.aci.it",
	"pro.sicurezzapostale.it", "pec.bill4me.it", "pec.notartel.it",
	"miapec.it", "ig-trustmail.com", "postecertifica.it", "pec.reevo.eu",
}
