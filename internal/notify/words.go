package notify

import (
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"

	"pec-ingest/internal/safetext"
)

var (
	italianDays   = []string{"domenica", "lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato"}
	italianMonths = []string{"", "gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto",
		"settembre", "ottobre", "novembre", "dicembre"}
)

// DayWords writes a day for people: "mercoledì 1º aprile 2026", "Wednesday 1
// April 2026". With the weekday in front Italian needs no article, which would
// change with the number ("il 3", "l'8").
func DayWords(day time.Time, lang string) string {
	if lang == "en" {
		return day.Format("Monday 2 January 2006")
	}
	number := fmt.Sprint(day.Day())
	if day.Day() == 1 {
		number = "1º"
	}
	return italianDays[day.Weekday()] + " " + number + " " + italianMonths[day.Month()] + " " + fmt.Sprint(day.Year())
}

// functions are what templates may call, beside text/template's own.
func functions(lang string) template.FuncMap {
	return template.FuncMap{
		// day writes a day in words: {{day .Expires}}.
		"day": func(t time.Time) string { return DayWords(t, lang) },
		// number counts from 1: {{number $i}}.
		"number": func(i int) int { return i + 1 },
		// join puts a comma between names, and the last "and": {{join .Mailboxes}}.
		"join": func(list []string) string {
			and := " e "
			if lang == "en" {
				and = " and "
			}
			if len(list) < 2 {
				return strings.Join(list, "")
			}
			return strings.Join(list[:len(list)-1], ", ") + and + list[len(list)-1]
		},
	}
}

// clean is a copy of d in which every text is one harmless line.
func clean(d Data) Data {
	line := safetext.Line
	lines := func(list []string) []string {
		list = slices.Clone(list)
		for i := range list {
			list[i] = line(list[i])
		}
		return list
	}
	addresses := func(list []string) []string {
		list = slices.Clone(list)
		for i := range list {
			list[i] = safetext.Address(list[i])
		}
		return list
	}
	items := func(list []Item) []Item {
		list = slices.Clone(list)
		for i, it := range list {
			list[i].Mailbox, list[i].Client, list[i].Phone = safetext.Address(it.Mailbox), line(it.Client), line(it.Phone)
			list[i].State, list[i].Note = line(it.State), line(it.Note)
		}
		return list
	}
	d.Lang, d.Client, d.Mailbox, d.Provider, d.Reason = line(d.Lang), line(d.Client), safetext.Address(d.Mailbox), line(d.Provider), line(d.Reason)
	d.Account, d.Detail = line(d.Account), line(d.Detail)
	d.Studio = Studio{Name: line(d.Studio.Name), Phone: line(d.Studio.Phone), PEC: safetext.Address(d.Studio.PEC)}
	d.Mailboxes, d.Steps, d.Postpone = addresses(d.Mailboxes), lines(d.Steps), lines(d.Postpone)
	d.Items = items(d.Items)
	g := &d.Digest
	g.Call, g.Due, g.Expired, g.Broken = items(g.Call), items(g.Due), items(g.Expired), items(g.Broken)
	g.Review, g.Refused, g.Left = lines(g.Review), lines(g.Refused), lines(g.Left)
	g.Undelivered, g.Places, g.Notes = lines(g.Undelivered), lines(g.Places), lines(g.Notes)
	g.AuditHead = line(g.AuditHead)
	return d
}

// samples are what templates are tried with: everything there, and as little
// as there can be.
func samples(lang string) []Data {
	d := time.Date(2026, 7, 15, 0, 0, 0, 0, time.UTC)
	item := Item{Mailbox: "rossi@pec.it", Client: "Rossi", Phone: "051 000000", State: "due", Expires: d, DaysLeft: 10, Note: "nota"}
	text := []string{"uno", "due"}
	full := Data{
		Lang: lang, Studio: Studio{Name: "Studio Rossi", Phone: "051 000000", PEC: "studio@pec.it"}, Client: "Rossi",
		Mailbox: "rossi@pec.it", Mailboxes: []string{"rossi@pec.it", "bianchi@pec.it"}, Items: []Item{item, item},
		Expires: d, Claimed: d.AddDate(0, 0, 90), RemindFrom: d.AddDate(0, 0, -10), DaysLeft: 10,
		Provider: "Aruba PEC", Steps: text, Postpone: text, Reason: "intended", Account: "microsoft", Detail: "something happened",
		Digest: Digest{Day: d, Call: []Item{item}, Due: []Item{item}, Expired: []Item{item}, Broken: []Item{item}, Review: text,
			Refused: text, Left: text, Undelivered: text, Places: text, Notes: text, AuditHead: "abc", AuditSeq: 7},
	}
	list := []Data{full, {Lang: lang, Mailbox: "rossi@pec.it"}}
	for _, reason := range []string{ReasonNotEnabled, ReasonPicture, ReasonDocument, "expiring", "expired", "refused"} {
		one := full
		one.Reason, one.Items, one.Mailboxes = reason, nil, nil
		list = append(list, one)
	}
	return list
}
