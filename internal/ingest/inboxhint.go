package ingest

import (
	"errors"
	"fmt"
	"strings"

	"pec-ingest/internal/inbox"
)

// byItself ends the hint of a trouble that may pass without anybody's doing.
const byItself = "; nothing is lost, it is tried again by itself"

// inboxHint says what an admin can do about an error of the studio's inbox.
// Most of them are made on the first day: the wrong name, port or folder.
func (s *Service) inboxHint(err error) string {
	in := s.cfg.Inbox
	text := err.Error()
	says := func(what string) bool { return strings.Contains(text, what) }
	switch {
	case errors.Is(err, inbox.ErrRefused):
		return "the provider refuses the password: put the current one into inbox.password_file, or enter it with `ingest set --inbox`; it is not tried again until then"
	case errors.Is(err, inbox.ErrNoFolder):
		return fmt.Sprintf("inbox.folder is %q: is there such a folder? with most providers it is INBOX", in.Folder)
	case errors.Is(err, inbox.ErrTLS) && says("expired or is not yet valid"):
		return "the certificate's dates do not fit: is this machine's clock right (`timedatectl`)? else the provider must renew it; the password was not sent" + byItself
	case errors.Is(err, inbox.ErrTLS) && says("does not speak TLS"):
		return fmt.Sprintf("inbox.port is %d: it must be that of IMAP over TLS, mostly 993", in.Port)
	case errors.Is(err, inbox.ErrTLS) && (says("certificate is") || says("IP SANs")):
		return fmt.Sprintf("the certificate is another server's: is inbox.host %q right? the password was not sent", in.Host)
	case errors.Is(err, inbox.ErrTLS):
		return "the server's certificate is not accepted: is inbox.host right? a private server needs inbox.tls_ca_file; the password was not sent"
	case errors.Is(err, inbox.ErrUnavailable) && !errors.Is(err, inbox.ErrDenied):
		return "the server ended the session, as it does when it is restarted, or does not serve now" + byItself
	case errors.Is(err, inbox.ErrDenied):
		return "the server answers and does not let us in, for another reason than the password: see whether IMAP is switched on at the provider" + byItself
	case says("no such host"):
		return fmt.Sprintf("no server has the name %q: see whether inbox.host is right, and whether this machine reaches a name server", in.Host) + byItself
	case says("connection refused"):
		return fmt.Sprintf("nothing listens there: see whether inbox.host %q and inbox.port %d are right", in.Host, in.Port) + byItself
	case says("unreachable"), says("timeout"), says("timed out"), says("deadline"):
		return fmt.Sprintf("no answer: see whether the network is up, and the firewall lets port %d out", in.Port) + byItself
	}
	return "nothing is lost: the next pass goes on where this one stopped"
}
