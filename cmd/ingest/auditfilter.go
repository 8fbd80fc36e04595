package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"pec-ingest/internal/ingest"
)

// filter gives the test of one entry that the flags ask for. Days are those
// of the caller's own clock, as the table shows them.
func (c *auditCmd) filter() (func(ingest.AuditRow) bool, error) {
	since, err := localDay("--since", c.Since)
	if err != nil {
		return nil, err
	}
	until, err := localDay("--until", c.Until)
	if err != nil {
		return nil, err
	}
	if !until.IsZero() {
		until = until.AddDate(0, 0, 1)
	}
	return func(r ingest.AuditRow) bool {
		return (c.Actor == "" || isActor(r.Actor, c.Actor)) &&
			(c.Event == "" || strings.HasPrefix(r.Event, c.Event)) &&
			(since.IsZero() || !r.At.Before(since)) && (until.IsZero() || r.At.Before(until))
	}, nil
}

func localDay(flag, s string) (time.Time, error) {
	day, err := parseDay(flag, s)
	if err != nil || day.IsZero() {
		return day, err
	}
	return time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, time.Local), nil
}

// isActor tells whether "uid:1000(anna)" is who was asked for: as it stands,
// by its number or by its name. People of the page stand as "page:Anna(uid:0)".
func isActor(actor, asked string) bool {
	uid, name, _ := strings.Cut(strings.TrimSuffix(actor, ")"), "(")
	return asked == actor || asked == uid || asked == strings.TrimPrefix(uid, "page:") || asked == name && name != ""
}

var headForm = regexp.MustCompile(`^([0-9]{1,12}):([0-9a-fA-F]{64})$`)

// head reads --head.
func (c *auditCmd) head() (seq int, hash string, err error) {
	if c.Head == "" {
		return 0, "", nil
	}
	m := headForm.FindStringSubmatch(strings.TrimSpace(c.Head))
	if m == nil || !c.Verify {
		return 0, "", &ingest.Error{Class: ingest.Usage, Msg: fmt.Sprintf("--head %.80q", c.Head),
			Hint: "with --verify, as the digest shows it: the entry's number, a colon and 64 hexadecimal digits"}
	}
	seq, err = strconv.Atoi(m[1])
	return seq, m[2], err
}
