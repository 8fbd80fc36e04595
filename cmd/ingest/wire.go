package main

import (
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/web"
)

// What goes over the socket. A request's unknown field is an error, so that a
// command never asks an older daemon for less than it means. Bytes are base64;
// instants RFC 3339; days are instants at 00:00 UTC, null or zero for none.

type nothing struct{}

type mailboxIn struct {
	Mailbox string `json:"mailbox"` // "" = all, where a list is asked for
}

type loginIn struct {
	Mailbox string `json:"mailbox"`
	Login   string `json:"login"` // "" = the only one
}

type getOut struct {
	Mailbox   string    `json:"mailbox"`
	Login     string    `json:"login"`
	Version   int       `json:"version"`
	State     string    `json:"state"`
	ExpiresAt time.Time `json:"expires_at"`
	Secret    []byte    `json:"secret"`
}

// Wipe implements what the server calls when the answer has been written.
func (g getOut) Wipe() { clear(g.Secret) }

// Plain is the password alone, on one line: what `get` prints, and what the
// server answers to those who accept text only.
func (g getOut) Plain() []byte {
	line := make([]byte, 0, len(g.Secret)+1)
	return append(append(line, g.Secret...), '\n')
}

type profileIn struct {
	Mailbox string   `json:"mailbox"`
	Login   string   `json:"login"`
	Program []string `json:"program"` // how the caller runs this program
}

type setIn struct {
	Mailbox string    `json:"mailbox"`
	Login   string    `json:"login"`
	Expires time.Time `json:"expires"`
	Source  string    `json:"source"`
	Secret  []byte    `json:"secret"`
}

type setInboxIn struct {
	Expires time.Time `json:"expires"`
	Secret  []byte    `json:"secret"`
}

type useIn struct {
	Mailbox string `json:"mailbox"`
	Login   string `json:"login"`
	Version int    `json:"version"`
}

type onceIn struct {
	Warn    bool `json:"warn"`
	DryRun  bool `json:"dry_run"`
	Observe bool `json:"observe"`
}

// onceOut tells what was done even when the pass broke off.
type onceOut struct {
	Summary  ingest.Summary       `json:"summary"`
	Observed []ingest.Observation `json:"observed"`
	Problem  *web.Problem         `json:"problem"` // null = it ended well
}

type dueIn struct {
	Day time.Time `json:"day"`
}

type bytesOut struct {
	Data []byte `json:"data"`
}

// Wipe implements what the server calls when the answer has been written.
func (b bytesOut) Wipe() { clear(b.Data) }

type addClientIn struct {
	Mailbox string              `json:"mailbox"`
	Fields  ingest.ClientFields `json:"fields"` // null = as it is
}

type addClientOut struct {
	Added   bool `json:"added"`
	Changed bool `json:"changed"`
}

type importIn struct {
	CSV    []byte `json:"csv"`
	DryRun bool   `json:"dry_run"`
}

type allIn struct {
	All bool `json:"all"`
}

type numberIn struct {
	N int `json:"n"`
}

type showIn struct {
	N      int  `json:"n"`
	Reveal bool `json:"reveal"`
}

type fileIn struct {
	N    int `json:"n"`
	File int `json:"file"`
}

type fileOut struct {
	Info ingest.ReviewFileInfo `json:"info"`
	Data []byte                `json:"data"`
}

// Wipe implements what the server calls when the answer has been written.
func (f fileOut) Wipe() { clear(f.Data) }

type approveIn struct {
	ingest.Approval        // without Actor and Typed
	Typed           []byte `json:"typed"`
}

type rejectIn struct {
	N      int    `json:"n"`
	Reason string `json:"reason"`
	Tell   bool   `json:"tell"`
}

type messageOut struct {
	Row     ingest.OutboxRow `json:"row"`
	Subject string           `json:"subject"`
	Text    string           `json:"text"`
}

type previewIn struct {
	Kind string `json:"kind"`
	Lang string `json:"lang"`
}

type auditHeadOut struct {
	Seq  int    `json:"seq"`
	Head string `json:"head"`
}
