package page_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"sync"
	"time"

	"pec-ingest/internal/schedule"
	"pec-ingest/internal/web/page"
)

// fake is a Source without a service. What it was asked to do is in did.
type fake struct {
	boxes []page.Mailbox

	mu      sync.Mutex
	reviews []page.Review
	did     []string
	fail    error // of whatever changes something
	chain   error
	letter  string
	subject string
	files   map[int]fakeFile
	entered page.Entry
	stored  page.Stored
	locked  bool // Standing as of a service in trouble
	entries []page.AuditEntry
	asked   page.AuditQuery
}

type fakeFile struct {
	info page.FileInfo
	data []byte
}

// today is the studio's day.
func today() time.Time { return schedule.Policy{}.Today(time.Now()) }

// boxes makes n mailboxes in all states.
func boxes(n int) []page.Mailbox {
	states := []string{"valid", "due", "expired", "broken", "unverified", "missing", "valid", "valid"}
	names := []string{"Bianchi Arredamenti S.r.l.", "Anna Verdi", "Officine Meccaniche Ferraris & Figli S.n.c.", "Panificio Gallo", "Studio Neri", "Elena Conti", "Mario Rossi", "Trattoria da Piero"}
	list := make([]page.Mailbox, 0, n)
	for i := range n {
		m := page.Mailbox{Address: fmt.Sprintf("cliente%04d@pec.example", i), Client: fmt.Sprintf("%s %d", names[i%len(names)], i),
			Provider: "aruba-pec", State: states[i%len(states)]}
		m.Login = m.Address
		if i%10 == 4 {
			m.Login = fmt.Sprintf("UT%06d", i)
		}
		if m.State != "missing" {
			left := map[string]int{"valid": 15 + (i*7)%70, "due": 5, "expired": -3, "broken": 40, "unverified": 88}[m.State]
			m.Version, m.DaysLeft, m.Expires = 1+i%4, left, today().AddDate(0, 0, left)
			m.Issued = m.Expires.AddDate(0, 0, -90)
			m.RenewOn = m.Issued.AddDate(0, 0, 80)
			m.Checked, m.CheckResult = time.Now().Add(-time.Hour), "accepted"
			m.NextWarning = time.Now().AddDate(0, 0, 3)
			switch m.State {
			case "broken":
				m.CheckResult = "refused"
			case "unverified":
				m.CheckResult, m.TroubleSince = "network", time.Now().Add(-7*time.Hour)
			case "due":
				m.Claimed = m.Expires.AddDate(0, 0, 90)
			}
		}
		list = append(list, m)
	}
	return list
}

func newFake(n int) *fake {
	f := &fake{boxes: boxes(n), subject: "nuova password", stored: page.Stored{Mailbox: "cliente0001@pec.example", Version: 3, State: "proven", Confirmed: true}}
	f.letter = "Da: cliente0001@pec.example\nData: 21/11/2026 16:58\nOggetto: nuova password\n\nBuongiorno,\nla password per programmi di posta è [1: ••••••••]\noppure [2: ••••••••••], non ▒▒▒ bene quale.\n\nCordiali saluti\nAnna Verdi"
	opened := time.Now().Add(-30 * time.Hour)
	for i, reason := range []string{"ambiguous", "intended", "unlisted", "new-signer", "login-unknown"} {
		r := page.Review{N: i + 1, Mailbox: fmt.Sprintf("cliente%04d@pec.example", i+1), Reason: reason, Opened: opened.Add(time.Duration(i) * time.Hour)}
		if reason != "unlisted" {
			r.Client = fmt.Sprintf("Cliente %d", i+1)
		}
		f.reviews = append(f.reviews, r)
	}
	f.reviews = append(f.reviews, page.Review{N: 6, Mailbox: "cliente0006@pec.example", Client: "Cliente 6", Reason: "far-date", Opened: opened,
		Decided: time.Date(2026, 11, 20, 9, 23, 45, 0, time.UTC), DecidedBy: "uid:1000(carla)", Decision: "rejected: data sbagliata"})
	f.files = map[int]fakeFile{
		1: {page.FileInfo{N: 1, Name: "foto.jpg", Type: "image/jpeg"}, picture("jpeg", 900, 600)},
		2: {page.FileInfo{N: 2, Name: "../../etc/<b>pass\u202egnp.exe", Type: "application/pdf"}, []byte("%PDF-1.7 <script>alert(1)</script>")},
		3: {page.FileInfo{N: 3, Name: "falsa.png", Type: "image/png"}, []byte("<svg onload=alert(1)>")},
	}
	for i := range 250 {
		f.entries = append(f.entries, page.AuditEntry{Seq: 250 - i, At: time.Now().Add(-time.Duration(i) * time.Minute), Actor: "service",
			Event: "credential.accepted", Mailbox: "cliente0001@pec.example", Login: "cliente0001@pec.example", Version: 1, Detail: "reason= probe=accepted"})
	}
	f.entries[1].Actor, f.entries[1].Event = "uid:1000(anna)", "review.revealed"
	f.entries[2].Actor, f.entries[2].Event = "page:Carla Neri(uid:0)", "review.decided"
	return f
}

