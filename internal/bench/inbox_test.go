package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
)

// Addresses end in ".example": nobody's.
const (
	studio = "studio@pec.studio.example"
	signer = "posta-certificata@pec.gestore.example"
)

// Shares of the messages of a studio's inbox, in percent, and the mean size.
const (
	receiptShare    = 60
	submissionShare = 8
	meanSize        = 27_000 // bytes: 270 MB for 10,000
)

// mail is a message of the generated inbox.
type mail struct {
	raw      []byte
	received time.Time
}

// inboxPlan says what a generated inbox holds. The same seed gives the same
// messages, but for their dates, which end at now.
type inboxPlan struct {
	seed     uint64
	messages int
	now      time.Time
	large    int // messages over 4 MiB among the certified mail
	most     int // clients at most; 0: as many as the share of submissions makes
}

// clients is how many mailboxes send the submissions, two each.
func (p inboxPlan) clients() int {
	n := p.messages * submissionShare / 100 / 2
	if p.most > 0 {
		n = min(n, p.most)
	}
	return n
}

func clientAddress(i int) string { return fmt.Sprintf("ditta%05d@pec.cliente.example", i) }

// password is what the i-th client sends in its n-th submission.
func password(i, n int) string {
	r := rand.New(rand.NewPCG(uint64(i), uint64(n)))
	const letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	b := []byte{'K', '7', 'q'}
	for range 9 {
		b = append(b, letters[r.IntN(len(letters))])
	}
	return string(b)
}

// each makes the messages, in the order in which they came, and calls fn for
// each. They are made in parallel and never all held at once.
func (p inboxPlan) each(fn func(mail)) {
	m := newMaker(p)
	const chunk = 256
	for from := 0; from < p.messages; from += chunk {
		out := make([]mail, min(chunk, p.messages-from))
		var wg sync.WaitGroup
		for w := range runtime.NumCPU() {
			wg.Go(func() {
				for i := w; i < len(out); i += runtime.NumCPU() {
					out[i] = m.message(from + i)
				}
			})
		}
		wg.Wait()
		for _, one := range out {
			fn(one)
		}
	}
}

// maker makes single messages.
type maker struct {
	plan     inboxPlan
	provider *pectest.Provider
	kinds    []byte // by position: r, c, s
	nth      []int  // the n-th of its kind
	median   float64
}

func newMaker(p inboxPlan) *maker {
	m := &maker{plan: p, provider: authority().Issue(pectest.LeafOptions{Address: signer, Name: "GESTORE DI PROVA S.p.A.", Key: "pec/posta-certificata@pec.aruba.it"}), kinds: make([]byte, p.messages), nth: make([]int, p.messages)}
	submissions := p.clients() * 2
	receipts := p.messages * receiptShare / 100
	for i := range m.kinds {
		switch {
		case i < submissions:
			m.kinds[i] = 's'
		case i < submissions+receipts:
			m.kinds[i] = 'r'
		default:
			m.kinds[i] = 'c'
		}
	}
	r := rand.New(rand.NewPCG(p.seed, 1))
	r.Shuffle(len(m.kinds), func(i, j int) { m.kinds[i], m.kinds[j] = m.kinds[j], m.kinds[i] })
	count := map[byte]int{}
	for i, k := range m.kinds {
		m.nth[i] = count[k]
		count[k]++
	}
	// What is left of the mean for the attachments, sizes being log-normal
	// with sigma 1: the mean is e^0.5 times the median.
	left := float64(p.messages)*meanSize - float64(receipts)*13_500 - float64(submissions)*9_000 - float64(p.large)*6_000_000
	m.median = left/float64(count['c'])/math.Exp(0.5) - 9_000
	return m
}

func authority() *pectest.Authority { return pectest.NewAuthority("pec") }

// message makes the i-th one.
func (m *maker) message(i int) mail {
	r := rand.New(rand.NewPCG(m.plan.seed, uint64(i)+1000))
	// Over 180 days, the last one an hour ago.
	age := time.Hour + time.Duration(float64(180*24*time.Hour)*float64(m.plan.messages-i)/float64(m.plan.messages))
	at := m.plan.now.Add(-age).Truncate(time.Second)
	var e pectest.Envelope
	switch m.kinds[i] {
	case 'r':
		e = m.receipt(r, i, at)
	case 's':
		e = m.submission(r, m.nth[i], at)
	default:
		e = m.certified(r, m.nth[i], at)
	}
	e.Provider, e.SentAt, e.Style = m.provider, at, pectest.Aruba2026
	e.MsgID = fmt.Sprintf("<%d.%d@programma.example>", i, m.plan.seed)
	return mail{raw: e.Bytes(), received: at.Add(time.Minute)}
}

