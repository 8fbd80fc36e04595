package submission

import (
	"strconv"
	"strings"
	"time"
)

// role is what a date is said to be.
type role int

const (
	roleNone role = iota
	roleExpiry
	roleGenerated
)

// mention is one date in the text.
type mention struct {
	day   time.Time
	role  role
	where string
	lone  bool // stands near a password or alone on its line
}

// dates reads the expiry and the day of generation from the sender's own
// words. What can't be is noted; whether a date is believed is policy.
func (l *letter) dates(v *verdict, r *Result, sent time.Time, loc *time.Location) {
	s := sent.In(loc)
	d := dater{today: time.Date(s.Year(), s.Month(), s.Day(), 0, 0, 0, 0, time.UTC), near: map[string]bool{}}
	for _, g := range v.groups {
		d.near[g.where] = true
	}
	for i := range v.texts {
		d.readText(&v.texts[i])
	}
	d.settle(r, v.state == Extension)
	l.mentions = d.found
}

// pairDate is the expiry on the line of a pair's password, else that of the
// whole letter.
func (l *letter) pairDate(p pairGroups, stated time.Time) time.Time {
	for _, m := range l.mentions {
		if m.where == p.groups[0].where && m.role != roleGenerated {
			return m.day
		}
	}
	return stated
}

type dater struct {
	today      time.Time
	near       map[string]bool
	found      []mention
	spans      []span
	impossible bool
	waiting    role // a line that ended with "scadenza:"
}

// span is a duration: "scade tra 90 giorni".
type span struct{ days, months int }

func (d *dater) readText(t *text) {
	d.waiting = roleNone
	for i := range t.lines {
		l := &t.lines[i]
		if l.blank || l.zone == zoneQuoted || l.zone == zoneDisclaimer {
			continue
		}
		d.readLine(t, i)
	}
}

func (d *dater) readLine(t *text, index int) {
	l := &t.lines[index]
	now := d.waiting
	d.waiting = roleNone
	last := 0 // words before this index are used up
	dates := 0
	for i := 0; i < len(l.toks); {
		day, year, n, ok := d.dateAt(l, i)
		if n == 0 {
			if m := d.spanAt(l, i); m > 0 {
				i += m
				continue
			}
			i++
			continue
		}
		where := l.toks[i].where
		if i > 0 && l.toks[i].kind == kindOther {
			where = l.toks[i].where
		}
		as := roleOf(l.words[last:where])
		if as == roleNone && last == 0 {
			as = now
		}
		if as == roleNone && i+n < len(l.toks) {
			if _, is := lex().longest(l.words[min(l.toks[i+n].where, len(l.words)-1):], "expires"); is {
				as = roleExpiry // "il 13 febbraio scade"
			}
		}
		if ok && !year && as == roleGenerated && day.After(d.today) {
			day = day.AddDate(-1, 0, 0) // "generata il 13 novembre", two days later
		}
		if as == roleExpiry && aboutElse(l, i, i+n) {
			i += n
			if i < len(l.toks) {
				last = l.toks[i].where
			}
			dates++
			continue
		}
		if ok && (year || as != roleNone) {
			lone := d.near[t.at(index)] || len(l.toks) <= n+1
			d.found = append(d.found, mention{day: day, role: as, where: t.at(index), lone: lone})
			dates++
		} else if !ok {
			d.impossible = true
		}
		i += n
		if i < len(l.toks) {
			last = l.toks[i].where
		}
	}
	if dates == 0 {
		if day, ok := d.relative(l); ok {
			d.found = append(d.found, mention{day: day, role: roleGenerated, where: t.at(index)})
		}
		d.waiting = roleOf(l.words)
		if len(l.words) > 6 && !l.toks[len(l.toks)-1].colon {
			d.waiting = roleNone
		}
	}
}