// picture makes a photograph of nothing.
func picture(kind string, w, h int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetRGBA(x, y, color.RGBA{uint8(200 + x*50/w), uint8(190 + y*50/h), 180, 255})
		}
	}
	var b bytes.Buffer
	var err error
	if kind == "png" {
		err = png.Encode(&b, img)
	} else {
		err = jpeg.Encode(&b, img, nil)
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

func (f *fake) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did = append(f.did, fmt.Sprintf(format, args...))
	return f.fail
}

func (f *fake) Policy() schedule.Policy {
	return schedule.Policy{Closed: []schedule.Range{{From: today().AddDate(0, 0, 30), To: today().AddDate(0, 0, 37)}}}
}

func (f *fake) Counts(context.Context) (page.Counts, error) {
	return page.Counts{Review: len(f.reviews) - 1, Failed: 1}, nil
}

func (f *fake) Mailboxes(context.Context) ([]page.Mailbox, error) {
	return append([]page.Mailbox(nil), f.boxes...), nil
}

func (f *fake) Mailbox(_ context.Context, address string) (d page.MailboxDetail, err error) {
	for _, b := range f.boxes {
		if b.Address == address {
			d.Credentials = append(d.Credentials, b)
		}
	}
	if len(d.Credentials) == 0 {
		return d, &page.Problem{Kind: page.KindNotListed, Detail: "no client with the mailbox"}
	}
	d.Address, d.Client, d.Phone, d.Email, d.AddedAt = address, d.Credentials[0].Client, "051 123456", "info@cliente.example", time.Now().AddDate(-1, 0, 0)
	d.Versions = []page.Version{
		{Login: address, N: 2, State: "proven", Current: true, Source: "opec1@pec.example", Received: time.Now(), Proven: time.Now(), Expires: today().AddDate(0, 0, 80), ExpiresFrom: "stated", HasSecret: true},
		{Login: address, N: 1, State: "superseded", Source: "set: telefono, da Anna Verdi", Received: time.Now().AddDate(0, 0, -90), Ended: time.Now(), EndedBy: "replaced by version 2", ExpiresFrom: "policy"},
	}
	d.Places = []page.Place{{Login: address, Name: "Fatture in Cloud", Version: 2, Open: true}, {Login: address, Name: "Outlook segreteria", Version: 2}}
	d.Audit = f.entries[:5]
	list, _ := f.Messages(context.Background())
	d.Messages = list[:2]
	d.Reviews = f.reviews[:1]
	return d, nil
}

func (f *fake) PlaceDone(_ context.Context, who, address, login, place string) error {
	return f.note("%s place %s %s %s", who, address, login, place)
}

