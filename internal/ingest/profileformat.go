package ingest

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// profileFormats are the values of `profile --for`, in the order of DESIGN §9.
var profileFormats = []struct {
	name   string
	format func(Profile) (string, error)
}{
	{"isync", Profile.isync},
	{"msmtp", Profile.msmtp},
	{"fetchmail", Profile.fetchmail},
	{"getmail", Profile.getmail},
	{"thunderbird", Profile.thunderbird},
	{"nuvola", Profile.nuvola},
	{"passweb", Profile.passweb},
	{"json", Profile.json},
}

// ProfileFormats lists what Format takes.
func ProfileFormats() []string {
	var names []string
	for _, f := range profileFormats {
		names = append(names, f.name)
	}
	return names
}

// Format writes the settings for another program. It never holds a password.
func (p Profile) Format(name string) (string, error) {
	for _, f := range profileFormats {
		if f.name == name {
			return f.format(p)
		}
	}
	return "", usage("%q is no format of `ingest profile`", name).hint("one of: %s", strings.Join(ProfileFormats(), " "))
}

// remarks are the lines that every settings file begins with.
func (p Profile) remarks(mark string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, mark+" "+format+"\n", args...) }
	line("%s, made by `ingest profile`. The password is not in here.", p.Mailbox)
	if p.Guessed {
		line("The servers are those usual for the domain: check them.")
	}
	if p.OAuthOnly {
		line("This provider refuses passwords: it wants OAuth2 (`ingest login`).")
	}
	return b.String()
}

// isync writes settings for mbsync that only pull: nothing is changed in the
// client's mailbox.
func (p Profile) isync() (string, error) {
	s, err := p.needIMAP()
	if err != nil {
		return "", err
	}
	tls := "IMAPS"
	if s.startTLS() {
		tls = "STARTTLS"
	}
	ca := ""
	if p.TLSCAFile != nil {
		ca = "CertificateFile " + quoteC(*p.TLSCAFile) + "\n"
	}
	box := quoteC(p.account())
	return p.remarks("#") + p.firstFolder() + fmt.Sprintf(`
IMAPAccount %[1]s
Host %[2]s
Port %[3]d
User %[4]s
PassCmd %[5]s
SSLType %[6]s
%[7]s
IMAPStore %[8]s
Account %[1]s

MaildirStore %[9]s
Path %[10]s
Inbox %[11]s
SubFolders Verbatim

Channel %[1]s
Far %[12]s
Near %[13]s
Patterns *
Create Near
Sync Pull
Expunge None
SyncState *
`, box, s.Host, s.Port, quoteC(p.Login), quoteC(shellLine(p.Command)), tls, ca,
		quoteC(p.account()+"-far"), quoteC(p.account()+"-near"), quoteC("~/Mail/"+p.account()+"/"), quoteC("~/Mail/"+p.account()+"/INBOX"),
		quoteC(":"+p.account()+"-far:"), quoteC(":"+p.account()+"-near:")), nil
}

// firstFolder says how the folder for the mail is made, which no program does
// by itself.
func (p Profile) firstFolder(subs ...string) string {
	folder := "~/Mail/" + shellWord(p.account())
	paths := []string{folder}
	for _, sub := range subs {
		paths = append(paths, folder+"/"+sub)
	}
	return "# Before the first run: mkdir -p " + strings.Join(paths, " ") + "\n"
}

// account names the settings: the mailbox, and the login where it is another.
func (p Profile) account() string {
	if p.Login == p.Mailbox {
		return p.Mailbox
	}
	safe := strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' || r == '@' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, p.Login)
	return p.Mailbox + "-" + safe
}

func (p Profile) msmtp() (string, error) {
	s, err := p.needSMTP()
	if err != nil {
		return "", err
	}
	startTLS, ca := "off", "system"
	if s.startTLS() {
		startTLS = "on"
	}
	if p.TLSCAFile != nil {
		ca = *p.TLSCAFile
	}
	// msmtp takes what stands between the outer quotes as it is.
	return p.remarks("#") + fmt.Sprintf(`
account %s
host %s
port %d
tls on
tls_starttls %s
tls_trust_file "%s"
auth on
user "%s"
passwordeval "%s"
from %s
`, p.account(), s.Host, s.Port, startTLS, ca, p.SMTPLogin, shellLine(p.Command), p.Mailbox), nil
}

