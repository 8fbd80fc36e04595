package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/inbox"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/notify"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/servertest/faultproxy"
	"pec-ingest/internal/vault"
)

// The chaos tests break what surrounds the program, one thing at a time, and
// compare the end with that of an undisturbed run. `go test` runs a part of
// the cases, chosen evenly; with PEC_INGEST_CHAOS=long (make chaos) all. What
// is chosen by chance comes from a seed that is printed and can be given with
// PEC_INGEST_SEED; in the short form it is always the same one.

func chaosLong() bool { return os.Getenv("PEC_INGEST_CHAOS") == "long" }

// some picks n of the long form's cases, evenly, for the short one.
func some[T any](all []T, n int) []T {
	if chaosLong() || len(all) <= n {
		return all
	}
	var few []T
	for i := range n {
		few = append(few, all[(2*i+1)*len(all)/(2*n)])
	}
	return few
}

// chaosRand is the test's source of chance.
func chaosRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(1)
	if chaosLong() {
		seed = uint64(time.Now().UnixNano())
	}
	if given := os.Getenv("PEC_INGEST_SEED"); given != "" {
		n, err := strconv.ParseUint(given, 10, 64)
		if err != nil {
			t.Fatalf("PEC_INGEST_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("PEC_INGEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// weather is how a service reaches the world in a disturbed run: "" is the
// server itself.
type weather struct {
	inbox, probe, smtp string        // host:port instead of the real one
	timeout            time.Duration // of the ones that are named
}

// inWeather opens the service of the configuration, in process, for fn.
func (s *studio) inWeather(w weather, fn func(*ingest.Service)) {
	s.t.Helper()
	cfg, err := config.Load(s.configPath())
	if err != nil {
		s.t.Fatal(err)
	}
	svc, err := ingest.Open(cfg, ingest.Writing, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	w.around(svc)
	fn(svc)
	if err := svc.Close(); err != nil {
		s.t.Fatal(err)
	}
}

func (w weather) around(svc *ingest.Service) {
	svc.DialInbox = func(ctx context.Context, c inbox.Config) (*inbox.Session, error) {
		if w.inbox != "" {
			c.Addr, c.Timeout = w.inbox, w.timeout
		}
		return inbox.Dial(ctx, c)
	}
	svc.Login = func(ctx context.Context, t probe.Target, login string, password secret.Secret) probe.Result {
		if w.probe != "" {
			t.Timeout = 2 * w.timeout // a refusal takes Dovecot half a second
		}
		t.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if w.probe != "" {
				addr = w.probe
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
		return probe.Login(ctx, t, login, password)
	}
	svc.Send = func(ctx context.Context, c notify.SMTPConfig, m notify.Mail, beforeDot func() error) (notify.Receipt, error) {
		if w.smtp != "" {
			_, port, _ := net.SplitHostPort(w.smtp)
			c.Port, _ = strconv.Atoi(port)
			c.Timeout = w.timeout
		}
		return notify.Send(ctx, c, m, beforeDot)
	}
}

// disturbed makes one run in bad weather. Whether it fails is its own affair;
// that it ends is not.
func (s *killStudio) disturbed(w weather) {
	s.t.Helper()
	begun := time.Now()
	s.inWeather(w, func(svc *ingest.Service) {
		_, _ = svc.Once(s.t.Context(), ingest.RunOptions{Warn: true})
	})
	// Some thirty steps may each have to wait for their timeout.
	if limit := 60*w.timeout + patience; time.Since(begun) > limit {
		s.t.Errorf("the run took %v, want %v at most", time.Since(begun), limit)
	}
}

// undisturbed is how the story ends when nothing is wrong, on inbox 0.
func (s *killStudio) undisturbed(w weather) ending {
	s.t.Helper()
	before := s.prepare(0)
	s.disturbed(w)
	s.recover(0, before)
	end := s.ending(0, before)
	if strings.Count(end.text, "\n") < 30 {
		s.t.Fatalf("the undisturbed story ends in\n%s", end.text)
	}
	return end
}

// recover does, in good weather, what a day does: the provider's receipts
// come for what it took, pauses and doubts end, and passes are made until
// nothing is left to do.
func (s *killStudio) recover(i int, before beginning) {
	s.t.Helper()
	s.imap.AwaitGone(inboxName(i)) // what the server was told last is done
	s.inVault(func(tx *vault.Tx) error { return pausesOver(tx, false) })
	s.exits(exitOK, "once", "--warn")
	var doubtful []string
	for _, r := range s.rows("outbox", "list", "--all", "--json") {
		if r["state"] == vault.OutInDoubt {
			doubtful = append(doubtful, fmt.Sprint(r["message_id"]))
		}
	}
	for _, m := range s.sink.received()[before.mails:] {
		if slices.Contains(doubtful, m.ID) {
			e := s.letter(studioPEC, 0, m.Subject, "")
			e.Kind, e.Recipients, e.MsgID = pec.KindAcceptance, []string{m.To}, m.ID
			e.ID, e.OwnID = "opec3."+strings.Trim(m.ID, "<>"), "opec4."+strings.Trim(m.ID, "<>")
			s.imap.Deliver(inboxName(i), "INBOX", e.Bytes(), time.Now())
		}
	}
	s.inVault(func(tx *vault.Tx) error { return pausesOver(tx, true) })
	s.exits(exitOK, "once", "--warn")
	s.inVault(func(tx *vault.Tx) error { return pausesOver(tx, true) })
	s.exits(exitOK, "once", "--warn")
	s.once(sum{})
}

// pausesOver ends every pause that the program makes by itself after trouble;
// doubts: also the hour in which it waits for a receipt.
func pausesOver(tx *vault.Tx, doubts bool) error {
	open, err := tx.OpenOutgoing()
	if err != nil {
		return err
	}
	for _, o := range open {
		o.NextAt = time.Time{}
		if doubts && o.State == vault.OutInDoubt {
			o.SentAt = o.SentAt.Add(-doubtTime)
		}
		if err := tx.PutOutgoing(o); err != nil {
			return err
		}
	}
	for _, name := range []string{ingest.AccountInbox, ingest.AccountSMTP} {
		if a, ok, err := tx.Account(name); err == nil && ok && !a.TroubleAt.IsZero() {
			a.TroubleAt = a.TroubleAt.Add(-doubtTime)
			if err := tx.PutAccount(a); err != nil {
				return err
			}
		}
	}
	holes, err := tx.Holes("INBOX")
	if err != nil {
		return err
	}
	for _, h := range holes {
		h.NextAt = time.Time{}
		if err := tx.PutHole(h); err != nil {
			return err
		}
	}
	var creds []vault.Credential
	err = tx.Credentials(func(c vault.Credential) error { creds = append(creds, c); return nil })
	for _, c := range creds {
		if err == nil && !c.LastCheck.NextAt.IsZero() {
			c.LastCheck.NextAt = time.Now().Add(-time.Minute)
			err = tx.PutCredential(c)
		}
	}
	return err
}

// same is an ending without what only its recovery needed.
func same(end ending) (lines []string) {
	for line := range strings.Lines(end.text) {
		if strings.Contains(line, "opec4.") {
			continue // a receipt that recover had to deliver
		}
		lines = append(lines, line)
	}
	return lines
}

// wantSame compares the end of a disturbed run with the undisturbed one.
func wantSame(t *testing.T, what string, want, got ending) {
	t.Helper()
	if d := lineDiff(same(want), same(got)); d != "" {
		t.Errorf("%s: the end is another one (-undisturbed +got):\n%s", what, d)
	}
}

// lineDiff lists what is in one list and not in the other, some of it.
func lineDiff(want, got []string) string {
	left := map[string]int{}
	for _, line := range want {
		left[line]++
	}
	var b strings.Builder
	n := 0
	put := func(sign, line string) {
		if n++; n <= 16 {
			fmt.Fprintf(&b, "%s %.150s\n", sign, strings.TrimSpace(line))
		}
	}
	for _, line := range got {
		if left[line]--; left[line] < 0 {
			put("+", line)
		}
	}
	for _, line := range want {
		if left[line] > 0 {
			left[line]--
			put("-", line)
		}
	}
	if n > 16 {
		fmt.Fprintf(&b, "and %d more\n", n-16)
	}
	return b.String()
}

// A link is one of the daemon's ways to a server.
type link struct {
	name    string
	target  func(*killStudio) string
	through func(addr string) weather
}

var links = []link{
	{"inbox", func(s *killStudio) string { return s.imap.Addr() }, func(a string) weather { return weather{inbox: a} }},
	{"probe", func(s *killStudio) string { return s.clients.Addr() }, func(a string) weather { return weather{probe: a} }},
	{"postfix", func(s *killStudio) string { return "127.0.0.1:" + s.sink.portText() }, func(a string) weather { return weather{smtp: a} }},
	{"smtp", func(s *killStudio) string { return "127.0.0.1:" + s.sink.portText() }, func(a string) weather { return weather{smtp: a} }},
}

// linkTimeout is how long the disturbed runs wait for a silent server.
const linkTimeout = 500 * time.Millisecond

// TestChaosLinks breaks the connections to the inbox, to the clients'
// mailboxes and to the SMTP server: at each step of each, before the command
// arrives, before the answer does, and in the middle of it.
func TestChaosLinks(t *testing.T) {
	t.Parallel()
	for _, l := range links {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			day := time.Now().Truncate(time.Second)
			short := map[string]int{"inbox": 10, "probe": 4, "smtp": 5}[l.name]
			way := studioOptions{smtp: true}
			if l.name == "postfix" {
				if !chaosLong() {
					t.Skip("the long form has a real Postfix, this one a sink alone")
				}
				way = studioOptions{postfix: []string{bianchi, gallo, neri, rossi, verdi, "amministrazione@studio.example"}}
			}
			s := newKillStudioOver(t, "", day, 2000, way)
			p := faultproxy.Listen(t, l.target(s), faultproxy.Fault{})
			w := l.through(p.Addr())
			w.timeout = time.Minute
			want := s.undisturbed(w)
			faults := some(linkFaults(p), short)
			if len(faults) == 0 {
				t.Fatal("no faults to try")
			}
			faults = append(faults, slowLinks()...)
			hits, played := 0, 0
			// play tells whether the fault came.
			play := func(f faultproxy.Fault, timeout time.Duration) bool {
				played++
				before := s.prepare(played)
				p := faultproxy.Listen(t, l.target(s), f)
				w := l.through(p.Addr())
				w.timeout = timeout
				s.disturbed(w)
				p.Stop()
				s.recover(played, before)
				got := s.ending(played, before)
				if l.name == "probe" {
					want.text, got.text = withoutDetour(want.text), withoutDetour(got.text)
				}
				wantSame(t, fmt.Sprintf("%s: %+v", l.name, f), want, got)
				return p.Hit()
			}
			for _, f := range faults {
				timeout := linkTimeout
				if f.Kind == faultproxy.Latency {
					timeout = time.Minute
				}
				// A busy machine may give up before it comes to the fault.
				if play(f, timeout) || timeout == linkTimeout && play(f, 10*linkTimeout) {
					hits++
				}
			}
			t.Logf("%d of %d faults came", hits, len(faults))
			if hits < len(faults)*3/4 {
				t.Errorf("only %d of %d faults came", hits, len(faults))
			}
		})
	}
}

// withoutDetour leaves out by which way a password came to its state: one that
// could not be tried is kept unverified, and proven or refused by a later
// login, which is another line in the audit log and, where it is refused, one
// in the history.
func withoutDetour(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "audit service probe.") || strings.HasPrefix(line, "audit service credential.") || strings.Contains(line, "ended:refused by the provider") {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

// slowLinks are links on which everything takes long: two seconds for each
// answer, and one byte a second; in the short form a fraction of that.
func slowLinks() []faultproxy.Fault {
	latency, trickle := 60*time.Millisecond, 20*time.Millisecond
	if chaosLong() {
		latency, trickle = 2*time.Second, time.Second
	}
	return []faultproxy.Fault{
		{Kind: faultproxy.Latency, Side: faultproxy.Server, Flight: 1, Delay: latency},
		{Kind: faultproxy.Trickle, Side: faultproxy.Server, Flight: 3, Delay: trickle},
	}
}

// linkFaults lists faults for each step that a proxy has seen.
func linkFaults(p *faultproxy.Proxy) (all []faultproxy.Fault) {
	kinds := []faultproxy.Kind{faultproxy.Cut, faultproxy.Reset, faultproxy.HalfClose, faultproxy.BlackHole}
	for _, side := range []faultproxy.Side{faultproxy.Server, faultproxy.Client} {
		for c, flights := range p.Flights(side) {
			for i, n := range flights {
				for k, at := range []int{0, n / 2, n - 1} {
					if at == 0 && k > 0 {
						continue
					}
					kind := kinds[(c+i+k)%len(kinds)]
					all = append(all, faultproxy.Fault{Kind: kind, Side: side, Conn: c + 1, Flight: i + 1, Bytes: at})
					if chaosLong() && k < 2 && kind != faultproxy.Cut {
						all = append(all, faultproxy.Fault{Kind: faultproxy.Cut, Side: side, Conn: c + 1, Flight: i + 1, Bytes: at})
					}
				}
			}
		}
	}
	return all
}
