package probe

import (
	"bytes"
	"encoding/base64"
	"regexp"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/secret"
)

// scrubber makes a server's words fit to show. Servers have been seen to
// repeat the command that they refuse.
type scrubber struct {
	secrets []secret.Secret // the password in every form in which it is sent, small letters
	login   *regexp.Regexp  // nil if it can't be looked for
}

// address is anything that looks like a mail address.
var address = regexp.MustCompile(`[^\s"'<>()\[\],;:]+@[^\s"'<>()\[\],;:]+`)

const withheld = "[the answer repeats the login and is not shown]"

func newScrubber(login string, password secret.Secret) *scrubber {
	s := new(scrubber)
	p := password.Reveal()
	s.add(append(make([]byte, 0, len(p)), p...))
	s.add(appendQuoted(make([]byte, 0, 2*len(p)+2), p)[1:]) // without the opening quote: it may be cut off
	s.add(encode(p))
	sasl := make([]byte, 0, len(login)+len(p)+2)
	sasl = append(append(append(append(sasl, 0), login...), 0), p...)
	s.add(encode(sasl))
	clear(sasl)
	if re, err := regexp.Compile("(?i)" + regexp.QuoteMeta(login)); err == nil {
		s.login = re
	}
	return s
}

// add remembers one form and wipes the copy it was given.
func (s *scrubber) add(form []byte) {
	low := bytes.ToLower(form)
	s.secrets = append(s.secrets, secret.New(low))
	clear(low)
	clear(form)
}

func encode(b []byte) []byte {
	out := make([]byte, base64.StdEncoding.EncodedLen(len(b)))
	base64.StdEncoding.Encode(out, b)
	return out
}

// clean returns words as one safe line without login and mail addresses; or
// none of them at all, if the password is among them.
func (s *scrubber) clean(words string) string {
	shown := safetext.LineN(words, 200)
	for _, text := range []string{words, shown} {
		low := bytes.ToLower([]byte(text))
		for _, x := range s.secrets {
			if bytes.Contains(low, x.Reveal()) {
				return withheld
			}
		}
	}
	if s.login == nil {
		return withheld
	}
	shown = address.ReplaceAllLiteralString(shown, "[address]")
	return s.login.ReplaceAllLiteralString(shown, "[login]")
}

func (s *scrubber) wipe() {
	for _, x := range s.secrets {
		x.Wipe()
	}
}
