package demo

import (
	"errors"
	"fmt"
	"os"
	"time"

	"pec-ingest/internal/pectest"
)

// Empty is the demo's studio without a service: its servers run, its
// configuration lies in Dir, and its inbox waits for letters.
type Empty struct {
	d       *Demo
	Config  string   // path of config.toml
	Clients []string // their mailboxes
	letters []parcel
	next    int
}

// Start starts the servers. The caller closes what it returns.
func Start() (*Empty, error) {
	e := &Empty{d: &Demo{authority: pectest.NewAuthority("pec")}}
	err := e.start()
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Empty) start() (err error) {
	d := e.d
	if d.dir, err = os.MkdirTemp("", "ingest-demo-"); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	passwords := map[string]string{studio: "studio-" + time.Now().Format("150405.000")}
	for _, c := range clients {
		passwords[c.mailbox] = c.password
		e.Clients = append(e.Clients, c.mailbox)
	}
	if d.servers, err = startServers(studio, passwords); err != nil {
		return err
	}
	cfg, err := d.configure(d.authority, passwords[studio])
	if err != nil {
		return err
	}
	e.Config = cfg.Path
	e.letters = parcels(d.authority, time.Now())
	return nil
}

// Deliver puts the next of the demo's letters into the inbox and says what it
// is; "" when there are no more.
func (e *Empty) Deliver() (title string, err error) {
	if e.next == len(e.letters) {
		return "", nil
	}
	l := e.letters[e.next]
	e.next++
	return l.title, e.d.servers.deliver(l.raw, l.at)
}

// Close ends the servers and removes all that was made.
func (e *Empty) Close() error { return e.d.Close() }
