package ingest

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/vault"
)

// ImportResult tells what a CSV import did, or would do.
type ImportResult struct {
	Added     int           `json:"added"`
	Changed   int           `json:"changed"`
	Unchanged int           `json:"unchanged"`
	Faults    []ImportFault `json:"faults"`   // lines left out
	Warnings  []ImportFault `json:"warnings"` // lines taken, with something left out
}

// ImportFault is one line of the CSV that needs a person.
type ImportFault struct {
	Line int    `json:"line"`
	Msg  string `json:"msg"`
}

// csvColumns are the known columns; only mailbox is required.
var csvColumns = []string{"mailbox", "name", "provider", "login", "email", "phone", "lang", "used_in", "senders"}

// maxCSV is far beyond any studio's list.
const maxCSV = 16 << 20

// ImportClients reads clients from CSV: a header line with any of csvColumns,
// "," or ";" between the fields, UTF-8 or Windows-1252. It adds and changes,
// and never removes; an empty field changes nothing. A faulty line is left
// out and reported, the others are taken.
func (s *Service) ImportClients(ctx context.Context, actor string, r io.Reader, dryRun bool, now time.Time) (ImportResult, error) {
	res := ImportResult{Faults: []ImportFault{}, Warnings: []ImportFault{}}
	rows, err := readClientCSV(r, &res)
	if err != nil {
		return res, err
	}
	seen := map[string]int{}
	kept := rows[:0]
	for _, row := range rows {
		if first, twice := seen[row.mailbox]; twice {
			res.Faults = append(res.Faults, ImportFault{row.line, fmt.Sprintf("%s stands on line %d already", safetext.Address(row.mailbox), first)})
			continue
		}
		seen[row.mailbox] = row.line
		if id := row.fields.Provider; id != nil {
			if _, ok := s.providerID(*id); !ok {
				res.Warnings = append(res.Warnings, ImportFault{row.line, fmt.Sprintf("provider %q is not known and left out: see `ingest provider list`", safetext.Line(*id))})
				row.fields.Provider = nil
			}
		}
		if err := s.checkClient(row.mailbox, &row.fields); err != nil {
			res.Faults = append(res.Faults, ImportFault{row.line, err.Error()})
			continue
		}
		kept = append(kept, row)
	}
	for part := range slices.Chunk(kept, 40) {
		if err := s.importPart(ctx, actor, part, dryRun, now, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

var errDryRun = errors.New("ingest: dry run")

func (s *Service) importPart(ctx context.Context, actor string, part []csvRow, dryRun bool, now time.Time, res *ImportResult) error {
	var sum ImportResult
	err := s.vault.Update(ctx, func(tx *vault.Tx) error {
		sum = ImportResult{}
		for _, row := range part {
			c, there, err := tx.Client(row.mailbox)
			if err != nil {
				return err
			}
			if there && !c.RemovedAt.IsZero() {
				sum.Faults = append(sum.Faults, ImportFault{row.line, fmt.Sprintf("%s was removed on %s: `ingest client add` takes the client back",
					row.mailbox, c.RemovedAt.Format(time.DateOnly))})
				continue
			}
			added, changed, err := putClient(tx, actor, row.mailbox, row.fields, now)
			switch {
			case err != nil:
				return err
			case added:
				sum.Added++
			case changed:
				sum.Changed++
			default:
				sum.Unchanged++
			}
		}
		if dryRun {
			return errDryRun // nothing is kept
		}
		return nil
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return fmt.Errorf("storing clients: %w", err)
	}
	res.Added, res.Changed, res.Unchanged = res.Added+sum.Added, res.Changed+sum.Changed, res.Unchanged+sum.Unchanged
	res.Faults = append(res.Faults, sum.Faults...)
	return nil
}

type csvRow struct {
	line    int
	mailbox string
	fields  ClientFields
}

func readClientCSV(r io.Reader, res *ImportResult) ([]csvRow, error) {
	text, err := readCSVText(r)
	if err != nil {
		return nil, err
	}
	cr := csv.NewReader(bytes.NewReader(text))
	cr.Comma = separatorOf(text)
	cr.FieldsPerRecord = -1
	cr.LazyQuotes = true
	cr.TrimLeadingSpace = true
	head, err := cr.Read()
	if err != nil {
		return nil, usage("the CSV has no header line").hint("its first line names the columns: %s", strings.Join(csvColumns, ","))
	}
	columns := map[int]string{}
	hasMailbox := false
	for i, name := range head {
		name = strings.ToLower(strings.TrimSpace(name))
		if slices.Contains(csvColumns, name) {
			columns[i] = name
			hasMailbox = hasMailbox || name == "mailbox"
		} else if name != "" {
			res.Warnings = append(res.Warnings, ImportFault{1, fmt.Sprintf("column %q is not known and left out", safetext.Line(name))})
		}
	}
	if !hasMailbox {
		return nil, usage("the CSV has no column named mailbox").hint("its first line names the columns: %s", strings.Join(csvColumns, ","))
	}
	var rows []csvRow
	for {
		rec, err := cr.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		line, _ := cr.FieldPos(0)
		if err != nil {
			res.Faults = append(res.Faults, ImportFault{line, "the line can't be read as CSV"})
			continue
		}
		if row, ok := csvRowOf(rec, columns, line); ok {
			rows = append(rows, row)
		}
	}
}

func readCSVText(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxCSV+1))
	if err != nil {
		return nil, fmt.Errorf("reading the CSV: %w", err)
	}
	if len(text) > maxCSV {
		return nil, usage("the CSV is larger than %d MiB", maxCSV>>20)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(text) {
		if text, err = charmap.Windows1252.NewDecoder().Bytes(text); err != nil {
			return nil, usage("the CSV is neither UTF-8 nor Windows-1252")
		}
	}
	// Old spreadsheets end lines with CR alone.
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(text, []byte("\r"), []byte("\n")), nil
}

// separatorOf looks at the header line, in which no column name holds either.
func separatorOf(text []byte) rune {
	head, _, _ := bytes.Cut(text, []byte("\n"))
	switch {
	case bytes.Count(head, []byte("\t")) > bytes.Count(head, []byte(";"))+bytes.Count(head, []byte(",")):
		return '\t'
	case bytes.Count(head, []byte(";")) > bytes.Count(head, []byte(",")):
		return ';'
	}
	return ','
}

func csvRowOf(rec []string, columns map[int]string, line int) (csvRow, bool) {
	row := csvRow{line: line}
	empty := true
	for i, value := range rec {
		value = strings.TrimSpace(value)
		if value == "" {
			continue
		}
		empty = false
		switch columns[i] {
		case "mailbox":
			row.mailbox = strings.ToLower(value)
		case "name":
			row.fields.Name = &value
		case "provider":
			row.fields.Provider = &value
		case "login":
			row.fields.Login = &value
		case "email":
			row.fields.Email = &value
		case "phone":
			row.fields.Phone = &value
		case "lang":
			row.fields.Lang = &value
		case "used_in":
			row.fields.UsedIn = splitList(value)
		case "senders":
			row.fields.Senders = splitList(value)
		}
	}
	return row, !empty
}

// WriteClientCSV writes clients as ImportClients reads them. An IMAP server
// given by hand has no column there and is left out.
func WriteClientCSV(w io.Writer, clients []ClientRow) error {
	out := csv.NewWriter(w)
	if err := out.Write(csvColumns); err != nil {
		return err
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	for _, c := range clients {
		err := out.Write([]string{c.Mailbox, text(c.Name), text(c.Provider), text(c.Login), text(c.Email), text(c.Phone),
			text(c.Lang), strings.Join(c.UsedIn, "|"), strings.Join(c.Senders, "|")})
		if err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// splitList reads several values in one field.
func splitList(s string) []string {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ';' || r == '|' })
	out := make([]string, 0, len(parts))
	for _, p := range parts {
		if p = safetext.Line(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}
