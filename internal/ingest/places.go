package ingest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/vault"
)

// causeUsed marks that a version was entered at a place by hand.
const causeUsed = "used/"

// PlaceRow is one place where a password is also kept by hand, in
// `used --json`.
type PlaceRow struct {
	Mailbox string  `json:"mailbox"`
	Login   string  `json:"login"`
	Client  *string `json:"client"`
	Place   string  `json:"place"`
	Version int     `json:"version"` // the one that belongs there
	Open    bool    `json:"open"`    // nobody has confirmed yet that it is there
}

// handedOut is the version of a credential that programs get: the current one,
// or while that could not be tried, the last proven one, unless its provider
// refuses it now; zero when there is none, or none that may be tried.
func handedOut(k known) vault.Version {
	switch {
	case k.cred.Refused:
		return vault.Version{}
	case k.version.State == VersionUnverified && k.proven.N > 0 && k.proven.State != VersionRefused:
		return k.proven // trying a refused one again would lock the mailbox
	}
	return k.version
}

func usedCause(mailbox, login string, version int, place string) string {
	return shortCause(fmt.Sprintf("%s%s %d %q %q", causeUsed, mailbox, version, login, strings.ToLower(place)))
}

// Places lists where the passwords of one mailbox, or of all with "", are kept
// by hand. A place opens with each new version that programs are given, and
// with being put on the list.
func (s *Service) Places(ctx context.Context, mailbox string) ([]PlaceRow, error) {
	mailbox = strings.ToLower(mailbox)
	all, err := s.inventory(ctx, mailbox)
	if err != nil {
		return nil, err
	}
	if mailbox != "" && len(all) == 0 {
		return nil, noSuchMailbox(mailbox)
	}
	rows := []PlaceRow{}
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		rows = rows[:0]
		for _, k := range all {
			n := handedOut(k).N
			if n == 0 {
				continue
			}
			for _, place := range k.client.UsedIn {
				done, err := tx.Caused(usedCause(k.client.Mailbox, k.cred.Login, n, place))
				if err != nil {
					return err
				}
				rows = append(rows, PlaceRow{Mailbox: k.client.Mailbox, Login: k.cred.Login, Client: orNull(k.client.Name),
					Place: place, Version: n, Open: !done})
			}
		}
		return nil
	})
	return rows, err
}

// PlaceDone notes that the current password of a mailbox was entered at a
// place, of all its logins or of one. Confirming it again changes nothing.
func (s *Service) PlaceDone(ctx context.Context, actor, mailbox, login, place string, now time.Time) ([]PlaceRow, error) {
	rows, err := s.Places(ctx, mailbox)
	if err != nil {
		return nil, err
	}
	var places []string
	done := []PlaceRow{}
	for _, r := range rows {
		places = append(places, safetext.Line(r.Place))
		if strings.EqualFold(r.Place, strings.TrimSpace(place)) && (login == "" || r.Login == login) {
			done = append(done, r)
		}
	}
	if len(done) == 0 {
		e := notFound("the password of %s is not kept at %q", strings.ToLower(mailbox), safetext.Line(place))
		if len(places) == 0 {
			return nil, e.hint("no place is on record, or there is no password yet: `ingest client add %s --used-in PLACE`", strings.ToLower(mailbox))
		}
		return nil, e.hint("its places: %s", strings.Join(places, ", "))
	}
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		for i, r := range done {
			done[i].Open = false
			cause := usedCause(r.Mailbox, r.Login, r.Version, r.Place)
			there, err := tx.Caused(cause)
			if err != nil {
				return err
			}
			if there {
				continue
			}
			if err := tx.MarkCause(cause, now.UTC().Format(time.RFC3339)+" "+actor); err != nil {
				return err
			}
			if err := tx.Audit(vault.AuditEntry{Actor: actor, Event: "place.updated", Mailbox: r.Mailbox, Login: r.Login,
				Version: r.Version, Detail: safetext.Line(r.Place)}); err != nil {
				return err
			}
		}
		return nil
	})
	return done, err
}

// openPlaces are the lines of the digest about places that wait for the
// current password.
func (s *Service) openPlaces(ctx context.Context) ([]string, error) {
	rows, err := s.Places(ctx, "")
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, r := range rows {
		if r.Open {
			lines = append(lines, fmt.Sprintf("%s: %s", r.Mailbox, r.Place))
		}
	}
	return lines, nil
}

// touch is Touch after something changed: what fails does not undo it.
func (s *Service) touch(ctx context.Context) {
	if err := s.Touch(context.WithoutCancel(ctx)); err != nil {
		s.log.Warn("programs were not told of a new password", "event", "touch.failed", "err", err, "hint", HintOf(err))
	}
}

// Touch brings the files of vault.touch_dir up to date: one per mailbox, named
// after it, which holds a line "LOGIN VERSION" for each of its passwords and
// never a password. A file is written only when something in it changed, so
// that a systemd .path unit with PathChanged= runs once a change. What counts
// is the state, not the event: a change missed by a crash is seen later.
func (s *Service) Touch(ctx context.Context) error {
	dir := s.cfg.Vault.TouchDir
	if dir == "" {
		return nil
	}
	all, err := s.inventory(ctx, "")
	if err != nil {
		return err
	}
	want := map[string]string{}
	for _, k := range all {
		if n := handedOut(k).N; n > 0 {
			want[k.client.Mailbox] += fmt.Sprintf("%s %d\n", safetext.Line(k.cred.Login), n)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return &Error{Msg: "making vault.touch_dir", Err: err}
	}
	for mailbox, text := range want {
		if !mailboxForm.MatchString(mailbox) {
			continue // no name for a file
		}
		path := filepath.Join(dir, mailbox)
		if was, err := os.ReadFile(path); err == nil && string(was) == text {
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return &Error{Msg: "writing to vault.touch_dir", Err: err, Hint: "the service's account must be able to write there"}
		}
		s.log.Info("a new password can be fetched", "event", "password.changed", "mailbox", mailbox)
	}
	return nil
}
