package page

import (
	"context"
	"net/http"
	"time"
)

// checked is what the self-check last found.
type checked struct {
	At    time.Time
	By    string
	Lines []CheckLine
}

const checkPause = 30 * time.Second

type standingData struct {
	frame
	S      Standing
	Checks checked
}

func (p *Page) standing(w http.ResponseWriter, r *http.Request, _ Person) error {
	s, err := p.o.Source.Standing(r.Context())
	if err != nil {
		return err
	}
	d := standingData{frame: p.frame(r, "standing", "nav.state"), S: s}
	d.Live = true
	p.mu.Lock()
	d.Checks = p.checks
	p.mu.Unlock()
	return p.render(w, http.StatusOK, "standing", d)
}

// check makes the self-check, which logs in to the studio's accounts once,
// and keeps what it found until the next time.
//
// Pressed again within checkPause it shows what is there: a provider may lock
// out who logs in too often.
func (p *Page) check(w http.ResponseWriter, r *http.Request, who Person) error {
	p.checking.Lock()
	defer p.checking.Unlock()
	p.mu.Lock()
	lately := time.Since(p.checks.At) < checkPause
	p.mu.Unlock()
	if lately {
		http.Redirect(w, r, "/stato#controllo", http.StatusSeeOther)
		return nil
	}
	lines, err := p.o.Source.Check(context.WithoutCancel(r.Context()), who.actor())
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.checks = checked{time.Now(), who.Name, lines}
	p.mu.Unlock()
	http.Redirect(w, r, "/stato#controllo", http.StatusSeeOther)
	return nil
}

// Light sums a part of the service up: shape and words.
func (f frame) Light(part string, s Standing) sending {
	level := "good"
	switch part {
	case "inbox":
		switch {
		case !s.Running:
			level = "missing"
		case s.Phase == "refused" || s.Phase == "no-password" || s.InboxDaysLeft < 0 && !s.InboxExpires.IsZero():
			level = "error"
		case !s.FailingSince.IsZero() || s.ClockError != "":
			level = "warning"
		}
	case "smtp":
		switch {
		case !s.SMTP:
			level = "missing"
		case !s.SMTPRefused.IsZero():
			level = "error"
		case s.SendError != "" || s.Failed > 0:
			level = "warning"
		}
	case "probe":
		switch {
		case !s.ProbeOn:
			level = "missing"
		case s.Trouble > 0 || s.JobError != "":
			level = "warning"
		}
	case "vault":
		switch {
		case !s.Identity || s.Recipients < 2:
			level = "warning"
		}
	case "backup":
		switch {
		case s.LastBackup.IsZero():
			level = "error"
		case f.now.Sub(s.LastBackup) > staleBackup:
			level = "warning"
		}
	case "trust":
		if len(s.Anchors) == 0 {
			level = "error"
		}
		for _, a := range s.Anchors {
			if !a.Until.IsZero() && a.Until.Before(f.now) && level == "good" {
				level = "warning"
			}
		}
	}
	return sending{level, f.T("light." + level)}
}

// staleBackup is when a backup is too old to lean on.
const staleBackup = 8 * 24 * time.Hour