// roleOf is the last expiry or generation phrase among the words.
func roleOf(w []string) role {
	as := roleNone
	for i := 0; i < len(w); {
		p, ok := lex().longest(w[i:], "expiry", "generated")
		if !ok {
			i++
			continue
		}
		i += len(p.words)
		if p.is("expiry") {
			as = roleExpiry
		} else if as == roleNone || p.words[len(p.words)-1] == "dal" || p.words[len(p.words)-1] == "il" || p.words[len(p.words)-1] == "from" || p.words[len(p.words)-1] == "on" {
			as = roleGenerated
		}
	}
	return as
}

var (
	reDMY       = newPattern(`^(\d{1,2})[./-](\d{1,2})[./-](\d{2}|\d{4})$`)
	reYMD       = newPattern(`^(\d{4})[./-](\d{1,2})[./-](\d{1,2})$`)
	reRomanDate = newPattern(`^(\d{1,2})[./-]([IVX]{1,4})[./-](\d{2}|\d{4})$`)
	reDM        = newPattern(`^(\d{1,2})[./](\d{1,2})$`)
	reDay       = newPattern(`(?i)^(\d{1,2})(°|º|st|nd|rd|th)?$`)
	reYear      = newPattern(`^(20\d{2})$`)
	reYear2     = newPattern(`^'?(\d{2})$`)
)

// dateAt reads the date that begins at token i. n is how many tokens it
// takes, 0 for none; ok is false for a date that doesn't exist; year tells
// whether the year was written.
func (d *dater) dateAt(l *line, i int) (day time.Time, year bool, n int, ok bool) {
	core := l.toks[i].core
	if m := reDMY.FindStringSubmatch(core); m != nil {
		y := fullYear(m[3])
		day, ok = makeDay(y, num(m[2]), num(m[1]))
		if !ok && num(m[2]) > 12 && num(m[1]) <= 12 {
			day, ok = makeDay(y, num(m[1]), num(m[2])) // 02/13/2024, American
		}
		return day, true, 1, ok
	}
	if m := reYMD.FindStringSubmatch(core); m != nil {
		day, ok = makeDay(num(m[1]), num(m[2]), num(m[3]))
		return day, true, 1, ok
	}
	// "13-feb-2024", "13/febbraio/2024"
	if f := strings.FieldsFunc(core, func(r rune) bool { return r == '-' || r == '/' || r == '.' }); len(f) == 3 && monthOf(fold(f[1])) > 0 && reDay.MatchString(f[0]) {
		y := num(f[2])
		if y < 100 {
			y += 2000
		}
		day, ok = makeDay(y, monthOf(fold(f[1])), num(reDay.FindStringSubmatch(f[0])[1]))
		return day, true, 1, ok
	}
	if m := reRomanDate.FindStringSubmatch(core); m != nil && romanMonth(m[2]) > 0 {
		day, ok = makeDay(fullYear(m[3]), romanMonth(m[2]), num(m[1]))
		return day, true, 1, ok
	}
	if n := dayWord(&l.toks[i]); n > 0 {
		j := i + 1
		if j < len(l.toks) && (l.toks[j].core == "di" || l.toks[j].core == "of") {
			j++
		}
		if j < len(l.toks) && monthOf(fold(l.toks[j].core)) > 0 {
			return d.named(l, i, j+1, monthOf(fold(l.toks[j].core)), n)
		}
	}
	if m := reDay.FindStringSubmatch(core); m != nil {
		j := i + 1
		if j < len(l.toks) && (l.toks[j].core == "di" || l.toks[j].core == "of") {
			j++
		}
		if j < len(l.toks) && monthOf(fold(l.toks[j].core)) > 0 {
			return d.named(l, i, j+1, monthOf(fold(l.toks[j].core)), num(m[1]))
		}
	}
	if mon := monthOf(fold(core)); mon > 0 && i+1 < len(l.toks) && !(i+2 < len(l.toks) && monthOf(fold(l.toks[i+2].core)) > 0) { // not "mar 13 feb"
		if m := reDay.FindStringSubmatch(l.toks[i+1].core); m != nil {
			return d.named(l, i, i+2, mon, num(m[1]))
		}
	}
	if day, year, n := d.endOfMonth(l, i); n > 0 {
		return day, year, n, true
	}
	if day, n := d.endOfThis(l, i); n > 0 {
		return day, false, n, true
	}
	if i+2 < len(l.toks) && len(l.toks[i+2].core) == 4 { // "13 02 2024"
		if m := reDMY.FindStringSubmatch(core + "/" + l.toks[i+1].core + "/" + l.toks[i+2].core); m != nil {
			if day, ok = makeDay(fullYear(m[3]), num(m[2]), num(m[1])); ok && day.Year() >= 2000 && day.Year() < 2100 {
				return day, true, 3, true
			}
		}
	}
	if i+4 < len(l.toks) && l.toks[i+1].s == "/" && l.toks[i+3].s == "/" { // "13 / 02 / 2024"
		if m := reDMY.FindStringSubmatch(core + "/" + l.toks[i+2].core + "/" + l.toks[i+4].core); m != nil {
			day, ok = makeDay(fullYear(m[3]), num(m[2]), num(m[1]))
			return day, true, 5, ok
		}
	}
	if m := reDM.FindStringSubmatch(core); m != nil && num(m[2]) <= 12 && num(m[1]) <= 31 {
		day, ok = d.nextDay(num(m[2]), num(m[1]))
		return day, false, 1, ok
	}
	return time.Time{}, false, 0, false
}

