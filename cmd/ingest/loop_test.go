package main

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
)

// The closed loop: old submissions arrive, the clients are warned, the
// provider's signed receipts come back, and the states follow.

// The passwords of the loop's clients are so many days old.
var loopAges = map[string]int{rossi: 75, bianchi: 81, verdi: 85, neri: 89, viola: 91}

const (
	viola      = "viola@pec.gestore.example"
	violaEmail = "viola@posta.example"
)

// loop is a studio whose clients' passwords are as old as loopAges says.
type loop struct {
	*studio
	want []string // "to subject" of every warning that is due now, sorted
}

func newLoop(t *testing.T) *loop {
	t.Helper()
	l := &loop{studio: newStudio(t, studioOptions{smtp: true, clients: []string{rossi, bianchi, verdi, neri},
		users: []servertest.User{userOf(viola, "Vi0la-8x")}})}
	l.ok("client", "add", neri, "--lang", "en")
	l.ok("client", "add", viola, "--name", "Ditta viola", "--email", violaEmail)
	y, m, d := time.Now().In(rome()).Date()
	expires := map[string]time.Time{}
	var letters []pectest.Envelope
	for _, who := range []string{rossi, bianchi, verdi, neri, viola} {
		password := passwords[who]
		if who == viola {
			password = "Vi0la-8x"
		}
		e := l.submission(who, 0, password)
		e.SentAt = time.Date(y, m, d-loopAges[who], 10, 0, 0, 0, rome())
		e.Letter.Date = e.SentAt
		letters = append(letters, e)
		expires[who] = time.Date(y, m, d-loopAges[who]+90, 0, 0, 0, 0, time.UTC)
	}
	l.deliver(letters...)
	l.once(sum{Seen: 5, Accepted: 5})
	if got := l.sink.received(); len(got) != 0 {
		t.Fatalf("got %d mails before the warnings ran: letters of months ago are not answered", len(got))
	}
	expiring := func(who string) string {
		return who + " La password della PEC scade " + notify.DayWords(expires[who], "it") + ": " + who
	}
	expired := "La password della PEC è scaduta: " + viola
	l.want = []string{expiring(bianchi), expiring(verdi),
		neri + " Your PEC password expires on " + notify.DayWords(expires[neri], "en") + ": " + neri,
		viola + " " + expired, violaEmail + " " + expired}
	slices.Sort(l.want)
	return l
}

// sent lists "to subject" of the mails from the nth on.
func (l *loop) sent(from int) []string {
	l.t.Helper()
	list := []string{}
	for _, m := range l.sink.received()[from:] {
		list = append(list, m.To+" "+decodedSubject(l.t, m))
	}
	slices.Sort(list)
	return list
}

func (l *loop) wantSent(what string, from int) {
	l.t.Helper()
	if got := l.sent(from); !slices.Equal(got, l.want) {
		l.t.Errorf("%s: got mails\n  %s\nwant\n  %s", what, strings.Join(got, "\n  "), strings.Join(l.want, "\n  "))
	}
}