// fetchmail writes a script: fetchmail calls no program for its password, but
// reads its settings from a pipe.
func (p Profile) fetchmail() (string, error) {
	s, err := p.needIMAP()
	if err != nil {
		return "", err
	}
	tls := "ssl"
	if s.startTLS() {
		tls = `sslproto "TLS1.2+"`
	}
	ca := ""
	if p.TLSCAFile != nil {
		ca = " sslcertfile " + quoteC(*p.TLSCAFile)
	}
	return "#!/bin/sh\n" + p.remarks("#") + fmt.Sprintf(`# fetchmail has no way to ask a program for a password. This script does, and
# hands it over through a pipe: it is in no file, argument or environment.
# Run it with fetchmail's own options: --mda, --smtphost, --folder …
# Messages stay on the server; fetchmail marks as read what it has taken.
password=$(%s) || exit
{
	cat <<'SETTINGS'
poll %s protocol IMAP port %d
	username %s %s sslcertck%s
	keep
SETTINGS
	# Byte by byte in hexadecimal: no character needs quoting then.
	printf '\tpassword "%%s"\n' "$(printf %%s "$password" | od -An -v -tx1 | tr -d '\n' | sed 's/ /\\x/g')"
} | fetchmail --fetchmailrc - "$@"
`, shellLine(p.Command), s.Host, s.Port, quoteC(p.Login), tls, ca), nil
}

// systemRoots is where Debian keeps the TLS roots in one file: getmail checks
// no certificate unless told by what.
const systemRoots = "/etc/ssl/certs/ca-certificates.crt"

func (p Profile) getmail() (string, error) {
	s, err := p.needIMAP()
	if err != nil {
		return "", err
	}
	if s.startTLS() {
		return "", (&Error{Msg: "getmail knows no STARTTLS for IMAP, and " + s.Host + " offers nothing else"}).hint("use isync or fetchmail")
	}
	ca := systemRoots
	if p.TLSCAFile != nil {
		ca = *p.TLSCAFile
	}
	// getmail evaluates a tuple as Python, whose escapes are those of Go.
	args := make([]string, 0, len(p.Command))
	for _, a := range p.Command {
		args = append(args, strconv.QuoteToASCII(a))
	}
	return p.remarks("#") + p.firstFolder("cur", "new", "tmp") + fmt.Sprintf(`# getmail can send passwords of ASCII characters only.

[retriever]
type = SimpleIMAPSSLRetriever
server = %[1]s
port = %[2]d
username = %[3]s
password_command = (%[4]s,)
mailboxes = ("INBOX",)
ca_certs = %[5]s
ssl_cert_hostname = %[1]s

[destination]
type = Maildir
path = ~/Mail/%[6]s/

[options]
read_all = false
delete = false
`, s.Host, s.Port, p.Login, strings.Join(args, ", "), ca, p.account()), nil
}

// The configuration that Thunderbird looks for; format 1.1 of
// wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat.
type clientConfig struct {
	XMLName  xml.Name      `xml:"clientConfig"`
	Version  string        `xml:"version,attr"`
	Provider emailProvider `xml:"emailProvider"`
}

type emailProvider struct {
	ID       string       `xml:"id,attr"`
	Domain   string       `xml:"domain"`
	Name     string       `xml:"displayName"`
	Short    string       `xml:"displayShortName"`
	Incoming *mozServer   `xml:"incomingServer,omitempty"`
	Outgoing []*mozServer `xml:"outgoingServer,omitempty"`
}

type mozServer struct {
	Type     string `xml:"type,attr"`
	Hostname string `xml:"hostname"`
	Port     int    `xml:"port"`
	Socket   string `xml:"socketType"`
	Auth     string `xml:"authentication"`
	Username string `xml:"username"`
}