// endOfMonth reads "fine febbraio", "end of February 2024": the last day of it.
func (d *dater) endOfMonth(l *line, i int) (day time.Time, year bool, n int) {
	core := strings.ToLower(l.toks[i].core)
	if core != "fine" && core != "end" {
		return time.Time{}, false, 0
	}
	j := i + 1
	for j < len(l.toks) && j <= i+2 && (l.toks[j].core == "di" || l.toks[j].core == "of" || l.toks[j].core == "mese") {
		j++
	}
	if j >= len(l.toks) || monthOf(fold(l.toks[j].core)) == 0 {
		return time.Time{}, false, 0
	}
	first, year, n, ok := d.named(l, i, j+1, monthOf(fold(l.toks[j].core)), 28)
	if !ok {
		return time.Time{}, false, 0
	}
	return time.Date(first.Year(), first.Month()+1, 0, 0, 0, 0, 0, time.UTC), year, n
}

// named ends a date with a month in words: a year may follow at token j.
func (d *dater) named(l *line, i, j, month, dayOfMonth int) (time.Time, bool, int, bool) {
	if j < len(l.toks) {
		m := reYear.FindStringSubmatch(l.toks[j].core)
		if m == nil && strings.HasPrefix(l.toks[j].s, "'") {
			m = reYear2.FindStringSubmatch(l.toks[j].core)
		}
		if m != nil {
			y := num(m[1])
			if y < 100 {
				y += 2000
			}
			day, ok := makeDay(y, month, dayOfMonth)
			return day, true, j - i + 1, ok
		}
	}
	day, ok := d.nextDay(month, dayOfMonth)
	return day, false, j - i, ok
}

// nextDay is the next such day after the letter.
func (d *dater) nextDay(month, dayOfMonth int) (time.Time, bool) {
	day, ok := makeDay(d.today.Year(), month, dayOfMonth)
	if ok && day.Before(d.today) {
		return makeDay(d.today.Year()+1, month, dayOfMonth)
	}
	return day, ok
}

func makeDay(y, m, d int) (time.Time, bool) {
	t := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
	return t, t.Year() == y && int(t.Month()) == m && t.Day() == d
}

// fullYear reads "2024" and "24".
func fullYear(s string) int {
	y := num(s)
	if len(s) == 2 {
		y += 2000
	}
	return y
}

