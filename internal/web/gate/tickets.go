package gate

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"pec-ingest/internal/web/page"
)

// tokenBytes of randomness are in every token: links, sessions, keys.
const tokenBytes = 32

// NewToken makes a token that can stand in a URL, and its hash. Only the hash
// is kept: who reads memory, a vault or a backup can't enter with it.
func NewToken() (token string, hash Hash) {
	var b [tokenBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	token = base64.RawURLEncoding.EncodeToString(b[:])
	return token, HashOf(token)
}

// Hash is what is kept of a token.
type Hash [sha256.Size]byte

// HashOf is the hash of a token as somebody brought it. A token has 256 random
// bits, so that a plain hash is as good as a slow one.
func HashOf(token string) Hash { return sha256.Sum256([]byte(token)) }

// Equal compares in constant time.
func (h Hash) Equal(other Hash) bool { return subtle.ConstantTimeCompare(h[:], other[:]) == 1 }

// TicketLife is how long a link can be used.
const TicketLife = 5 * time.Minute

// maxTickets bounds the links that wait; the oldest gives way.
const maxTickets = 64

// Grant is what a link gives to whoever brings it first.
type Grant struct {
	Name      string // of the person; see CheckName
	Lang      string // "it" or "en"
	CanDecide bool
	CanReveal bool
	Issuer    string // who asked for the link, as the audit log names him
	IssuerUID uint32
}

func (g Grant) person() page.Person {
	return page.Person{Name: g.Name, Actor: fmt.Sprintf("page:%s(uid:%d)", g.Name, g.IssuerUID), Lang: g.Lang,
		CanDecide: g.CanDecide, CanReveal: g.CanReveal, CanLeave: true}
}

// rights in words, for the audit log.
func rightsOf(p page.Person) string {
	words := "looks"
	if p.CanDecide {
		words += ", decides"
	}
	if p.CanReveal {
		words += ", reveals"
	}
	return words
}

// maxName is the longest name of a person, in bytes.
const maxName = 64

// CheckName tells why a name can't be a person's; nil where it can. Names
// stand in the audit log as page:NAME(uid), so that they hold neither brackets
// nor colons, nor anything that looks like something else there.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a person needs a name")
	case len(name) > maxName:
		return fmt.Errorf("the name is longer than %d bytes", maxName)
	case !utf8.ValidString(name) || strings.TrimSpace(name) != name:
		return fmt.Errorf("the name is not plain text")
	}
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" .-_'@+", r) {
			return fmt.Errorf("the name holds %q; letters, digits and . - _ ' @ + are good", r)
		}
	}
	return nil
}

// ticket is a link that was given out and not used.
type ticket struct {
	hash  Hash
	grant Grant
	until time.Time
}

// tickets are the links that wait.
type tickets struct {
	mu   sync.Mutex
	list []ticket
}

// Link makes a one-time token for the path /accesso?t=TOKEN.
func (g *Gate) Link(gr Grant, now time.Time) (token string) {
	token, hash := NewToken()
	t := &g.tickets
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(now)
	if len(t.list) >= maxTickets {
		t.list = t.list[1:]
	}
	t.list = append(t.list, ticket{hash, gr, now.Add(TicketLife)})
	return token
}

// take gives what a token grants, once. Every ticket is compared, whatever
// the outcome.
func (t *tickets) take(token string, now time.Time) (gr Grant, ok bool) {
	hash := HashOf(token)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(now)
	found := -1
	for i := range t.list {
		if t.list[i].hash.Equal(hash) {
			found = i
		}
	}
	if found < 0 {
		return Grant{}, false
	}
	gr = t.list[found].grant
	t.list = slices.Delete(t.list, found, found+1)
	return gr, true
}

// drop forgets those whose time is over.
func (t *tickets) drop(now time.Time) {
	t.list = slices.DeleteFunc(t.list, func(x ticket) bool { return !now.Before(x.until) })
}
