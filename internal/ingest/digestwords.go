package ingest

import (
	"fmt"
	"time"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/vault"
)

// The lines of the digest, in Italian: the studio's people read it.

// reviewWords say why something waits for a person.
var reviewWords = map[string]string{
	ReviewUnlisted:       "il mittente non è tra i clienti",
	ReviewAmbiguous:      "non è chiaro quale sia la password",
	ReviewIntended:       "la password non è nel testo",
	ReviewNewSigner:      "la casella risulta passata a un altro gestore",
	ReviewNoLogin:        "manca il nome utente della casella",
	ReviewNoHost:         "non si sa su quale server provarla",
	ReviewOtherMailbox:   "parla di una casella diversa da quella del mittente",
	ReviewNothingToDefer: "posticipa una password che non abbiamo",
	ReviewPostponedTwice: "posticipa la stessa password una seconda volta",
	ReviewFarDate:        "la data indicata è troppo lontana",
	ReviewAllRefused:     "il gestore rifiuta tutte le password",
	ReviewCrashed:        "non si sa se la prova è riuscita",
	ReviewNoIdentity:     "manca la chiave per leggerla",
	ReviewStrangeAddress: "l'indirizzo del mittente è insolito",
}

// reviewLines are the open decisions; more than a few of one mailbox, for one
// reason, are one line.
func (s *Service) reviewLines(open []vault.Review, now time.Time) (lines []string) {
	const few = 3
	type kind struct{ mailbox, reason string }
	by := map[kind][]vault.Review{}
	for _, r := range open {
		k := kind{r.Mailbox, r.Reason}
		by[k] = append(by[k], r)
	}
	for _, r := range open {
		k := kind{r.Mailbox, r.Reason}
		switch same := by[k]; {
		case len(same) <= few:
			lines = append(lines, s.reviewLine(r, now))
		case r.N == same[0].N:
			lines = append(lines, s.reviewLine(r, now)+fmt.Sprintf(" (%d lettere, fino alla n. %d)", len(same), same[len(same)-1].N))
		}
	}
	return lines
}

// reviewLine is one open decision. What has waited for more than a working
// day says since when.
func (s *Service) reviewLine(r vault.Review, now time.Time) string {
	why := reviewWords[r.Reason]
	if why == "" {
		why = r.Reason
	}
	if r.Reason == ReviewMany {
		why = manyWords(r.Letters)
	}
	line := fmt.Sprintf("n. %d, %s: %s", r.N, r.Mailbox, why)
	opened := s.today(r.OpenedAt)
	if s.workingDays(opened, s.today(now)) > 1 {
		line += ", in attesa da " + notify.DayWords(opened, "it")
	}
	return line
}

// manyWords is what stands for the rest of a sender's letters.
func manyWords(letters int) string {
	if letters == 1 {
		return "questo mittente ha già molte lettere da decidere; un'altra è rimasta nella posta in arrivo"
	}
	return fmt.Sprintf("questo mittente ha già molte lettere da decidere; altre %d sono rimaste nella posta in arrivo", letters)
}

// maxLines is how long a list of the digest may be: somebody who sends junk
// must not make a letter of it that nobody reads.
const maxLines = 40

// shortened says the same line once, with how often it was there, and counts
// what is beyond maxLines.
func shortened(lines []string) []string {
	times := map[string]int{}
	var list []string
	for _, line := range lines {
		if times[line]++; times[line] == 1 {
			list = append(list, line)
		}
	}
	for i, line := range list {
		if times[line] > 1 {
			list[i] = fmt.Sprintf("%s (%d volte)", line, times[line])
		}
	}
	if rest := len(list) - maxLines; rest > 1 {
		list = append(list[:maxLines:maxLines], fmt.Sprintf("e altre %d voci, che non sono elencate qui", rest))
	}
	return list
}

// workingDays counts the working days after from, up to and with to.
func (s *Service) workingDays(from, to time.Time) (n int) {
	const enough = 30
	for d := from.AddDate(0, 0, 1); !d.After(to) && n < enough; d = d.AddDate(0, 0, 1) {
		if s.policy.Working(d) {
			n++
		}
	}
	return n
}

// refusedWords say why a message was not believed.
var refusedWords = map[string]string{
	"too-large":             "è troppo grande",
	"malformed":             "è malformato",
	"not-pec":               "non è una PEC",
	"unsigned":              "non è firmato dal gestore",
	"bad-signature":         "la firma del gestore non corrisponde: è stato modificato",
	"unsupported-signature": "la firma è di un tipo non ammesso",
	"untrusted-signer":      "chi lo firma non è un gestore PEC conosciuto",
	"signer-not-valid":      "il certificato del gestore non era valido",
	"signer-mismatch":       "il gestore che firma non è quello del mittente",
	"anomaly":               "è una busta di anomalia",
	"daticert-missing":      "mancano i dati di certificazione",
	"daticert-mismatch":     "i dati di certificazione non corrispondono",
}

func refusedLine(r vault.Refused) string {
	why := refusedWords[r.Reason]
	if why == "" {
		why = r.Reason
	}
	return r.ClaimedSender + ": " + why
}

func leftLine(sub vault.Submission) string {
	if sub.Masked == "" {
		return sub.Mailbox
	}
	return sub.Mailbox + ": «" + sub.Masked + "»"
}

// kindWords name a message for the studio.
var kindWords = map[string]string{
	string(notify.KindAccepted):     "password ricevuta",
	string(notify.KindRefused):      "password rifiutata",
	string(notify.KindReview):       "la stiamo leggendo",
	string(notify.KindExtension):    "scadenza posticipata",
	string(notify.KindExpiring):     "password in scadenza",
	string(notify.KindExpired):      "password scaduta",
	string(notify.KindBroken):       "password che non funziona più",
	string(notify.KindRejected):     "password non utilizzabile",
	string(notify.KindNotCertified): "la password va inviata con una PEC",
	string(notify.KindStudioInbox):  "la PEC dello studio",
	string(notify.KindDigest):       "riepilogo",
}

// stateWords say how far a message came.
var stateWords = map[string]string{
	vault.OutQueued:   "non ancora partito",
	vault.OutInDoubt:  "non si sa se è partito",
	vault.OutSent:     "partito, ma senza ricevuta di accettazione",
	vault.OutAccepted: "accettato, ma senza ricevuta di consegna",
	vault.OutFailed:   "non consegnato",
}

func (s *Service) undeliveredLine(o vault.Outgoing) string {
	about := kindWords[o.Kind]
	if about == "" {
		about = o.Kind
	}
	line := fmt.Sprintf("n. %d a %s («%s» del %s): %s", o.N, o.To, about, s.today(o.QueuedAt).Format("02/01/2006"), stateWords[o.State])
	if o.LastError != "" {
		line += " (" + o.LastError + ")"
	}
	return line
}