func (f *fake) Reviews(_ context.Context, all bool) (list []page.Review, err error) {
	for _, r := range f.reviews {
		if all || r.Decided.IsZero() {
			list = append(list, r)
		}
	}
	return list, nil
}

func (f *fake) Review(_ context.Context, who string, n int, reveal bool) (item page.ReviewItem, err error) {
	if n > len(f.reviews) {
		return item, &page.Problem{Kind: page.KindNotFound}
	}
	item = page.ReviewItem{Review: f.reviews[n-1], Listed: f.reviews[n-1].Client != "", Sent: time.Now().Add(-31 * time.Hour), Subject: f.subject, Letter: f.letter,
		Notes: []string{"image-attached", "two-dates"}, Stated: today().AddDate(0, 0, 85)}
	if !item.Decided.IsZero() {
		item.Letter = ""
		return item, nil
	}
	item.Candidates = []page.Candidate{{N: 1, Length: 8, Where: "text/plain:5"}, {N: 2, Length: 10, Where: "subject", Refused: true}, {N: 3, Length: 6, Where: "attachment:1:3"}}
	for i := range len(f.files) {
		info := f.files[i+1].info
		info.Size = len(f.files[i+1].data)
		item.Files = append(item.Files, info)
	}
	if reveal {
		item.Letter = "Buongiorno, la password è Xk7pQ2mm"
		item.Candidates[0].Shown = "Xk7pQ2mm"
		return item, f.note("%s reveal %d", who, n)
	}
	return item, nil
}

func (f *fake) ReviewFile(_ context.Context, who string, n, file int) (page.FileInfo, []byte, error) {
	x, ok := f.files[file]
	if !ok || n > len(f.reviews) {
		return page.FileInfo{}, nil, &page.Problem{Kind: page.KindNotFound}
	}
	return x.info, bytes.Clone(x.data), f.note("%s file %d %d", who, n, file)
}

func (f *fake) Approve(_ context.Context, a page.Approval) (page.Stored, error) {
	err := f.note("%s approve %d candidate %d typed %d mailbox %q login %q expires %s new %q", a.Who, a.N, a.Candidate, a.Typed.Len(), a.Mailbox, a.Login, a.Expires.Format("20060102"), a.NewClient)
	return f.stored, err
}

func (f *fake) Reject(_ context.Context, who string, n int, reason string, tell bool) error {
	return f.note("%s reject %d %q %v", who, n, reason, tell)
}

func (f *fake) Messages(context.Context) ([]page.Message, error) {
	at := time.Now().Add(-2 * time.Hour)
	m := func(n int, kind, state string) page.Message {
		return page.Message{N: n, Kind: kind, To: fmt.Sprintf("cliente%04d@pec.example", n), Mailbox: fmt.Sprintf("cliente%04d@pec.example", n), State: state,
			Queued: at, Sent: at.Add(time.Second), StateAt: at.Add(time.Minute), MessageID: "<x@pec.example>", Tries: 1}
	}
	list := []page.Message{m(9, "expiring", "queued"), m(8, "accepted", "in-doubt"), m(7, "accepted", "sent"), m(6, "refused", "accepted"), m(5, "accepted", "delivered"),
		m(4, "broken", "failed"), m(3, "expired", "failed"), m(2, "digest", "accepted"), m(1, "expiring", "sent")}
	list[0].NextTry, list[0].Sent, list[0].Tries = time.Now().Add(time.Hour), time.Time{}, 3
	list[5].Error = "550 5.1.1 <b>unknown</b> user \x1b[31m"
	list[6].Withdrawn = true
	list[7].External = true
	list[8].Late = true
	return list, nil
}

func (f *fake) Message(_ context.Context, n int) (page.MessageText, error) {
	list, _ := f.Messages(context.Background())
	for _, m := range list {
		if m.N == n {
			m.Proof = m.State == "delivered"
			return page.MessageText{Message: m, Subject: "Password ricevuta: funziona", Text: "Gentile cliente,\nabbiamo ricevuto la password.\n\nStudio"}, nil
		}
	}
	return page.MessageText{}, &page.Problem{Kind: page.KindNotFound}
}

