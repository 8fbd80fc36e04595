package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"time"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pectest"
)

// More clients, for a page that looks as it does in a studio: their letters
// of the last months go the same way as those of the story.

var businesses = []string{"Trattoria da Piero", "Officine Ferraris S.n.c.", "Farmacia Moretti", "Edilizia Fontana S.r.l.", "Giulia Marchetti", "Autoscuola Riva",
	"Ottica Galli", "Caffè Centrale", "Luca De Santis", "Vivaio Le Querce", "Tipografia Sala", "Ferramenta Costa", "Paola Barbieri", "Cantina Monti S.a.s.",
	"Dentista Dott. Rinaldi", "Macelleria Bruno", "Agriturismo Il Noce", "Roberto Lombardi", "Cooperativa Aurora", "Estetica Luna", "Idraulica Serra",
	"Notaio Vitale", "Libreria Aldina", "Trasporti Grassi S.r.l.", "Silvia Caruso", "Panetteria Fabbri", "Studio Tecnico Villa", "Gelateria Polo", "Marmi Valli",
	"Elettrauto Negri", "Albergo Belvedere", "Sartoria Donati", "Immobiliare Parco", "Chiara Messina", "Falegnameria Testa"}

// ages are how many days ago each wrote: many of them on one Monday.
var ages = []int{93, 91, 88, 85, 84, 81, 80, 74, 74, 71, 66, 63, 60, 57, 53, 46, 45, 44, 39, 38, 32, 25, 24, 18, 17, 11, 9, 4}

// heavyDay is when the rest of them wrote: so long ago that their passwords
// expire on a Monday.
func heavyDay(today time.Time) int {
	age := 62
	for today.AddDate(0, 0, 90-age).Weekday() != time.Monday {
		age--
	}
	return age
}

// wroteAt is when the client of that number wrote: in the morning of a day of
// the studio's, whatever the hour is now.
func wroteAt(now time.Time, i int, studio *time.Location) time.Time {
	y, m, d := now.In(studio).Date()
	noon := time.Date(y, m, d, 12, 0, 0, 0, studio)
	age := heavyDay(noon)
	if i < len(ages) {
		age = ages[i]
	}
	return noon.AddDate(0, 0, -age).Add(-time.Duration(i) * 11 * time.Minute)
}

// photographer is who sends a picture instead of a letter.
const photographer = 21

func demoMailbox(i int) string  { return fmt.Sprintf("cliente%02d@pec.gestore.example", i+1) }
func demoPassword(i int) string { return fmt.Sprintf("Demo%02dxQ", i+1) }

// Populate adds clients with a history to the story's. It takes some seconds.
func (d *Demo) Populate(ctx context.Context) error {
	now := time.Now()
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return fmt.Errorf("reading the studio's time zone: %w", err)
	}
	genuine := d.authority.Provider(signer, "GESTORE DI PROVA S.p.A.")
	send := func(from, subject, text string, at time.Time, files ...pectest.Attachment) error {
		e := pectest.Envelope{Provider: genuine, Sender: from, Recipients: []string{studio}, Subject: subject, SentAt: at.Truncate(time.Second),
			Letter: pectest.Letter{From: from, To: studio, Subject: subject, Text: text, Date: at, Attachments: files}}
		return d.servers.deliver(e.Bytes(), at.Add(time.Minute))
	}
	for i, name := range businesses {
		mailbox, password := demoMailbox(i), demoPassword(i)
		phone, by, used := fmt.Sprintf("051 5550%02d", i), provider, []string(nil)
		if i%7 == 0 {
			used = []string{"Fatture in Cloud"}
		}
		if _, err := d.servers.addUser(mailbox, password); err != nil {
			return err
		}
		if _, _, err := d.Service.AddClient(ctx, "demo", mailbox, ingest.ClientFields{Name: &name, Phone: &phone, Provider: &by, UsedIn: used}, now); err != nil {
			return err
		}
		if i == photographer {
			continue
		}
		if err := send(mailbox, "Password per programmi di posta", "Buongiorno,\r\nla password per programmi di posta è: "+password+"\r\nCordiali saluti\r\n"+name+"\r\n", wroteAt(now, i, rome)); err != nil {
			return err
		}
	}
	if _, err := d.servers.addUser("ferri@pec.gestore.example", "Ferri22zK"); err != nil {
		return err
	}
	err = errors.Join(
		send("ferri@pec.gestore.example", "nuova password", "Buongiorno,\r\nsono un nuovo cliente, ecco la password per programmi di posta: Ferri22zK\r\nGrazie\r\nCarlo Ferri\r\n", now.Add(-5*time.Hour)),
		send(demoMailbox(photographer), "Password", "Buongiorno,\r\nvi mando la foto della password per programmi di posta.\r\n"+businesses[photographer]+"\r\n", now.Add(-2*time.Hour),
			pectest.Attachment{Name: "foto.png", Type: "image/png", Data: photo(demoPassword(photographer))}),
	)
	if err != nil {
		return fmt.Errorf("delivering a message: %w", err)
	}
	_, err = d.Service.Once(ctx, ingest.RunOptions{})
	return err
}

// photo is a picture of a password, as from a screen.
func photo(password string) []byte {
	lines := []string{"Password programmi di posta", "", "    " + password, "", "Scade tra 90 giorni"}
	small := image.NewRGBA(image.Rect(0, 0, 240, 110))
	draw.Draw(small, small.Bounds(), image.NewUniform(color.RGBA{246, 244, 238, 255}), image.Point{}, draw.Src)
	for i, line := range lines {
		w := font.Drawer{Dst: small, Src: image.NewUniform(color.RGBA{30, 40, 60, 255}), Face: basicfont.Face7x13, Dot: fixed.P(22, 28+i*17)}
		w.DrawString(line)
	}
	large := image.NewRGBA(image.Rect(0, 0, 960, 440))
	draw.NearestNeighbor.Scale(large, large.Bounds(), small, small.Bounds(), draw.Src, nil)
	var b bytes.Buffer
	if png.Encode(&b, large) != nil {
		return nil // can't be: a buffer takes all
	}
	return b.Bytes()
}

// Serve runs the service until ctx ends, and has the provider answer what is
// sent with its receipts.
func (d *Demo) Serve(ctx context.Context) error {
	ran := make(chan error, 1)
	go func() { ran <- d.Service.Run(ctx, ingest.Hooks{}) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-ran:
			return err
		case <-tick.C:
		}
		if err := d.answer(); err != nil {
			return errors.Join(err, <-ran)
		}
	}
}

// answer delivers the receipts of what was sent since the last time.
func (d *Demo) answer() error {
	mail := d.servers.sink.received()
	for ; d.answered < len(mail); d.answered++ {
		for _, raw := range receiptsFor(d.authority, mail[d.answered], time.Now().Truncate(time.Second)) {
			if err := d.servers.deliver(raw, time.Now()); err != nil {
				return fmt.Errorf("delivering a receipt: %w", err)
			}
		}
	}
	return nil
}
