package notify_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"

	"pec-ingest/internal/notify"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func load(t testing.TB, dir string) *notify.Templates {
	t.Helper()
	ts, err := notify.LoadTemplates(dir)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// goldens are the messages as clients get them; their texts are in
// testdata/golden, to be read and reviewed as texts.
func goldens() map[string]struct {
	kind notify.Kind
	data notify.Data
} {
	base := notify.Data{
		Lang: "it", Studio: notify.Studio{Name: "Studio Rossi", Phone: "051 000000", PEC: "studio@pec.it"},
		Client: "Bianchi S.r.l.", Mailbox: "bianchi@pec.it", Mailboxes: []string{"bianchi@pec.it"},
		Expires: day(2027, 2, 13), RemindFrom: day(2027, 2, 3), DaysLeft: 10, Provider: "Aruba PEC",
		Steps: []string{
			"Apra la pagina account.aruba.it/pec ed entri con l'indirizzo della Sua casella PEC e la password che usa sempre.",
			"Nel menu a sinistra scelga Sicurezza e poi Password per programmi di posta.",
			"Prema Genera nuova password, poi Copia.",
			"Incolli la password nel testo di una PEC e la invii allo studio.",
		},
		Postpone: []string{
			"Nella stessa pagina scelga di posticipare la scadenza.",
			"Scriva allo studio, con una PEC, che ha posticipato la scadenza e la nuova data.",
		},
	}
	with := func(f func(*notify.Data)) notify.Data { d := base; f(&d); return d }
	bare := notify.Data{Lang: "it", Studio: notify.Studio{Name: "Studio Rossi"}, Mailbox: "bianchi@pec.it", Expires: day(2027, 3, 1)}
	english := with(func(d *notify.Data) {
		d.Lang = "en"
		d.Steps = []string{"Open account.aruba.it/pec and sign in.", "Choose Sicurezza, then Password per programmi di posta.", "Paste the password into a PEC and send it to the studio."}
		d.Postpone = []string{"Choose to postpone the expiry.", "Tell the studio in a PEC."}
	})
	several := func(d *notify.Data) {
		d.Mailboxes = []string{"bianchi@pec.it", "bianchi2@pec.it", "neri@legalmail.it"}
		d.Items = []notify.Item{{Mailbox: "bianchi@pec.it", Expires: day(2027, 2, 13)}, {Mailbox: "bianchi2@pec.it", Expires: day(2027, 2, 15)},
			{Mailbox: "neri@legalmail.it", Expires: day(2027, 2, 16)}}
	}
	staff := []notify.Item{
		{Mailbox: "bianchi@pec.it", Client: "Bianchi S.r.l.", Phone: "051 111111", State: "due", Expires: day(2027, 2, 13), DaysLeft: 2},
		{Mailbox: "neri@pec.it", Client: "Neri", State: "expired", Expires: day(2027, 2, 8), DaysLeft: -3},
		{Mailbox: "verdi@pec.it", State: "broken", Expires: day(2027, 4, 1), Note: "il cliente ha detto di aver posticipato"},
	}
	type g = struct {
		kind notify.Kind
		data notify.Data
	}
	all := map[string]g{
		"it-accepted":            {notify.KindAccepted, base},
		"it-accepted-several":    {notify.KindAccepted, with(several)},
		"it-accepted-bare":       {notify.KindAccepted, bare},
		"it-refused":             {notify.KindRefused, base},
		"it-refused-bare":        {notify.KindRefused, bare},
		"it-refused-not-enabled": {notify.KindRefused, with(func(d *notify.Data) { d.Reason = notify.ReasonNotEnabled })},
		"it-review":              {notify.KindReview, base},
		"it-review-intended":     {notify.KindReview, with(func(d *notify.Data) { d.Reason = notify.ReasonIntended })},
		"it-review-picture":      {notify.KindReview, with(func(d *notify.Data) { d.Reason = notify.ReasonPicture })},
		"it-review-document":     {notify.KindReview, with(func(d *notify.Data) { d.Reason = notify.ReasonDocument })},
		"it-extension":           {notify.KindExtension, with(func(d *notify.Data) { d.Claimed = day(2027, 5, 14) })},
		"it-expiring":            {notify.KindExpiring, base},
		"it-expiring-bare":       {notify.KindExpiring, bare},
		"it-expiring-several":    {notify.KindExpiring, with(several)},
		"it-expired":             {notify.KindExpired, base},
		"it-expired-several":     {notify.KindExpired, with(several)},
		"it-broken":              {notify.KindBroken, base},
		"it-broken-several":      {notify.KindBroken, with(several)},
		"it-rejected":            {notify.KindRejected, with(func(d *notify.Data) { d.Reason = "la PEC è di un'altra casella." })},
		"it-not-certified":       {notify.KindNotCertified, base},
		"it-studio-warning":      {notify.KindStudioWarning, with(func(d *notify.Data) { d.Items = staff })},
		"it-studio-inbox":        {notify.KindStudioInbox, with(func(d *notify.Data) { d.Mailbox = "studio@pec.it" })},
		"it-studio-inbox-refused": {notify.KindStudioInbox, with(func(d *notify.Data) {
			d.Mailbox, d.Reason, d.Steps = "studio@pec.it", "refused", nil
		})},
		"it-digest": {notify.KindDigest, with(func(d *notify.Data) {
			d.Digest = notify.Digest{Day: day(2027, 2, 11), Call: staff[:1], Due: staff[:1], Expired: staff[1:2], Broken: staff[2:],
				Review:  []string{"12: rossi@pec.it, password in un'immagine, da ieri"},
				Refused: []string{"rossi@pec.it: firma non valida"}, Left: []string{"gialli@pec.it: contiene due documenti"},
				Undelivered: []string{"neri@pec.it: casella piena"}, Places: []string{"bianchi@pec.it: Outlook del titolare"},
				AuditHead: "3f2a9c", AuditSeq: 412}
		})},
		"it-alert": {notify.KindAlert, with(func(d *notify.Data) {
			d.Mailbox, d.Reason = "studio@pec.it", "inbox.refused"
		})},
	}
	for _, event := range []string{"smtp.refused", "inbox.outage", "oauth.lost", "probe.mass_refusal", "claims.refused", "backup.failed", "new.event"} {
		all["it-alert-"+event] = g{notify.KindAlert, with(func(d *notify.Data) {
			d.Mailbox, d.Reason, d.Detail = "studio@pec.it", event, "something new happened"
			if event == "oauth.lost" {
				d.Account = "microsoft"
			}
		})}
	}
	for name, one := range map[string]notify.Kind{"accepted": notify.KindAccepted, "refused": notify.KindRefused, "review": notify.KindReview,
		"extension": notify.KindExtension, "expiring": notify.KindExpiring, "expired": notify.KindExpired, "broken": notify.KindBroken,
		"rejected": notify.KindRejected, "not-certified": notify.KindNotCertified} {
		all["en-"+name] = g{one, english}
	}
	return all
}

func TestGolden(t *testing.T) {
	ts := load(t, "")
	for name, g := range goldens() {
		t.Run(name, func(t *testing.T) {
			r, err := ts.Render(g.kind, g.data)
			if err != nil {
				t.Fatal(err)
			}
			checkShape(t, g.data, g.kind, r)
			path := filepath.Join("testdata", "golden", name+".txt")
			got := "Subject: " + r.Subject + "\n\n" + r.Text
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v (go test ./internal/notify -update writes it)", err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// checkShape holds for every message.
func checkShape(t *testing.T, d notify.Data, kind notify.Kind, r notify.Rendered) {
	t.Helper()
	if strings.ContainsAny(r.Subject, "\r\n") || r.Subject == "" {
		t.Errorf("subject %q is not one line", r.Subject)
	}
	for _, line := range strings.Split(r.Text, "\n") {
		if utf8.RuneCountInString(line) > 76 && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("a line of %d columns: %q", utf8.RuneCountInString(line), line)
		}
	}
	for what, s := range map[string]string{"subject": r.Subject, "text": r.Text, "HTML": r.HTML} {
		if strings.Contains(s, "<no value>") || strings.Contains(s, "%!") || strings.Contains(s, "0001") || strings.Contains(s, "gennaio 1\n") {
			t.Errorf("%s shows a missing value:\n%s", what, s)
		}
	}
	if d.Studio.Phone != "" && !strings.Contains(r.Text, d.Studio.Phone) || !strings.Contains(r.Text, d.Studio.Name) {
		t.Errorf("the studio's name or phone is missing:\n%s", r.Text)
	}
	if kind != notify.KindDigest && kind != notify.KindAlert && len(d.Items) == 0 && !strings.Contains(r.Text, d.Mailbox) {
		t.Errorf("the mailbox is missing:\n%s", r.Text)
	}
	if got, want := words(htmlWords(t, r.HTML)), words(unnumbered(r.Text)); got != want {
		t.Errorf("HTML and text differ:\n%s\n%s", got, want)
	}
	if strings.Contains(r.HTML, "<a ") || strings.Contains(r.HTML, "<img") || strings.Contains(r.HTML, "http") {
		t.Errorf("HTML has links or pictures:\n%s", r.HTML)
	}
}

func words(s string) string { return strings.Join(strings.Fields(s), " ") }

// unnumbered takes the marks of list items away, which HTML has as tags.
func unnumbered(s string) string {
	var out []string
	for _, l := range strings.Split(s, "\n") {
		if head, rest, ok := strings.Cut(l, " "); ok && (head == "-" || len(head) <= 3 && strings.HasSuffix(head, ".") && strings.Trim(head, "0123456789.") == "") {
			l = rest
		}
		out = append(out, l)
	}
	return strings.Join(out, "\n")
}

// htmlWords is the text of a document's body, and proves that it parses with
// no more elements than the layout makes.
func htmlWords(t *testing.T, doc string) string {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(doc))
	var b strings.Builder
	body := false
	for {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			switch string(name) {
			case "body":
				body = true
			case "html", "head", "meta", "title", "p", "ol", "ul", "li", "strong", "br":
			default:
				t.Errorf("HTML has an element <%s>", name)
			}
			b.WriteByte(' ')
		case html.EndTagToken:
			b.WriteByte(' ')
		case html.TextToken:
			if body {
				b.Write(z.Text())
			}
		}
	}
}

// Text from outside can add neither lines nor markup nor header fields.
func TestHostileData(t *testing.T) {
	ts := load(t, "")
	evil := "x\r\nBcc: y@z.it\r\n\r\n1. <script>alert(1)</script>\u202e{{.Studio}}\x00 <img src=http://evil.example/>"
	d := notify.Data{Lang: evil, Client: evil, Mailbox: evil, Mailboxes: []string{evil, evil}, Provider: evil, Steps: []string{evil},
		Postpone: []string{evil}, Reason: evil, Studio: notify.Studio{Name: evil, Phone: evil, PEC: evil}, Items: []notify.Item{{Mailbox: evil, Client: evil, Phone: evil, State: evil, Note: evil}},
		Digest: notify.Digest{Review: []string{evil}, AuditHead: evil, Call: []notify.Item{{Mailbox: evil}}}}
	for _, k := range notify.Kinds() {
		r, err := ts.Render(k, d)
		if err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		if strings.ContainsAny(r.Subject, "\r\n") || len(r.Subject) > 1000 {
			t.Errorf("%s: subject %q", k, r.Subject)
		}
		if strings.Contains(r.HTML, "<script") || strings.Contains(r.HTML, "<img") {
			t.Errorf("%s: markup came through:\n%s", k, r.HTML)
		}
		htmlWords(t, r.HTML)
		for _, l := range strings.Split(r.Text, "\n") {
			if strings.HasPrefix(l, "Bcc:") && !strings.Contains(r.Text, "x Bcc:") {
				t.Errorf("%s: a line of its own: %q", k, l)
			}
		}
		if strings.ContainsAny(r.Text+r.HTML+r.Subject, "\x00\u202e\r") {
			t.Errorf("%s: control characters came through", k)
		}
	}
}

func TestOverride(t *testing.T) {
	write := func(t *testing.T, name, text string) string {
		t.Helper()
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	d := notify.Data{Lang: "it", Mailbox: "rossi@pec.it", Studio: notify.Studio{Name: "Studio"}}

	t.Run("one text", func(t *testing.T) {
		ts := load(t, write(t, "it/accepted.txt", "\ufeffSubject: Fatto\r\n\r\nVa bene, {{.Mailbox}}.\r\n"))
		r, err := ts.Render(notify.KindAccepted, d)
		if err != nil || r.Subject != "Fatto" || r.Text != "Va bene, rossi@pec.it.\n" {
			t.Errorf("got %+v, %v", r, err)
		}
		d := d
		d.Lang = "en"
		if r, err := ts.Render(notify.KindAccepted, d); err != nil || !strings.Contains(r.Subject, "working") {
			t.Errorf("English: got %q, %v, want the built-in text", r.Subject, err)
		}
	})
	t.Run("the shared parts", func(t *testing.T) {
		ts := load(t, write(t, "it/_shared.txt", `{{define "closing"}}Saluti da {{.Studio.Name}}{{end}}`))
		r, err := ts.Render(notify.KindAccepted, d)
		if err != nil || !strings.Contains(r.Text, "Saluti da Studio") || !strings.Contains(r.Text, "casella rossi@pec.it") {
			t.Errorf("got %+v, %v, want the own closing and the built-in rest", r, err)
		}
	})

	bad := map[string]struct{ name, text, want string }{
		"unknown field":                   {"it/accepted.txt", "Subject: x\n\n{{.Passwort}}", ".Passwort"},
		"unknown field, branch not taken": {"it/accepted.txt", "Subject: x\n\nx{{if eq .Reason \"never\"}}{{.Nope}}{{end}}", ".Nope"},
		"unknown field in a list":         {"it/expiring.txt", "Subject: x\n\nx{{range .Items}}{{.Nope}}{{end}}", ".Nope"},
		"field of the wrong level":        {"it/expiring.txt", "Subject: x\n\nx{{range .Items}}{{.Steps}}{{end}}", ".Steps"},
		"unknown field of a field":        {"it/accepted.txt", "Subject: x\n\n{{.Studio.Fax}}", ".Fax"},
		"unknown field of the root":       {"it/expiring.txt", "Subject: x\n\nx{{range .Items}}{{$.Nope}}{{end}}", ".Nope"},
		"unknown field in with":           {"it/accepted.txt", "Subject: x\n\nx{{with .Studio}}{{.Mailbox}}{{end}}", ".Mailbox"},
		"unknown field in a shared part":  {"it/_shared.txt", `{{define "closing"}}{{.Nope}}{{end}}`, ".Nope"},
		"unknown function":                {"it/accepted.txt", "Subject: x\n\n{{shout .Mailbox}}", "shout"},
		"unknown part":                    {"it/accepted.txt", "Subject: x\n\n{{template \"nope\" .}}", "nope"},
		"not closed":                      {"it/accepted.txt", "Subject: x\n\n{{if .Mailbox}}x", "accepted"},
		"no subject":                      {"it/accepted.txt", "Ciao\n\nx", "Subject"},
		"empty subject":                   {"it/accepted.txt", "Subject: {{with .Reason}}{{end}}\n\nx", "Subject"},
		"no body":                         {"it/accepted.txt", "Subject: x\n", "no text"},
		"no such message":                 {"it/acepted.txt", "Subject: x\n\nx", "acepted.txt"},
		"too large":                       {"it/accepted.txt", strings.Repeat("x", 65<<10), "larger"},
	}
	for name, tt := range bad {
		t.Run(name, func(t *testing.T) {
			ts, err := notify.LoadTemplates(write(t, tt.name, tt.text))
			if !errors.Is(err, notify.ErrTemplate) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want ErrTemplate naming %q", err, tt.want)
			}
			if ts != nil && err == nil {
				t.Error("got templates")
			}
		})
	}
	t.Run("no such folder", func(t *testing.T) {
		if _, err := notify.LoadTemplates(filepath.Join(t.TempDir(), "none")); !errors.Is(err, notify.ErrTemplate) {
			t.Errorf("got %v, want ErrTemplate", err)
		}
	})
	t.Run("an editor's copies", func(t *testing.T) { load(t, write(t, "it/accepted.txt~", "junk {{")) })
}

func TestRenderUnknown(t *testing.T) {
	ts := load(t, "")
	for _, k := range []notify.Kind{"", "nope", "_shared", "closing", "it"} {
		if r, err := ts.Render(k, notify.Data{}); !errors.Is(err, notify.ErrUnknownKind) {
			t.Errorf("%q: got %q, %v, want ErrUnknownKind", k, r.Subject, err)
		}
	}
	// An unknown language is Italian.
	r, err := ts.Render(notify.KindAccepted, notify.Data{Lang: "de", Mailbox: "x@pec.it"})
	if err != nil || !strings.Contains(r.Text, "Buongiorno") {
		t.Errorf("got %q, %v, want Italian", r.Text, err)
	}
}

func TestDayWords(t *testing.T) {
	tests := map[time.Time][2]string{
		day(2026, 7, 15): {"mercoledì 15 luglio 2026", "Wednesday 15 July 2026"},
		day(2027, 3, 1):  {"lunedì 1º marzo 2027", "Monday 1 March 2027"},
		day(2027, 2, 28): {"domenica 28 febbraio 2027", "Sunday 28 February 2027"},
		day(2026, 8, 8):  {"sabato 8 agosto 2026", "Saturday 8 August 2026"},
	}
	for d, want := range tests {
		if it, en := notify.DayWords(d, "it"), notify.DayWords(d, "en"); it != want[0] || en != want[1] {
			t.Errorf("got %q and %q, want %q", it, en, want)
		}
	}
	for m := time.January; m <= time.December; m++ {
		for d := 1; d <= 7; d++ {
			if s := notify.DayWords(day(2027, m, d), "it"); len(strings.Fields(s)) != 4 {
				t.Errorf("%v %d: got %q", m, d, s)
			}
		}
	}
}

func TestDigestEmpty(t *testing.T) {
	if !(notify.Digest{Day: day(2026, 1, 2), AuditHead: "x", AuditSeq: 3}).Empty() {
		t.Error("a digest with the audit's head alone is not empty")
	}
	for i, d := range []notify.Digest{{Call: make([]notify.Item, 1)}, {Due: make([]notify.Item, 1)}, {Expired: make([]notify.Item, 1)},
		{Broken: make([]notify.Item, 1)}, {Review: []string{"x"}}, {Refused: []string{"x"}}, {Left: []string{"x"}},
		{Undelivered: []string{"x"}}, {Places: []string{"x"}}, {Notes: []string{"x"}}} {
		if d.Empty() {
			t.Errorf("digest %d is empty", i)
		}
	}
}

func ExampleDayWords() {
	fmt.Println(notify.DayWords(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), "it"))
	// Output: mercoledì 1º aprile 2026
}

func FuzzOverride(f *testing.F) {
	f.Add("Subject: x\n\n{{.Mailbox}}{{range .Items}}{{.Mailbox}}{{end}}")
	f.Add("Subject: {{day .Expires}}\n\n{{with .Studio}}{{.Name}}{{end}}{{template \"closing\" .}}")
	f.Add("{{define \"closing\"}}{{end}}Subject: x\n\n- a\n1. b\n! c")
	f.Add("{{$x := .Steps}}{{$x.Foo}}{{(.Studio).Name}}{{(index .Items 0).Mailbox.Foo}}")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "template") || strings.Contains(text, "printf") {
			return // may recurse or print without bound: the file is the studio's own
		}
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "it"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "it", "accepted.txt"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		ts, err := notify.LoadTemplates(dir)
		if err != nil {
			if !errors.Is(err, notify.ErrTemplate) {
				t.Errorf("got %v, want ErrTemplate", err)
			}
			return
		}
		r, err := ts.Render(notify.KindAccepted, notify.Data{Mailbox: "a@pec.it"})
		if err == nil && (r.Subject == "" || r.Text == "" || strings.ContainsAny(r.Subject, "\r\n")) {
			t.Errorf("got %+v", r)
		}
	})
}
