package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Reads of secrets are many: a mail program asks at each fetch. The first read
// of a day by one actor of one version appends EventRead to the chain; those
// that follow count up a record beside it, reads/, and when the day is over
// one EventReads with the count closes it. So an entry of the chain is never
// changed. Until the day is closed its count (not the fact that there was a
// read) could be altered unnoticed.

// readDay formats the day of a read, in UTC.
const readDay = time.DateOnly

// keyReadsClosed holds the day on which all days before it were found closed,
// so that only the first reads of a day look for what is to be closed.
const keyReadsClosed = "counter/reads"

// closeAtOnce is how many finished days one AuditRead closes in passing.
const closeAtOnce = 4

// reads is what stands under reads/: the day's count so far.
type reads struct {
	Day     string `json:"day"`
	Actor   string `json:"actor"`
	Mailbox string `json:"mailbox"`
	Login   string `json:"login"`
	Version int    `json:"version"`
	Count   int    `json:"count"`
}

func (r reads) key() (string, error) {
	return join("reads", r.Day, r.Actor, r.Mailbox, r.Login, fmt.Sprintf("%06d", r.Version))
}

// AuditRead records that actor was given a secret. It comes in an Update that
// is committed before the secret is handed out.
func (tx *Tx) AuditRead(actor, mailbox, login string, version int) error {
	r := reads{Day: second(tx.now()).Format(readDay), Actor: actor,
		Mailbox: mailbox, Login: login, Version: version}
	key, err := r.key()
	if err != nil {
		return err
	}
	known, ok, err := get[reads](tx, key)
	if err != nil {
		return err
	}
	if ok {
		known.Count++
		return put(tx, key, known)
	}
	if _, err := tx.closeReads(closeAtOnce); err != nil {
		return err
	}
	r.Count = 1
	if err := put(tx, key, r); err != nil {
		return err
	}
	return tx.Audit(AuditEntry{Actor: actor, Event: EventRead,
		Mailbox: mailbox, Login: login, Version: version, Count: 1})
}

// closeReads appends what finished days counted, at most limit of them, and
// says how many it closed.
func (tx *Tx) closeReads(limit int) (closed int, err error) {
	day := second(tx.now()).Format(readDay)
	closedOn, _, err := get[string](tx, keyReadsClosed)
	if err != nil || closedOn == day {
		return 0, err
	}
	today := "reads/" + day
	var done []reads
	err = tx.kv.Scan("reads/", func(key string, _ []byte) error {
		if strings.HasPrefix(key, today) || key > today || len(done) == limit {
			return errStop
		}
		r, _, err := get[reads](tx, key)
		done = append(done, r)
		return err
	})
	if err != nil && !errors.Is(err, errStop) {
		return 0, err
	}
	for _, r := range done {
		key, err := r.key()
		if err != nil {
			return 0, err
		}
		if err := tx.kv.Delete(key); err != nil {
			return 0, err
		}
		if r.Count < 2 {
			continue
		}
		err = tx.Audit(AuditEntry{Actor: r.Actor, Event: EventReads, Mailbox: r.Mailbox,
			Login: r.Login, Version: r.Version, Detail: r.Day, Count: r.Count})
		if err != nil {
			return 0, err
		}
	}
	if len(done) < limit {
		return len(done), put(tx, keyReadsClosed, day)
	}
	return len(done), nil
}

// CloseReads appends the counts of all finished days to the chain, in as many
// transactions as that takes. To be run daily, before the head is published.
func (v *Vault) CloseReads(ctx context.Context) error {
	for {
		closed := 0
		err := v.Update(ctx, func(tx *Tx) (err error) {
			closed, err = tx.closeReads(MaxKeys / 4)
			return err
		})
		if err != nil || closed == 0 {
			return err
		}
	}
}
