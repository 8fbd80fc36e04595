package inbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/servertest"
)

const (
	studio   = "studio@pec.example"
	password = "segreta-01"
)

// studioServer is a Dovecot with the studio's mailbox.
func studioServer(t testing.TB, o servertest.DovecotOptions) *servertest.Dovecot {
	t.Helper()
	o.Users = append(o.Users, servertest.User{Name: studio, Password: password})
	return servertest.StartDovecot(t, o)
}

func config(d *servertest.Dovecot) inbox.Config {
	return inbox.Config{
		Addr: d.Addr(), TLS: d.ClientTLS(), Username: studio, Password: secret.FromString(password),
		ProcessedFolder: "Password acquisite", Timeout: patience,
	}
}

func dial(t testing.TB, c inbox.Config) *inbox.Session {
	t.Helper()
	s, err := inbox.Dial(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// mail makes a message with n bytes of text, whose Message-ID is <id@pec.example>.
func mail(id string, n int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "X-Trasporto: posta-certificata\r\nFrom: \"Per conto di: a@pec.example\" <posta-certificata@pec.example>\r\n"+
		"Message-ID: <%s@pec.example>\r\nX-Other: not asked for\r\nSubject: POSTA CERTIFICATA: prova\r\n\r\n", id)
	for b.Len() < n {
		fmt.Fprintf(&b, "riga %d: perché così\r\n", b.Len())
	}
	return b.Bytes()
}

func uids(list []servertest.Stored) []uint32 {
	var u []uint32
	for _, m := range list {
		u = append(u, m.UID)
	}
	return u
}

func fetchAll(t testing.TB, s *inbox.Session, uids []uint32) (map[uint32]inbox.Message, []uint32) {
	t.Helper()
	got := map[uint32]inbox.Message{}
	missing, err := s.Fetch(t.Context(), uids, func(m inbox.Message) error {
		if _, twice := got[m.UID]; twice {
			t.Errorf("message %d came twice", m.UID)
		}
		got[m.UID] = m
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got, missing
}

// Reading brings every byte and leaves no trace.
func TestReading(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{})
	day := time.Date(2026, 9, 1, 9, 30, 0, 0, time.UTC)
	sent := map[uint32][]byte{}
	for i := range 120 {
		raw := mail(fmt.Sprint("m", i), 200+i*700)
		d.Deliver(studio, "INBOX", raw, day.AddDate(0, 0, i))
		sent[uint32(i+1)] = raw
	}
	c := config(d)
	c.MaxMessage = 80_000
	s := dial(t, c)
	box, err := s.Examine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if box.Messages != 120 || box.UIDNext != 121 || box.UIDValidity != d.UIDValidity(studio, "INBOX") {
		t.Errorf("mailbox: got %+v, want 120 messages, next 121", box)
	}

	all, err := s.Search(t.Context(), 0, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if want := uids(d.Messages(studio, "INBOX")); !slices.Equal(all, want) {
		t.Fatalf("search: got %v, want %v", all, want)
	}

	var headers []inbox.Header
	missing, err := s.Headers(t.Context(), append(all, 5000), func(h inbox.Header) error {
		headers = append(headers, h)
		return nil
	})
	if err != nil || !slices.Equal(missing, []uint32{5000}) || len(headers) != 120 {
		t.Fatalf("headers: got %d, missing %v, %v; want 120, missing 5000", len(headers), missing, err)
	}
	h := headers[7]
	if h.Size != int64(len(sent[8])) || !h.InternalDate.Equal(day.AddDate(0, 0, 7)) || h.Truncated {
		t.Errorf("header: got %+v, want size %d, date %v", h, len(sent[8]), day.AddDate(0, 0, 7))
	}
	if got := string(h.Raw); !strings.Contains(got, "X-Trasporto: posta-certificata\r\n") || !strings.Contains(got, "<m7@pec.example>") || strings.Contains(got, "X-Other") {
		t.Errorf("header fields: got %q", got)
	}

	got, missing := fetchAll(t, s, append([]uint32{7777, 0, 3}, all...))
	if !slices.Equal(missing, []uint32{7777}) || len(got) != 120 {
		t.Fatalf("fetch: got %d messages, missing %v; want 120, missing 7777", len(got), missing)
	}
	for uid, raw := range sent {
		m := got[uid]
		if large := int64(len(raw)) > c.MaxMessage; m.TooLarge != large || large != (m.Raw == nil) {
			t.Errorf("message %d of %d bytes: too large %t, %d bytes; want too large %t", uid, len(raw), m.TooLarge, len(m.Raw), large)
		} else if !large && !bytes.Equal(m.Raw, raw) {
			t.Errorf("message %d: got %d bytes, not the %d that were delivered", uid, len(m.Raw), len(raw))
		}
	}

	missing, err = s.Peek(t.Context(), all[100:], 0, 1000, func(m inbox.Message) error {
		if !bytes.Equal(m.Raw, sent[m.UID][:1000]) {
			t.Errorf("peek at %d: got %d bytes, want the first 1000", m.UID, len(m.Raw))
		}
		return nil
	})
	if err != nil || len(missing) > 0 {
		t.Errorf("peek: missing %v, %v", missing, err)
	}

	for _, m := range d.Messages(studio, "INBOX") {
		if len(m.Flags) > 0 {
			t.Errorf("message %d has flags %v after reading, want none", m.UID, m.Flags)
		}
	}
	if read, written := s.Traffic(); read < 1_000_000 || written < 500 {
		t.Errorf("traffic: got %d and %d bytes", read, written)
	}
}

func TestSearch(t *testing.T) {
	for _, capability := range []string{"", "IMAP4rev1 UIDPLUS"} { // with and without ESEARCH
		t.Run("capability "+capability, func(t *testing.T) {
			d := studioServer(t, servertest.DovecotOptions{Capability: capability})
			day := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
			for i := range 10 {
				d.Deliver(studio, "INBOX", mail(fmt.Sprint(i), 100), day.AddDate(0, 0, i))
			}
			d.Messages(studio, "INBOX")
			d.Expunge(studio, "INBOX", 4)
			s := dial(t, config(d))
			for _, c := range []struct {
				from  uint32
				since time.Time
				want  []uint32
			}{
				{0, time.Time{}, []uint32{1, 2, 3, 5, 6, 7, 8, 9, 10}},
				{8, time.Time{}, []uint32{8, 9, 10}},
				{11, time.Time{}, nil}, // "11:*" matches 10
				{4_000_000_000, time.Time{}, nil},
				{1, day.AddDate(0, 0, 7), []uint32{7, 8, 9, 10}}, // and the day before
				{9, day.AddDate(0, 0, 7), []uint32{9, 10}},
				{1, day.AddDate(1, 0, 0), nil},
			} {
				got, err := s.Search(t.Context(), c.from, c.since)
				if err != nil || !slices.Equal(got, c.want) {
					t.Errorf("from %d since %v: got %v, %v, want %v", c.from, c.since, got, err, c.want)
				}
			}
		})
	}
}

// What disappears between search and fetch is missing, and the rest is there.
func TestVanished(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{})
	for i := range 10 {
		d.Deliver(studio, "INBOX", mail(fmt.Sprint(i), 5000), time.Time{})
	}
	s := dial(t, config(d))
	all, err := s.Search(t.Context(), 1, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	d.Expunge(studio, "INBOX", 3, 4, 10)
	got, missing := fetchAll(t, s, all)
	if want := []uint32{3, 4, 10}; !slices.Equal(missing, want) || len(got) != 7 {
		t.Errorf("got %d messages, missing %v; want 7, missing %v", len(got), missing, want)
	}
}

// An error of the caller ends the fetch, comes back, and the session lives.
func TestCallerStops(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{})
	for i := range 130 {
		d.Deliver(studio, "INBOX", mail(fmt.Sprint(i), 3000), time.Time{})
	}
	s := dial(t, config(d))
	all, err := s.Search(t.Context(), 1, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	n := 0
	_, err = s.Fetch(t.Context(), all, func(inbox.Message) error {
		n++
		if n == 3 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || n != 3 {
		t.Errorf("got %v after %d messages, want %v after 3", err, n, full)
	}
	if got, missing := fetchAll(t, s, all); len(got) != 130 || missing != nil {
		t.Errorf("afterwards: got %d messages, missing %v; want all 130", len(got), missing)
	}
}

func TestDial(t *testing.T) {
	const strange = `a€" \:{5}è%s`
	ca := servertest.NewCA(t)
	d := studioServer(t, servertest.DovecotOptions{CA: ca, Users: []servertest.User{
		{Name: "strana@pec.example", Password: strange},
		{Name: "chiusa@pec.example", Password: "segreta-02", Disabled: true},
	}})
	wrongName := studioServer(t, servertest.DovecotOptions{CA: ca, Leaf: servertest.Leaf{Names: []string{"other.example"}}})
	expired := studioServer(t, servertest.DovecotOptions{CA: ca, Leaf: servertest.Leaf{Expired: true}})
	closed := net.JoinHostPort("127.0.0.1", strconv.Itoa(servertest.FreePort(t)))

	for _, c := range []struct {
		name string
		edit func(*inbox.Config)
		want error
	}{
		{"right", func(*inbox.Config) {}, nil},
		{"strange password", func(c *inbox.Config) { c.Username, c.Password = "strana@pec.example", secret.FromString(strange) }, nil},
		{"server name", func(c *inbox.Config) { c.ServerName = servertest.ServerName }, nil},
		{"wrong password", func(c *inbox.Config) { c.Password = secret.FromString("parola-sbagliata") }, inbox.ErrRefused},
		{"strange wrong password", func(c *inbox.Config) { c.Password = secret.FromString("è" + strange) }, inbox.ErrRefused},
		{"unknown user", func(c *inbox.Config) { c.Username = "nessuno@pec.example" }, inbox.ErrRefused},
		{"disabled user", func(c *inbox.Config) { c.Username, c.Password = "chiusa@pec.example", secret.FromString("segreta-02") }, inbox.ErrUnavailable},
		{"unknown authority", func(c *inbox.Config) {
			c.TLS = servertest.NewCA(t).ServerConfig(t, servertest.Leaf{})
			c.TLS.RootCAs = servertest.NewCA(t).Pool()
		}, inbox.ErrTLS},
		{"system's authorities", func(c *inbox.Config) { c.TLS = nil }, inbox.ErrTLS},
		{"other name", func(c *inbox.Config) { c.Addr = wrongName.Addr() }, inbox.ErrTLS},
		{"expired certificate", func(c *inbox.Config) { c.Addr = expired.Addr() }, inbox.ErrTLS},
		{"no TLS", func(c *inbox.Config) { c.Addr = d.StartTLSAddr() }, inbox.ErrTLS},
		{"nobody there", func(c *inbox.Config) { c.Addr = closed }, inbox.ErrNetwork},
		{"unknown auth", func(c *inbox.Config) { c.Auth = "magic" }, inbox.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := config(d)
			c.edit(&conf)
			s, err := inbox.Dial(t.Context(), conf)
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			for _, other := range []error{inbox.ErrRefused, inbox.ErrUnavailable, inbox.ErrTLS, inbox.ErrNetwork} {
				if err != nil && other != c.want && errors.Is(err, other) {
					t.Errorf("%v is %v, too", err, other)
				}
			}
			if err != nil && (strings.Contains(err.Error(), "@") || strings.Contains(err.Error(), conf.Password.RevealString())) {
				t.Errorf("the error holds an address or the password: %v", err)
			}
		})
	}
	// Each refusal was one attempt, not two.
	for user, want := range map[string]int{studio: 2, "strana@pec.example": 0, "nessuno@pec.example": 1} {
		if got := d.Logins(user).Refused; got != want {
			t.Errorf("refused logins of %s: got %d, want %d", user, got, want)
		}
	}
}

func TestNoFolder(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{})
	c := config(d)
	c.Folder = "INBOX.Nessuna"
	s := dial(t, c)
	if _, err := s.Examine(t.Context()); !errors.Is(err, inbox.ErrNoFolder) {
		t.Errorf("got %v, want %v", err, inbox.ErrNoFolder)
	}
}

// UIDs learned before the folder was rebuilt are not used on the new one.
func TestUIDValidityChanges(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{})
	d.Deliver(studio, "INBOX", mail("a", 100), time.Time{})
	s := dial(t, config(d))
	before, err := s.Examine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	d.SetUIDValidity(studio, "INBOX", before.UIDValidity+7)
	s = dial(t, config(d))
	after, err := s.Examine(t.Context())
	if err != nil || after.UIDValidity != before.UIDValidity+7 {
		t.Fatalf("got %+v, %v, want UIDVALIDITY %d", after, err, before.UIDValidity+7)
	}
	_, _, err = s.File(t.Context(), before.UIDValidity, []inbox.FileItem{{UID: 1, MessageID: "a@pec.example"}}, inbox.Move)
	if !errors.Is(err, inbox.ErrUIDValidity) {
		t.Errorf("filing: got %v, want %v", err, inbox.ErrUIDValidity)
	}
	if got := len(d.Messages(studio, "INBOX")); got != 1 {
		t.Errorf("got %d messages in the inbox, want 1", got)
	}
}

func TestCancelled(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{})
	s := dial(t, config(d))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Examine(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if _, err := inbox.Dial(ctx, config(d)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	s.Close()
	if _, err := s.Examine(t.Context()); !errors.Is(err, inbox.ErrClosed) {
		t.Errorf("after Close: got %v, want %v", err, inbox.ErrClosed)
	}
}
