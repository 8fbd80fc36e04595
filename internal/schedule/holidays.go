package schedule

import "time"

// Easter is Easter Sunday of a year in the Gregorian calendar.
//
// Source: the anonymous Gregorian algorithm (Meeus, Astronomical Algorithms,
// chapter 8).
func Easter(year int) time.Time {
	a := year % 19
	b, c := year/100, year%100
	d, e := b/4, b%4
	f := (b + 8) / 25
	g := (b - f + 1) / 3
	h := (19*a + b - d - g + 15) % 30
	i, k := c/4, c%4
	l := (32 + 2*e + 2*i - h - k) % 7
	m := (a + 11*h + 22*l) / 451
	month := (h + l - 7*m + 114) / 31
	day := (h+l-7*m+114)%31 + 1
	return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
}

// fixedHolidays are Italy's public holidays with a date of their own.
//
// Source: legge 27 maggio 1949 n. 260 and later changes.
var fixedHolidays = map[string]bool{
	"01-01": true, // Capodanno
	"01-06": true, // Epifania
	"04-25": true, // Liberazione
	"05-01": true, // Festa del lavoro
	"06-02": true, // Festa della Repubblica
	"08-15": true, // Ferragosto
	"11-01": true, // Ognissanti
	"12-08": true, // Immacolata
	"12-25": true, // Natale
	"12-26": true, // Santo Stefano
}

// sanFrancesco is a holiday again from 2026 on (legge 8 ottobre 2025 n. 151).
const sanFrancesco = "10-04"

// Holiday tells whether a day is a public holiday all over Italy. Ordinary
// Sundays are not meant: whether the studio works at weekends is what the
// cron spec says.
func Holiday(day time.Time) bool {
	date := day.Format("01-02")
	if fixedHolidays[date] || (date == sanFrancesco && day.Year() >= 2026) {
		return true
	}
	easter := Easter(day.Year())
	return day.Equal(easter) || day.Equal(easter.AddDate(0, 0, 1))
}

// Working tells whether the studio works on a day, as far as holidays, the
// patron saint and the closed ranges say.
func (p Policy) Working(day time.Time) bool {
	if Holiday(day) || (p.Patron != "" && day.Format("01-02") == p.Patron) {
		return false
	}
	for _, r := range p.Closed {
		if !day.Before(r.From) && !day.After(r.To) {
			return false
		}
	}
	return true
}