func (p Profile) thunderbird() (string, error) {
	s, err := p.needIMAP()
	if err != nil {
		return "", err
	}
	domain := p.Mailbox[strings.LastIndex(p.Mailbox, "@")+1:]
	auth := "password-cleartext" // inside TLS
	if p.OAuthOnly {
		auth = "OAuth2"
	}
	server := func(kind, login string, s ProfileServer) *mozServer {
		m := &mozServer{Type: kind, Hostname: s.Host, Port: s.Port, Socket: "SSL", Auth: auth, Username: login}
		if s.startTLS() {
			m.Socket = "STARTTLS"
		}
		return m
	}
	c := clientConfig{Version: "1.1", Provider: emailProvider{ID: domain, Domain: domain,
		Name: firstOf(p.Name, p.Mailbox), Short: firstOf(p.Name, p.Mailbox), Incoming: server("imap", p.Login, s)}}
	if p.SMTP != nil {
		c.Provider.Outgoing = []*mozServer{server("smtp", p.SMTPLogin, *p.SMTP)}
	}
	b, err := xml.MarshalIndent(c, "", "  ")
	if err != nil {
		return "", fmt.Errorf("writing the autoconfig file: %w", err)
	}
	return xml.Header + string(b) + "\n", nil
}

// nuvola writes what goes into the form "Casella ARUBA PEC" of Nuvola, which
// knows the servers itself, and what is to be done there at each new password.
func (p Profile) nuvola() (string, error) {
	return fmt.Sprintf(`Nuvola: Comunicazioni > Caselle di posta > + Crea nuova > Casella ARUBA PEC

Indirizzo email   %[1]s
Nome utente       %[2]s
Password          quella che stampa: %[3]s
Direzione         ingresso, uscita o entrambe, a scelta dell'istituto

La password per programmi di posta dura %[4]d giorni. A ogni scadenza:
  1. Entri dal web in Gestione account PEC, con la password di sempre e la conferma sull'app.
  2. In Sicurezza > Password per programmi di posta revochi quella vecchia.
  3. Generi una nuova password, la copi e la mandi allo studio con una PEC.
  4. Aggiorni la password della casella in Nuvola, prema Salva, e poi la spunti qui:
     %[5]s
`, p.Mailbox, p.Login, shellLine(p.Command), p.Validity, shellLine(p.usedCommand("nuvola"))), nil
}

// passweb writes what goes into Passweb's form for an SMTP server of one's
// own.
func (p Profile) passweb() (string, error) {
	s, err := p.needSMTP()
	if err != nil {
		return "", err
	}
	outlook := p.Provider != nil && *p.Provider == "outlook"
	if outlook {
		s = ProfileServer{Host: "smtp-mail.outlook.com", Port: 587, TLS: "starttls"}
	}
	security := "SSL/TLS"
	if s.startTLS() {
		security = "STARTTLS (TLS)"
	}
	text := fmt.Sprintf(`Passweb: parametri mail > server SMTP esterno

Server SMTP               %s
Porta                     %d
Sicurezza                 %s
Richiede autenticazione   sì
Nome utente               %s
Password                  quella che stampa: %s
Mittente                  %s
`, s.Host, s.Port, security, p.SMTPLogin, shellLine(p.Command), p.Mailbox)
	if outlook {
		text += "\nCon la verifica in due passaggi attiva serve una password per le app.\n"
	}
	if p.OAuthOnly {
		text += "\nAttenzione: oggi questo gestore non accetta più password dai programmi, nemmeno\n" +
			"quelle per le app: chiede OAuth. Un modulo con la sola password non può\n" +
			"funzionare; serve un altro mittente, per esempio la PEC.\n"
	}
	return text + "\nDopo averla aggiornata, la spunti:\n  " + shellLine(p.usedCommand("passweb")) + "\n", nil
}

// usedCommand confirms that the password was entered at a place.
func (p Profile) usedCommand(place string) []string {
	for _, used := range p.UsedIn {
		if strings.Contains(strings.ToLower(used), place) {
			place = used
			break
		}
	}
	at := slices.Index(p.Command, "get")
	return append(slices.Clone(p.Command[:at]), "used", p.Mailbox, place, "--done")
}

func (p Profile) json() (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(p)
	return b.String(), err
}

// quoteC quotes for isync and fetchmail: double quotes, in which a backslash
// takes the next character as it is.
func quoteC(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// shellLine is a command line for a POSIX shell.
func shellLine(args []string) string {
	words := make([]string, 0, len(args))
	for _, a := range args {
		words = append(words, shellWord(a))
	}
	return strings.Join(words, " ")
}

// shellWord quotes one word. An address is quoted always: it is what people
// look at to see that they are right.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r == '/' || r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
