package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"pec-ingest/internal/safetext"
)

// printJSON writes one value, indented, and a newline.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printJSONLine writes one value on one line.
func printJSONLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table writes aligned columns; its cells pass safetext.
type table struct{ tw *tabwriter.Writer }

func newTable(w io.Writer, head ...string) *table {
	t := &table{tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)}
	t.row(toAny(head)...)
	return t
}

func toAny(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

func (t *table) row(cells ...any) {
	parts := make([]string, len(cells))
	for i, c := range cells {
		if text, ok := c.(string); ok && i == len(cells)-1 && text != "" {
			parts[i] = safetext.LineN(text, lastCell) // nothing stands behind it
			continue
		}
		parts[i] = cell(c)
	}
	fmt.Fprintln(t.tw, strings.TrimRight(strings.Join(parts, "\t"), "\t "))
}

// lastCell is how long the last cell of a row may be, in characters: whatever
// stands there is mostly what to do next.
const lastCell = 200

func (t *table) flush() error { return t.tw.Flush() }

// whole is a foreign text where there is room for it.
func whole(s *string) string {
	if s == nil || *s == "" {
		return "-"
	}
	return safetext.LineN(*s, 500)
}

// cell is how a value stands in a table; what is unknown is a dash.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		if v == "" {
			return "-"
		}
		return safetext.LineN(v, 60)
	case *string:
		if v == nil {
			return "-"
		}
		return cell(*v)
	case *int:
		if v == nil {
			return "-"
		}
		return fmt.Sprint(*v)
	case time.Time:
		if v.IsZero() {
			return "-"
		}
		return v.Local().Format("2006-01-02 15:04 MST")
	case *time.Time:
		if v == nil {
			return "-"
		}
		return cell(*v)
	}
	return fmt.Sprint(v)
}