func (f *fake) Proof(_ context.Context, n int) ([]byte, error) {
	if n != 5 {
		return nil, &page.Problem{Kind: page.KindNotFound}
	}
	return []byte("X-Ricevuta: avvenuta-consegna\r\n\r\n<script>alert(1)</script>"), nil
}

func (f *fake) Retry(_ context.Context, who string, n int) error {
	return f.note("%s retry %d", who, n)
}
func (f *fake) Drop(_ context.Context, who string, n int) error { return f.note("%s drop %d", who, n) }

func (f *fake) Audit(_ context.Context, q page.AuditQuery) (p page.AuditPage, err error) {
	f.asked = q
	for _, e := range f.entries {
		if q.Before > 0 && e.Seq >= q.Before {
			continue
		}
		if len(p.Entries) == q.Limit {
			p.Next = e.Seq + 1
			break
		}
		p.Entries = append(p.Entries, e)
	}
	return p, nil
}

func (f *fake) VerifyAudit(context.Context) (int, string, error) {
	return 250, "22f841c894058995c918220c905b122e9457b02176a26124f9a1d714e07391b6", f.chain
}

func (f *fake) Standing(context.Context) (page.Standing, error) {
	now := time.Now()
	s := page.Standing{Running: true, Phase: "watching", StartedAt: now.Add(-50 * time.Hour), LastPass: now.Add(-2 * time.Minute), Passes: 600,
		InboxUser: "studio@pec.example", InboxHost: "imaps.pec.example", InboxExpires: today().AddDate(0, 0, 40), InboxDaysLeft: 40,
		SMTP: true, SMTPHost: "smtps.pec.example", SMTPGood: now.Add(-time.Hour), ProbeOn: true, LastChecks: now.Add(-5 * time.Hour), NextChecks: now.Add(19 * time.Hour),
		LastWarnings: now.Add(-2 * time.Hour), NextWarnings: now.Add(22 * time.Hour), Trouble: 2, Outbox: 1, Failed: 1, AuditSeq: 250,
		AuditHead: "22f841c894058995c918220c905b122e9457b02176a26124f9a1d714e07391b6", Recipients: 2, Identity: true, VaultBytes: 3_400_000, LastBackup: now.Add(-20 * time.Hour), BackupDir: true,
		Anchors:  []page.Anchor{{Name: "AgID CA1", SPKI: "e230d44ed77891467012f3cc04654cc08e7fc16583e4c34f7268b80d9737aac5"}, {Name: "CN=Lista", CRL: true, Until: now.AddDate(0, 0, 20)}},
		Versions: []page.Fact{{Name: "program", Text: "v1.0.0"}, {Name: "go", Text: "go1.26"}, {Name: "vault", Text: "1"}, {Name: "system", Text: "linux/amd64"}}}
	if f.locked {
		s = page.Standing{Running: true, Phase: "refused", LastError: "login <b>refused</b>", FailingSince: now, SMTPRefused: now, SMTP: true, InboxDaysLeft: -1, InboxExpires: today().AddDate(0, 0, -1)}
	}
	return s, nil
}

func (f *fake) Check(_ context.Context, who string) ([]page.CheckLine, error) {
	return []page.CheckLine{{Name: "config", Level: "ok", Text: "/etc/pec-ingest/config.toml is valid"}, {Name: "smtp", Level: "warning", Text: "there is no [smtp]", Hint: "clients get neither answers nor warnings"},
		{Name: "inbox", Level: "error", Text: "the server does not answer"}}, f.note("%s check", who)
}

func (f *fake) Enter(_ context.Context, e page.Entry) (page.Stored, error) {
	f.entered = e
	err := f.note("%s enter %s %d %q confirm %v", e.Who, e.Mailbox, e.Secret.Len(), e.Source, e.Confirm)
	return f.stored, err
}
