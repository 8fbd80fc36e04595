package ingest

import (
	"context"
	"fmt"
	"strings"

	"pec-ingest/internal/provider"
	"pec-ingest/internal/vault"
)

// roster is the studio's clients as one pass sees them.
type roster struct {
	byMailbox map[string]vault.Client
	bySender  map[string][]string // further senders → mailboxes they may write for
	byEmail   map[string]string   // ordinary addresses → mailbox
}

func (s *Service) readRoster(ctx context.Context) (*roster, error) {
	r := &roster{byMailbox: map[string]vault.Client{}, bySender: map[string][]string{}, byEmail: map[string]string{}}
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		return tx.Clients(func(c vault.Client) error {
			if !c.RemovedAt.IsZero() {
				return nil
			}
			r.byMailbox[c.Mailbox] = c
			if c.Email != "" {
				r.byEmail[strings.ToLower(c.Email)] = c.Mailbox
			}
			for _, sender := range c.Senders {
				sender = strings.ToLower(sender)
				r.bySender[sender] = append(r.bySender[sender], c.Mailbox)
			}
			return nil
		})
	})
	return r, err
}

// needClients reads the clients before the first message or submission of a
// pass: a poll without news reads none of them.
func (p *pass) needClients(ctx context.Context) error {
	if p.clients != nil {
		return nil
	}
	var err error
	if p.clients, err = p.readRoster(ctx); err != nil {
		return fmt.Errorf("reading the clients: %w", err)
	}
	return nil
}

// client finds the client of a mailbox; removed ones are none.
func (r *roster) client(mailbox string) (vault.Client, bool) {
	c, ok := r.byMailbox[strings.ToLower(mailbox)]
	return c, ok
}

// serves lists the mailboxes that a sender writes for: its own, if it is a
// client's, and those whose record names it among its senders.
func (r *roster) serves(sender string) []string {
	sender = strings.ToLower(sender)
	var out []string
	if _, ok := r.byMailbox[sender]; ok {
		out = append(out, sender)
	}
	for _, m := range r.bySender[sender] {
		if m != sender {
			out = append(out, m)
		}
	}
	return out
}

// loginOf says with which login a client's mailbox is opened. It is never
// guessed: where the provider wants a user ID and the record has none, ok is
// false.
func (s *Service) loginOf(c vault.Client, signer string) (login string, ok bool) {
	p, _ := s.providerOf(c, signer)
	return loginAt(c, p)
}

// loginAt is loginOf at a known provider; the zero Provider is an unknown one.
func loginAt(c vault.Client, p provider.Provider) (login string, ok bool) {
	switch {
	case c.Login != "":
		return c.Login, true
	case p.Login == provider.LoginUserID:
		return "", false
	case p.Login == provider.LoginLocalPart:
		local, _, _ := strings.Cut(c.Mailbox, "@")
		return local, true
	}
	return c.Mailbox, true
}