// submission: each client sends its password twice, the second time a newer
// one, in one of several wordings.
func (m *maker) submission(r *rand.Rand, n int, at time.Time) pectest.Envelope {
	clients := m.plan.clients()
	client, turn := n%clients, n/clients
	pw := password(client, turn)
	texts := []string{
		"Buongiorno,\n\nPassword per programmi di posta: %s\n\nCordiali saluti\n",
		"Spett.le Studio,\ncome da Vostra richiesta comunico la nuova password per programmi di posta:\n\n%s\n\nDistinti saluti\nL'amministratore\n",
		"Buonasera, ho generato la password per i programmi di posta.\nPassword: %s\nA presto\n",
	}
	from := clientAddress(client)
	return pectest.Envelope{Sender: from, Recipients: []string{studio}, Subject: "Password per programmi di posta",
		Letter: pectest.Letter{From: from, To: studio, Subject: "Password per programmi di posta", Date: at,
			Text: fmt.Sprintf(texts[r.IntN(len(texts))], pw)}}
}

var subjects = []string{"Invio bilancio al 31/12", "Fattura n. %d", "Documenti per dichiarazione dei redditi", "Contratto di locazione - registrazione",
	"Comunicazione di iscrizione a ruolo n. %d", "Estratto conto", "Verbale di assemblea", "Richiesta di regolarizzazione contributiva", "Pratica CCIAA n. %d/2026"}

const prose = "Con la presente trasmettiamo in allegato la documentazione relativa alla pratica in oggetto, per gli adempimenti di Vostra competenza. " +
	"Si prega di verificare i dati riportati e di segnalare eventuali difformita' entro i termini previsti dalla normativa vigente. "

// certified: mail with documents, a third of it from the studio's clients.
func (m *maker) certified(r *rand.Rand, n int, at time.Time) pectest.Envelope {
	from := fmt.Sprintf("ufficio%04d@pec.ente.example", r.IntN(900))
	if r.IntN(3) == 0 {
		from = clientAddress(r.IntN(max(m.plan.clients(), 1)))
	}
	subject := subjects[r.IntN(len(subjects))]
	if strings.Contains(subject, "%d") {
		subject = fmt.Sprintf(subject, r.IntN(100_000))
	}
	text := "Spett.le Studio,\n\n" + strings.Repeat(prose, 1+r.IntN(5)) + "\n\nDistinti saluti\nUfficio protocollo\nTel. 051 1234567\n"
	l := pectest.Letter{From: from, To: studio, Subject: subject, Date: at, Text: text}
	if r.IntN(2) == 0 {
		l.HTML = "<html><head><style>p{font-family:Calibri;margin:0}</style></head><body><p>" + strings.ReplaceAll(text, "\n", "</p>\n<p>") + "</p></body></html>\n"
	}
	size := m.median * math.Exp(r.NormFloat64())
	if n < m.plan.large {
		size = 6_000_000
	} else {
		size = min(max(size, 2_000), 3_800_000)
	}
	for i := range 1 + r.IntN(3) {
		part := int(size * 3 / 4)
		if i > 0 {
			part = 3_000 + r.IntN(6_000)
		}
		l.Attachments = append(l.Attachments, pectest.Attachment{Name: fmt.Sprintf("documento-%d.pdf", i+1), Type: "application/pdf", Data: noise(r, part)})
	}
	return pectest.Envelope{Sender: from, Recipients: []string{studio}, Subject: subject, Letter: l}
}

// receipt: of what the studio sent, half accepted, half delivered, the latter
// with the message itself.
func (m *maker) receipt(r *rand.Rand, i int, at time.Time) pectest.Envelope {
	to := fmt.Sprintf("ufficio%04d@pec.ente.example", r.IntN(900))
	e := pectest.Envelope{Kind: pec.KindAcceptance, Sender: studio, Recipients: []string{to}, Subject: subjects[0],
		Letter: pectest.Letter{From: studio, To: to, Subject: subjects[0], Date: at, Text: prose}}
	if i%2 == 0 {
		e.Kind, e.Delivery = pec.KindDelivery, to
		e.Letter.Attachments = []pectest.Attachment{{Name: "ricevuta.pdf", Type: "application/pdf", Data: noise(r, 2_000+r.IntN(8_000))}}
	}
	return e
}

// noise is what a compressed document looks like.
func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return b
}
