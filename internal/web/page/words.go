package page

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"pec-ingest/internal/safetext"
)

// words are the texts of one language.
type words struct{ lang string }

// said holds the texts, Italian first.
var said = func() map[string][2]string {
	all := map[string][2]string{}
	for _, part := range []map[string][2]string{wordsOfFrame, wordsOfMailboxes, wordsOfReview, wordsOfMessages, wordsOfStanding, wordsOfProblems} {
		maps.Copy(all, part)
	}
	return all
}()

// unknownWord marks a key without words; a test looks for it in every view.
const unknownWord = "⟦"

func (w words) has(key string) bool { _, ok := said[key]; return ok }

// T is the text of a key, with fmt's verbs filled in.
func (w words) T(key string, args ...any) string {
	both, ok := said[key]
	if !ok {
		return unknownWord + key
	}
	text := both[0]
	if w.lang == "en" {
		text = both[1]
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// N is T of key.one or key.more, with the number filled in.
func (w words) N(key string, n int) string {
	if n == 1 || n == -1 {
		return w.T(key+".one", n)
	}
	return w.T(key+".more", n)
}

// Or is the text of prefix+code, or the code itself, made safe, where there
// is none: a newer service may know more codes than these words.
func (w words) Or(prefix, code string) string {
	if w.has(prefix + code) {
		return w.T(prefix + code)
	}
	return safetext.LineN(code, 80)
}

var months = [2][12]string{
	{"gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"},
	{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
}

var weekdays = [2][7]string{
	{"domenica", "lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato"},
	{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"},
}

func (w words) index() int {
	if w.lang == "en" {
		return 1
	}
	return 0
}

// Month is a month's name.
func (w words) Month(t time.Time) string { return months[w.index()][t.Month()-1] }

// Weekday is a day's name.
func (w words) Weekday(t time.Time) string { return weekdays[w.index()][t.Weekday()] }

// Day writes a day: "22 nov 2026".
func (w words) Day(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return strconv.Itoa(t.Day()) + " " + w.Month(t)[:3] + " " + strconv.Itoa(t.Year())
}

// LongDay writes a day in full: "lunedì 22 novembre 2026".
func (w words) LongDay(t time.Time) string {
	return w.Weekday(t) + " " + strconv.Itoa(t.Day()) + " " + w.Month(t) + " " + strconv.Itoa(t.Year())
}

// At writes an instant on the studio's clock: "22 nov 2026, 10:23".
func (f frame) At(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	t = t.In(f.loc)
	return f.Day(t) + ", " + t.Format("15:04")
}

// Second is At to the second.
func (f frame) Second(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	t = t.In(f.loc)
	return f.Day(t) + ", " + t.Format("15:04:05")
}

// ISO is an instant for a time element.
func (frame) ISO(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// ISODay is a day for a time element and for date fields; "" for none.
func (frame) ISODay(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateOnly)
}

// Safe makes foreign text one harmless line.
func (frame) Safe(s string) string { return safetext.Line(s) }

// Addr makes a foreign address harmless.
func (frame) Addr(s string) string { return safetext.Address(s) }

// Block makes foreign text of several lines harmless.
func (frame) Block(s string) string { return safetext.Block(s, 400) }

// Today is the studio's day.
func (f frame) Today() time.Time {
	t := f.now.In(f.loc)
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// Now is when the page was made.
func (f frame) Now() time.Time { return f.now }