func num(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// monthOf knows the months of all languages, also cut to three letters.
func monthOf(w string) int {
	if len(w) < 3 {
		return 0
	}
	for i, m := range lex().order["month"] {
		if m == w || len(w) == 3 && m[:3] == w || len(w) == 4 && strings.HasPrefix(m, w) {
			return i%12 + 1
		}
	}
	return 0
}

// spanAt reads "tra 90 giorni", "valida tre mesi" at token i.
func (d *dater) spanAt(l *line, i int) int {
	w := l.words
	at := l.toks[i].where
	if at >= len(w) || len(l.toks[i].words) == 0 {
		return 0
	}
	if _, ok := lex().longest(w[at:], "within"); !ok {
		return 0
	}
	p, _ := lex().longest(w[at:], "within")
	k := at + len(p.words)
	for j := 0; j < 2 && k < len(w) && lex().small["spanglue"][w[k]]; j++ { // "validità di sei mesi"
		k++
	}
	if k >= len(w) || k+1 >= len(w) && !strings.HasSuffix(w[k], "gg") {
		return 0
	}
	if days, ok := strings.CutSuffix(w[k], "gg"); ok && num(days) > 0 && num(days) <= 400 { // "90gg"
		d.spans = append(d.spans, span{days: num(days)})
		return l.tokOf[k] - i + 1
	}
	n, used := howMany(w[k:])
	if n <= 0 || n > 400 || k+used >= len(w) {
		return 0
	}
	k += used - 1
	unit, ok := lex().longest(w[k+1:], "day", "week", "months", "years")
	if !ok {
		return 0
	}
	end := l.tokOf[k+1] + 1
	weak := len(p.words) == 1 && lex().small["whenever"][p.words[0]] // "ci vediamo tra 10 giorni"
	if !aboutElse(l, i, end) && (!weak || roleOf(w[:k]) == roleExpiry || lex().has(w, "password", "app")) {
		switch {
		case unit.is("day"):
			d.spans = append(d.spans, span{days: n})
		case unit.is("week"):
			d.spans = append(d.spans, span{days: 7 * n})
		case unit.is("years"):
			d.spans = append(d.spans, span{months: 12 * n})
		default:
			d.spans = append(d.spans, span{months: n})
		}
	}
	return l.tokOf[k+1] - i + 1
}

// settle chooses among the dates found.
func (d *dater) settle(r *Result, extension bool) {
	if d.impossible {
		r.note(NoteImpossibleDate)
	}
	var ends []time.Time
	for _, m := range d.found {
		switch m.role {
		case roleGenerated:
			if r.Generated.IsZero() && !m.day.After(d.today) {
				r.Generated = m.day
			}
		case roleExpiry:
			ends = append(ends, m.day)
		}
	}
	if len(ends) == 0 {
		// Dates without a word: near the password, or alone on a line.
		for _, m := range d.found {
			if m.role == roleNone && m.lone && m.day.After(d.today.AddDate(0, 0, 7)) {
				ends = append(ends, m.day)
			} else if m.role == roleNone && m.lone && r.Generated.IsZero() && !m.day.After(d.today) && m.day.After(d.today.AddDate(0, 0, -100)) {
				r.Generated = m.day
			}
		}
	}
	r.Stated = d.choose(ends, extension, r)
	if r.Stated.IsZero() && len(d.spans) > 0 {
		base := d.today
		if !r.Generated.IsZero() {
			base = r.Generated
		}
		r.Stated = base.AddDate(0, d.spans[0].months, d.spans[0].days)
	}
}

// choose takes the one date that lies ahead. Of two the earlier one (warning
// early costs little), of an extension the later one, the claim.
func (d *dater) choose(ends []time.Time, extension bool, r *Result) time.Time {
	var best, past time.Time
	distinct := map[time.Time]bool{}
	for _, e := range ends {
		if !e.After(d.today) {
			if e.After(past) {
				past = e
			}
			continue
		}
		distinct[e] = true
		if best.IsZero() || e.Before(best) != extension && e != best {
			best = e
		}
	}
	if len(distinct) > 1 {
		r.note(NoteTwoDates)
	}
	if best.IsZero() {
		best = past
	}
	if !best.IsZero() && (!best.After(d.today) || best.After(d.today.AddDate(2, 0, 0))) {
		r.note(NoteFarDate)
	}
	return best
}
