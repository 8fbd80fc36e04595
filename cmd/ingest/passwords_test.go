package main

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/pectest"
	"pec-ingest/internal/vault"
)

// keysOf are an object's keys, sorted.
func keysOf(row map[string]any) string {
	return strings.Join(slices.Sorted(maps.Keys(row)), " ")
}

// An unreachable provider says nothing about a password: it is accepted,
// unverified, and the proven one stays in use until the new one is proven.
func TestUnverifiedUntilProven(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{apart: true, smtp: true})
	s.deliver(s.submission(rossi, 60, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.wantState(rossi, "valid", 1.0)

	s.clients.Stop()
	e, first := s.submission(rossi, 3, "nuova77Kx"), s.submission(bianchi, 3, passwords[bianchi])
	s.deliver(e, first)
	s.once(sum{Seen: 2, Accepted: 2})
	s.wantState(rossi, "unverified", 2.0)
	s.wantGet(rossi, passwords[rossi]) // the last proven one
	s.wantGet(bianchi, passwords[bianchi])
	s.wantState(bianchi, "unverified", 1.0)
	check, _ := s.status(rossi)["last_check"].(map[string]any)
	if check["result"] != "network" || check["trouble_since"] == nil {
		t.Errorf("last check: got %v, want network and since when", check)
	}
	// Nobody is told that it works before it does.
	replies := len(s.sink.received())

	// At once, nothing is tried again; later, it is.
	s.clients.Start()
	s.clients.SetPassword(rossi, "nuova77Kx")
	s.once(sum{})
	s.wantState(rossi, "unverified", 2.0)
	s.hoursLater(rossi, 1)
	s.hoursLater(bianchi, 1)
	s.once(sum{})
	s.wantState(rossi, "valid", 2.0)
	s.wantState(bianchi, "valid", 1.0)
	s.wantGet(rossi, "nuova77Kx")
	if got, want := s.history(rossi), "1 superseded, 2 proven*"; got != want {
		t.Errorf("history: got %q, want %q", got, want)
	}
	s.wantLogins(rossi, 2, 0)
	s.wantLogins(bianchi, 1, 0)
	if got := len(s.sink.received()) - replies; got != 2 {
		t.Errorf("got %d replies after the proof, want 2", got)
	}
	if check, _ := s.status(rossi)["last_check"].(map[string]any); keysOf(check) != "at result" || check["result"] != "accepted" {
		t.Errorf("last check: got %v", check)
	}
}

// A password that never could be tried ends when a newer one comes, as one that
// was: it is handed out no more, and its secret is destroyed in its time.
func TestUnverifiedReplaced(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{apart: true})
	s.clients.Stop()
	s.deliver(s.submission(rossi, 60, "vecchia55Q"))
	s.once(sum{Seen: 1, Accepted: 1})
	s.deliver(s.submission(rossi, 3, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	if got, want := s.history(rossi), "1 superseded, 2 unverified*"; got != want {
		t.Errorf("history: got %q, want %q", got, want)
	}
	s.wantGet(rossi, passwords[rossi])
	s.clients.Start()
	s.hoursLater(rossi, 1)
	s.once(sum{})
	s.wantState(rossi, "valid", 2.0)
	if got, want := s.history(rossi), "1 superseded, 2 proven*"; got != want {
		t.Errorf("history: got %q, want %q", got, want)
	}
	s.wantLogins(rossi, 1, 0)
}

// An argument that is there and empty is a script's variable without a value:
// never all mailboxes, and never the only one.
func TestEmptyArgument(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	s.deliver(s.submission(rossi, 3, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	for _, args := range [][]string{
		{"get", ""}, {"get", "--json", ""}, {"status", ""}, {"history", ""}, {"set", ""}, {"use", "", "1"}, {"report", "", "--refused"},
		{"profile", "", "--for", "isync"}, {"client", "remove", ""}, {"client", "export", ""}, {"otp", "get", ""},
	} {
		if r := s.exits(exitUsage, args...); r.stdout != "" {
			t.Errorf("%q printed %q", args, r.stdout)
		}
	}
}

// An unverified password that turns out to be refused is erased; the one
// before it counts again.
func TestUnverifiedThenRefused(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{apart: true})
	s.deliver(s.submission(rossi, 60, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.clients.Stop()
	s.deliver(s.submission(rossi, 3, "sbagliata7"), s.submission(bianchi, 3, "sbagliata8"))
	s.once(sum{Seen: 2, Accepted: 2})
	s.clients.Start()
	s.hoursLater(rossi, 1)
	s.hoursLater(bianchi, 1)
	s.once(sum{})
	s.wantState(rossi, "valid", 1.0)
	s.wantGet(rossi, passwords[rossi])
	s.wantState(bianchi, "missing", nil)
	s.exits(exitNotFound, "get", bianchi)
	s.wantLogins(bianchi, 0, 1)
	s.hoursLater(bianchi, 48)
	s.nextDay(bianchi)
	s.once(sum{}) // closed: not tried again, ever
	s.wantLogins(bianchi, 0, 1)
	if got, want := s.history(rossi), "1 proven*, 2 refused"; got != want {
		t.Errorf("history: got %q, want %q", got, want)
	}
}

// A proven password that is refused is broken: handed out no more, tried no
// more, until there is a new one.
func TestBroken(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{apart: true})
	s.deliver(s.submission(rossi, 60, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.clients.SetPassword(rossi, "nuova77Kx")
	s.nextDay(rossi)
	s.once(sum{})
	s.wantState(rossi, "broken", 1.0)
	if r := s.exits(exitNeedsPerson, "get", rossi); r.stdout != "" {
		t.Errorf("get of a broken password printed %q", r.stdout)
	}
	if got, want := s.history(rossi), "1 broken*"; got != want {
		t.Errorf("history: got %q, want %q", got, want)
	}
	s.nextDay(rossi)
	s.once(sum{})
	s.wantLogins(rossi, 1, 1)

	// A new one that can't be tried yet: the broken one is not handed out
	// in its place.
	s.clients.Stop()
	s.deliver(s.submission(rossi, 2, "nuova77Kx"))
	s.once(sum{Seen: 1, Accepted: 1})
	s.wantState(rossi, "unverified", 2.0)
	s.wantGet(rossi, "nuova77Kx")
	s.clients.Start()
	s.hoursLater(rossi, 1)
	s.once(sum{})
	s.wantState(rossi, "valid", 2.0)
	s.wantLogins(rossi, 2, 1)
}

// A broken one stays broken when the unverified one after it is refused too.
func TestBrokenThenRefused(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{apart: true})
	s.deliver(s.submission(rossi, 60, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.clients.SetPassword(rossi, "nuova77Kx")
	s.nextDay(rossi)
	s.once(sum{})
	s.clients.Stop()
	s.deliver(s.submission(rossi, 2, "sbagliata7"))
	s.once(sum{Seen: 1, Accepted: 1})
	s.clients.Start()
	s.hoursLater(rossi, 1)
	s.once(sum{})
	s.wantState(rossi, "broken", 1.0)
	s.exits(exitNeedsPerson, "get", rossi)
	s.nextDay(rossi)
	s.once(sum{})
	s.wantLogins(rossi, 1, 2)
}

// A provider that refuses everybody is out of order: nothing is concluded
// from it, no client is written to, and it is not asked again at every pass.
func TestProviderRefusesAll(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{apart: true, smtp: true})
	all := []string{bianchi, rossi, verdi}

	// New passwords: a person decides.
	for i, m := range all {
		s.deliver(s.submission(m, 30, "sbagliata7"+string(rune('a'+i))))
	}
	s.once(sum{Seen: 3, Review: 3})
	for _, m := range all {
		s.wantState(m, "missing", nil)
		s.wantLogins(m, 0, 1)
	}

	// Stored ones: each stays what it was.
	s.clients.Stop()
	for i, m := range all {
		s.deliver(s.submission(m, 3, "sbagliata8"+string(rune('a'+i))))
	}
	s.once(sum{Seen: 3, Accepted: 3})
	s.clients.Start()
	for _, m := range all {
		s.hoursLater(m, 1)
	}
	sent := len(s.sink.received())
	r := s.exits(exitOK, "once", "--json")
	if !strings.Contains(r.stderr, "event=probe.mass_refusal") {
		t.Errorf("the studio is not alerted: %s", r)
	}
	for _, m := range all {
		s.wantState(m, "unverified", 1.0)
		s.wantLogins(m, 0, 2)
	}
	s.once(sum{})
	for _, m := range all {
		s.wantLogins(m, 0, 2)
	}
	if got := len(s.sink.received()); got != sent {
		t.Errorf("%d clients were written to", got-sent)
	}
}

// States follow the date; what is expired is still handed out.
func TestStatesAndWarnings(t *testing.T) {
	t.Parallel()
	// Days so far apart that no holidays bring the next one forward.
	s := newStudio(t, studioOptions{smtp: true, config: func(c string) string {
		return c + "[warnings]\ndays_before = [10, 5]\nto_studio = [\"amministrazione@studio.example\"]\n"
	}})
	s.deliver(s.submission(rossi, 24, passwords[rossi]), s.submission(bianchi, 24*85, passwords[bianchi]),
		s.submission(verdi, 24*95, passwords[verdi]))
	s.once(sum{Seen: 3, Accepted: 3})
	s.wantState(rossi, "valid", 1.0)
	s.wantState(bianchi, "due", 1.0)
	s.wantState(verdi, "expired", 1.0)
	s.wantGet(verdi, passwords[verdi])
	s.wantState(neri, "missing", nil)

	rows := s.rows("status", "--json")
	var mailboxes []string
	const keys = "claimed_until client days_left expires_at last_check login mailbox next_warning_at provider received_at state version"
	for _, r := range rows {
		mailboxes = append(mailboxes, r["mailbox"].(string))
		if got := keysOf(r); got != keys {
			t.Errorf("status --json of %s: got keys %q, want %q", r["mailbox"], got, keys)
		}
	}
	if want := []string{bianchi, neri, rossi, verdi}; !slices.Equal(mailboxes, want) {
		t.Errorf("status --json: got %v, want %v", mailboxes, want)
	}
	row := s.status(bianchi)
	received := s.ago(85 * 24).UTC().Format(time.RFC3339)
	for key, want := range map[string]any{"login": bianchi, "client": "Ditta bianchi", "provider": "prova",
		"received_at": received, "expires_at": date(5, time.DateOnly), "days_left": 5.0, "claimed_until": nil} {
		if row[key] != want {
			t.Errorf("status of %s: %s: got %v, want %v", bianchi, key, row[key], want)
		}
	}
	if left := s.status(verdi)["days_left"]; left != -5.0 {
		t.Errorf("days left of an expired one: got %v, want -5", left)
	}
	if missing := s.status(neri); missing["login"] != neri || missing["last_check"] != nil || missing["expires_at"] != nil {
		t.Errorf("status of a missing one: got %v", missing)
	}
	if out := s.ok("status"); strings.Count(out, "\n") != 5 {
		t.Errorf("status table: got %q, want a header and 4 rows", out)
	}
	s.exits(exitNotFound, "status", "nessuno@pec.gestore.example")

	// What the warnings run would send, and then sends, once.
	due := s.rows("due", "--json")
	if len(due) != 2 || due[0]["mailbox"] != bianchi || due[0]["threshold"] != "5" || due[1]["mailbox"] != verdi || due[1]["threshold"] != "expired" {
		t.Errorf("due: got %v, want %s at 5 days and %s expired", due, bianchi, verdi)
	}
	next, err := time.Parse(time.RFC3339, s.status(rossi)["next_warning_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	on := s.rows("due", "--json", "--on", next.Format(time.DateOnly))
	if !slices.ContainsFunc(on, func(r map[string]any) bool { return r["mailbox"] == rossi && r["threshold"] == "10" }) {
		t.Errorf("due --on the day of the next warning, %v: got %v, want %s at 10 days", next, on, rossi)
	}
	s.exits(exitUsage, "due", "--on", "domani")
	replies := len(s.sink.received())
	if replies != 1 { // only the letter of yesterday is answered
		t.Errorf("got %d replies, want 1", replies)
	}
	s.once(sum{}) // not by itself: on a fresh vault the schedule has not come up yet
	if got := len(s.sink.received()); got != replies {
		t.Errorf("a pass without --warn on a fresh vault sent %d warnings", got-replies)
	}
	s.once(sum{}, "--warn")
	var to []string
	for _, m := range s.sink.received()[replies:] {
		to = append(to, m.To)
	}
	slices.Sort(to)
	want := []string{bianchi, verdi}
	if worksToday() {
		want = append([]string{"amministrazione@studio.example"}, want...)
	}
	if !slices.Equal(to, want) {
		t.Errorf("--warn: got mails to %v, want %v", to, want)
	}
	sent := len(s.sink.received())
	s.once(sum{}, "--warn")
	if got := len(s.sink.received()); got != sent {
		t.Errorf("a second --warn sent %d more", got-sent)
	}
	if due := s.rows("due", "--json"); len(due) != 0 {
		t.Errorf("due after the warnings: got %v", due)
	}
}

func TestGetSetUse(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	s.exits(exitNotFound, "get", "nessuno@pec.gestore.example")
	if r := s.exits(exitNotFound, "get", rossi); r.stdout != "" {
		t.Errorf("get of a missing password printed %q", r.stdout)
	}
	// Only the verified signer, or a person, says where a mailbox is.
	if r := s.runWith(passwords[rossi]+"\n", "set", rossi); r.code != exitNeedsPerson {
		t.Errorf("set without a known server: got %s, want exit 4", r)
	}
	s.ok("client", "add", rossi, "--provider", "prova")

	r := s.runWith(passwords[rossi]+"\n", "set", rossi, "--source", "telefono", "--expires", date(30, time.DateOnly), "--json")
	if r.code != exitOK {
		t.Fatalf("set: %s", r)
	}
	var set map[string]any
	decode(t, r.stdout, &set)
	if set["version"] != 1.0 || set["expires_at"] != date(30, time.DateOnly) || set["probe"] != "accepted" {
		t.Errorf("set --json: got %v", set)
	}
	s.wantGet(rossi, passwords[rossi])
	s.wantGet("Rossi@PEC.gestore.example", passwords[rossi])
	var got map[string]any
	decode(t, s.ok("get", rossi, "--json"), &got)
	if keysOf(got) != "expires_at login mailbox password state version" || got["password"] != passwords[rossi] {
		t.Errorf("get --json: got %v", got)
	}

	// Refused: not stored, one login.
	if r := s.runWith("sbagliata7", "set", rossi); r.code != exitFailed || strings.Contains(r.stderr+r.stdout, "sbagliata7") {
		t.Errorf("set of a refused password: got %s", r)
	}
	s.wantGet(rossi, passwords[rossi])
	s.wantLogins(rossi, 1, 1)

	// A newer one, and back.
	s.imap.SetPassword(rossi, "seconda88")
	if r := s.runWith("seconda88\n", "set", rossi); r.code != exitOK {
		t.Fatalf("set: %s", r)
	}
	s.wantGet(rossi, "seconda88")
	if r := s.exits(exitFailed, "use", rossi, "1"); !strings.Contains(r.stderr, "refuse") {
		t.Errorf("use of a version that is refused: got %s", r)
	}
	s.wantGet(rossi, "seconda88")
	s.imap.SetPassword(rossi, passwords[rossi])
	s.ok("use", rossi, "1")
	s.wantGet(rossi, passwords[rossi])
	if got, want := s.history(rossi), "1 proven*, 2 superseded"; got != want {
		t.Errorf("history: got %q, want %q", got, want)
	}
	s.exits(exitNotFound, "use", rossi, "9")
	s.exits(exitNotFound, "history", "nessuno@pec.gestore.example")

	for _, bad := range [][]string{{"", "set", rossi}, {"a\nb\n", "set", rossi}, {"x", "set", rossi, "--expires", "domani"},
		{"x", "set", rossi, "--expires", date(-1, time.DateOnly)}, {"x", "set", rossi, "--expires", date(400, time.DateOnly)}} {
		if r := s.runWith(bad[0], bad[1:]...); r.code != exitUsage {
			t.Errorf("set %q with %q on stdin: got %s, want exit 2", bad[1:], bad[0], r)
		}
	}
	if r := s.runWith("x", "set", "nessuno@pec.gestore.example"); r.code != exitNotFound {
		t.Errorf("set of an unknown mailbox: got %s, want exit 3", r)
	}
	// Each reading is in the audit log; the same reader, version and day is
	// one entry. Two versions were read here.
	reads := map[any]int{}
	for _, e := range s.rows("audit", "--json") {
		if e["event"] == vault.EventRead {
			reads[e["version"]]++
		}
	}
	if reads[1.0] != 1 || reads[2.0] != 1 || len(reads) != 2 {
		t.Errorf("readings in the audit log by version: got %v, want one of each of 1 and 2", reads)
	}
	s.ok("audit", "--verify")
}

func TestClients(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	csv := "mailbox;name;provider;phone\nROSSI@pec.gestore.example;Mario Rossi;prova;051 1\n" + bianchi + ";Bianchi S.r.l.;prova;051 2\n"
	file := filepath.Join(s.dir, "clients.csv")
	s.write("clients.csv", csv, 0o600)
	before := s.ok("client", "list", "--json")
	s.ok("client", "import", "--dry-run", file)
	if got := s.ok("client", "list", "--json"); got != before {
		t.Errorf("import --dry-run changed the clients:\n%s", got)
	}
	s.ok("client", "import", file)
	rows := s.rows("client", "list", "--json")
	if len(rows) != 2 || rows[0]["name"] != "Bianchi S.r.l." || rows[1]["name"] != "Mario Rossi" {
		t.Errorf("clients: got %v", rows)
	}
	after := s.ok("audit", "--json")
	s.ok("client", "import", file)
	if s.ok("audit", "--json") != after {
		t.Error("importing the same again changed something")
	}
	s.exits(exitUsage, "client", "add", "non un indirizzo")
	s.exits(exitUsage, "client", "add", studioPEC)

	s.deliver(s.submission(rossi, 3, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.ok("client", "export", rossi)
	s.ok("client", "remove", rossi)
	s.exits(exitNotFound, "get", rossi)
	s.exits(exitNotFound, "status", rossi)
	s.exits(exitNotFound, "client", "remove", rossi)
	// The tombstone stays: what was, without secrets.
	for _, v := range s.rows("history", "--json", rossi) {
		if v["has_secret"] != false {
			t.Errorf("a removed client's secret is still there: %v", v)
		}
	}
	s.nextDay(rossi)
	s.deliver(s.submission(rossi, 1, passwords[rossi]))
	s.once(sum{Seen: 1, Review: 1}) // a stranger again
	s.wantLogins(rossi, 1, 0)
}

// The date was postponed: the password stays, the claim is kept.
func TestExtension(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	e := s.letter(rossi, 1, "Prorogata la password per programmi di posta",
		"Buongiorno,\nho prorogato la password per programmi di posta, la nuova scadenza è il "+date(95, "02/01/2006")+".\nSaluti\n")
	s.deliver(s.submission(rossi, 24*85, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.deliver(e)
	s.once(sum{Seen: 1, Extended: 1})
	row := s.status(rossi)
	if row["claimed_until"] != date(95, time.DateOnly) || row["expires_at"] != date(5, time.DateOnly) || row["version"] != 1.0 {
		t.Errorf("after a postponement: got %v", row)
	}
	s.wantGet(rossi, passwords[rossi])
	s.wantLogins(rossi, 1, 0)
	if got := s.folder("INBOX"); len(got) != 0 {
		t.Errorf("inbox: got %v, want nothing", got)
	}
}

// One ambiguous letter is decided by the probe, best candidate first; several
// are a matter for a person.
func TestAmbiguous(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	either := func(from string, hoursAgo float64, password string) pectest.Envelope {
		return s.letter(from, hoursAgo, "password posta", "Buongiorno,\nla password per programmi di posta è Ab3dEf9h oppure "+password+"\nSaluti\n")
	}
	s.deliver(either(rossi, 1, passwords[rossi]), either(bianchi, 2, passwords[bianchi]), either(bianchi, 1, "Cd4eFg8i"))
	s.once(sum{Seen: 3, Accepted: 1, Review: 2})
	s.wantGet(rossi, passwords[rossi])
	s.wantLogins(rossi, 1, 1)
	s.wantLogins(bianchi, 0, 0)
	s.wantState(bianchi, "missing", nil)
	if got, want := strings.Join(s.reviews(), ", "), "1 "+bianchi+" ambiguous, 2 "+bianchi+" ambiguous"; got != want {
		t.Fatalf("reviews: got %q, want %q", got, want)
	}
	// The person picks one; the other is put aside.
	s.ok("review", "approve", "1", "--candidate", "2")
	s.ok("review", "reject", "2")
	s.wantGet(bianchi, passwords[bianchi])
	s.wantLogins(bianchi, 1, 0)
	s.once(sum{})
	if got := s.folder("INBOX"); len(got) != 0 {
		t.Errorf("inbox: got %v, want nothing", got)
	}
}