// decodedSubject is the subject as people read it.
func decodedSubject(t *testing.T, m sunk) string {
	t.Helper()
	s, err := new(mime.WordDecoder).DecodeHeader(m.Subject)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// receipt is a signed receipt for a mail that the provider took.
func (l *loop) receipt(m sunk, kind pec.Kind) pectest.Envelope {
	l.n++
	e := pectest.Envelope{Provider: l.genuine, Kind: kind, Sender: studioPEC, Recipients: []string{m.To}, Subject: "Ricevuta",
		SentAt: time.Now().Truncate(time.Second), MsgID: m.ID, Original: m.Raw,
		ID: fmt.Sprintf("opec%d.loop@pec.gestore.example", l.n), OwnID: fmt.Sprintf("opec%d.loopr@pec.gestore.example", l.n)}
	if strings.HasSuffix(m.To, "@posta.example") {
		e.Recipients, e.External = nil, []string{m.To}
	}
	switch kind {
	case pec.KindDelivery:
		e.Delivery, e.ReceiptType = m.To, "breve"
	case pec.KindDeliveryError:
		e.Delivery, e.ErrorType, e.ExtendedError = m.To, "no-dest", "5.1.1 - indirizzo non valido"
	}
	return e
}

// states gives "to state" of each message, sorted.
func (l *loop) states() string {
	l.t.Helper()
	var list []string
	for _, r := range l.rows("outbox", "list", "--all", "--json") {
		list = append(list, fmt.Sprintf("%v %v", r["to"], r["state"]))
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

func TestLoop(t *testing.T) {
	t.Parallel()
	l := newLoop(t)
	l.once(sum{}, "--warn")
	l.wantSent("first run", 0)
	mails := l.sink.received()
	for _, m := range mails {
		if !bytes.Contains(m.Raw, []byte("X-TipoRicevuta: breve\r\n")) {
			t.Errorf("%s: no brief delivery receipt is asked for", m.To)
		}
		for _, p := range append([]string{"Vi0la-8x"}, passwords[rossi], passwords[verdi]) {
			if bytes.Contains(m.Raw, []byte(p)) {
				t.Errorf("%s: a password is in the mail", m.To)
			}
		}
	}
	l.once(sum{}, "--warn")
	l.once(sum{}, "--warn")
	l.wantSent("run twice more", 0)

	// The provider answers; what it can't know of, a forger sends.
	to := map[string]sunk{}
	for _, m := range mails {
		to[m.To] = m
	}
	var all []pectest.Envelope
	for _, m := range mails {
		all = append(all, l.receipt(m, pec.KindAcceptance))
	}
	proof := l.receipt(to[bianchi], pec.KindDelivery)
	all = append(all, proof, l.receipt(to[verdi], pec.KindDelivery), l.receipt(to[neri], pec.KindDeliveryError))
	forged := l.receipt(to[viola], pec.KindDelivery)
	forged.Provider = pectest.NewAuthority("other").Provider(signerPEC, "GESTORE FALSO")
	l.deliver(append(all, forged)...)
	l.once(sum{Seen: len(all) + 1, Receipts: len(all), Ignored: 1})
	want := strings.Join([]string{bianchi + " delivered", neri + " failed", verdi + " delivered", viola + " accepted", violaEmail + " accepted"}, "\n")
	if got := l.states(); got != want {
		t.Errorf("states: got\n%s\nwant\n%s", got, want)
	}
	inbox := l.folder("INBOX")
	if len(inbox) != 1 || inbox[0] != idOf(forged) {
		t.Errorf("left in the inbox: got %v, want the forged receipt alone", inbox)
	}
	for _, r := range l.rows("outbox", "list", "--all", "--json") {
		next, _ := r["next"].(string)
		want := map[string]string{bianchi: "--receipt", neri: "outbox retry", viola: "delivery receipt is waited for", violaEmail: "ordinary mail"}[fmt.Sprint(r["to"])]
		if !strings.Contains(next, want) {
			t.Errorf("%v: what happens next: got %q, want %q in it", r["to"], next, want)
		}
		if r["to"] != bianchi {
			continue
		}
		file := filepath.Join(t.TempDir(), "receipt.eml")
		l.ok("outbox", "show", fmt.Sprint(r["n"]), "--receipt", file)
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, proof.Bytes()) {
			t.Errorf("the proof of delivery is not what the provider signed (%v)", err)
		}
	}
	l.once(sum{}, "--warn")
	l.wantSent("after the receipts", 0)
}

// TestLoopOutdated: what waits in the outbox while the server is away goes
// out only if it is still true.
func TestLoopOutdated(t *testing.T) {
	t.Parallel()
	l := newLoop(t)
	port := l.sink.portText()
	l.edit("port = "+port+"\nusername", "port = 1\nusername")
	l.run("once", "--warn") // nothing listens there
	if got := l.sink.received(); len(got) != 0 {
		t.Fatalf("got %d mails, want none", len(got))
	}
	l.edit("port = 1\nusername", "port = "+port+"\nusername")
	fresh := l.submission(verdi, 0, "N3w-ver8i")
	l.clients.SetPassword(verdi, "N3w-ver8i")
	l.deliver(fresh)
	l.once(sum{Seen: 1, Accepted: 1})
	l.inVault(func(tx *vault.Tx) error {
		open, err := tx.OpenOutgoing()
		for _, o := range open {
			o.NextAt = time.Time{}
			err = errors.Join(err, tx.PutOutgoing(o))
		}
		return err
	})
	l.once(sum{})
	for _, line := range l.sent(0) {
		if strings.HasPrefix(line, verdi) && strings.Contains(line, "scade") {
			t.Errorf("the client was warned of a password that is replaced: %s", line)
		}
	}
	if got, want := len(l.sent(0)), len(l.want); got != want { // one warning less, one answer more
		t.Errorf("got %d mails, want %d:\n%s", got, want, strings.Join(l.sent(0), "\n"))
	}
}

// TestLoopKilled kills the run at every kill point of warning and sending: in
// the end each message has gone out once.
func TestLoopKilled(t *testing.T) {
	t.Parallel()
	program := buildKillable(t)
	l := newLoop(t)
	base, err := os.ReadFile(l.vaultPath())
	if err != nil {
		t.Fatal(err)
	}
	restore := func() int {
		if err := os.WriteFile(l.vaultPath(), base, 0o600); err != nil {
			t.Fatal(err)
		}
		return len(l.sink.received())
	}
	log := filepath.Join(t.TempDir(), "points")
	from := restore()
	l.killed(program, "PEC_INGEST_KILL_LOG="+log)
	l.wantSent("undisturbed", from)
	var points []string
	for _, p := range readPoints(t, log) {
		name, nth, _ := strings.Cut(p, ":")
		if nth != "2" && (strings.HasSuffix(name, "-warning") || strings.HasSuffix(name, "-send") || name == "before-dot") {
			points = append(points, p)
		}
	}
	if len(points) < 8 {
		t.Fatalf("got kill points %v, want those of warning and of sending", points)
	}
	for _, p := range points {
		from := restore()
		if !l.killed(program, "PEC_INGEST_KILL="+p) {
			t.Errorf("%s: the run was not killed", p)
		}
		l.settle(from)
		l.wantSent("killed at "+p, from)
	}

	from = restore()
	for _, p := range points { // again and again
		name, _, _ := strings.Cut(p, ":")
		l.killed(program, "PEC_INGEST_KILL="+name)
	}
	l.settle(from)
	l.wantSent("killed again and again", from)
}

// killed makes a run and tells whether it was killed.
func (l *loop) killed(program, env string) bool {
	l.t.Helper()
	cmd := exec.CommandContext(l.t.Context(), program, "--config", l.configPath(), "once", "--warn")
	cmd.Env = append(os.Environ(), env)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		l.imap.AwaitGone(studioPEC) // what the server was told last is done
		return true
	}
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", env, err, out)
	}
	return false
}

// settle does what is left: the provider's receipts come for what it took, an
// hour passes, and another run is made.
func (l *loop) settle(from int) {
	l.t.Helper()
	l.exits(exitOK, "once", "--warn")
	for _, m := range l.sink.received()[from:] {
		l.deliver(l.receipt(m, pec.KindAcceptance))
	}
	l.inVault(func(tx *vault.Tx) error {
		open, err := tx.OpenOutgoing()
		for _, o := range open {
			o.SentAt = o.SentAt.Add(-doubtTime)
			err = errors.Join(err, tx.PutOutgoing(o))
		}
		return err
	})
	l.exits(exitOK, "once", "--warn")
	for _, r := range l.rows("outbox", "list", "--json") {
		l.t.Errorf("left in the outbox: %v %v: %v", r["to"], r["state"], r["next"])
	}
}

// doubtTime is longer than an acceptance receipt is waited for.
const doubtTime = 61 * time.Minute
