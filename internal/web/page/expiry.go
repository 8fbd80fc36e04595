package page

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"pec-ingest/internal/schedule"
)

// plotDays is how far the plot looks, today included.
const plotDays = 90

// plotDay is one day of the plot.
type plotDay struct {
	Day    time.Time
	Boxes  []Mailbox
	Off    bool // weekend, holiday, or the studio is closed
	Heavy  bool // many more than on other days
	Anchor string
}

// N is how many passwords expire.
func (d plotDay) N() int { return len(d.Boxes) }

// heavyFrom is the least count of a heavy day.
const heavyFrom = 4

// expiryDays sorts the mailboxes by the day on which they expire. A heavy day
// has at least heavyFrom, and twice what the days with any have on average.
func expiryDays(rows []Mailbox, today time.Time, policy schedule.Policy) []plotDay {
	list := make([]plotDay, plotDays)
	for i := range list {
		day := today.AddDate(0, 0, i)
		weekend := day.Weekday() == time.Saturday || day.Weekday() == time.Sunday
		list[i] = plotDay{Day: day, Off: weekend || !policy.Working(day), Anchor: "g" + day.Format(time.DateOnly)}
	}
	sum, with := 0, 0
	for _, m := range rows {
		if i := days(today, m.Expires); m.Version > 0 && i >= 0 && i < plotDays && m.State != schedule.StateBroken {
			list[i].Boxes = append(list[i].Boxes, m)
			sum++
		}
	}
	for _, d := range list {
		if d.N() > 0 {
			with++
		}
	}
	for i := range list {
		list[i].Heavy = list[i].N() >= heavyFrom && list[i].N()*with >= 2*sum
	}
	return list
}

// Measures of the plot, in the units of its viewBox.
const (
	plotLeft, plotTop   = 30, 34
	plotWide, plotHigh  = 1150, 300
	plotFloor           = 262 // y of the axis
	columnWidth         = (plotWide - plotLeft - 10) / plotDays
	cellWidth, cellHigh = 44, 40 // of the calendar on a phone
)

type bar struct {
	plotDay
	X, Y, H, Mid int
	Top          int // y of the number
	Said         bool
}

// crowded is from how many bars on only those of heavy days carry a number:
// more would run into each other.
const crowded = 45

type tick struct {
	Y, N int
}

type monthMark struct {
	X    int
	Name string
}

type plot struct {
	Wide, High, Left, Top, Floor, Column int
	Bars                                 []bar
	Ticks                                []tick
	Months                               []monthMark
	Mondays                              []monthMark
}

func (f frame) plot(list []plotDay) plot {
	p := plot{Wide: plotWide, High: plotHigh, Left: plotLeft, Top: plotTop, Floor: plotFloor, Column: columnWidth}
	most, bars := 0, 0
	for _, d := range list {
		most = max(most, d.N())
		bars += min(d.N(), 1)
	}
	step := tickStep(most)
	top := max(step, (most+step-1)/step*step)
	y := func(n int) int { return plotFloor - n*(plotFloor-plotTop)/top }
	for n := step; n <= top; n += step {
		p.Ticks = append(p.Ticks, tick{y(n), n})
	}
	for i, d := range list {
		x := plotLeft + i*columnWidth
		p.Bars = append(p.Bars, bar{plotDay: d, X: x, Y: y(d.N()), H: plotFloor - y(d.N()), Mid: x + columnWidth/2, Top: y(d.N()) - 4,
			Said: d.Heavy || bars < crowded && d.N() < 100})
		if d.Day.Day() == 1 || i == 0 && d.Day.Day() < 22 {
			p.Months = append(p.Months, monthMark{x, f.Month(d.Day)})
		}
		if d.Day.Weekday() == time.Monday {
			p.Mondays = append(p.Mondays, monthMark{x + columnWidth/2, strconv.Itoa(d.Day.Day())})
		}
	}
	return p
}

// tickStep is the distance of the grid's lines: 1, 2, 5, 10, 20, 50, …
func tickStep(most int) int {
	for step := 1; ; step *= 10 {
		for _, s := range []int{step, 2 * step, 5 * step} {
			if most <= 5*s {
				return s
			}
		}
	}
}

// cell is one day of the calendar on a phone; week and weekday place it.
type cell struct {
	plotDay
	X, Y, Mid, Base int
	Month           string // on its first day
}

func (f frame) cells(list []plotDay) (cells []cell, high int) {
	week := 0
	for i, d := range list {
		column := (int(d.Day.Weekday()) + 6) % 7
		if i > 0 && column == 0 {
			week++
		}
		c := cell{plotDay: d, X: plotLeft + column*cellWidth, Y: 20 + week*cellHigh}
		c.Mid, c.Base = c.X+cellWidth/2, c.Y+cellHigh/2+5
		if d.Day.Day() == 1 || i == 0 {
			c.Month = f.Month(d.Day)[:3]
		}
		cells = append(cells, c)
	}
	return cells, 24 + (week+1)*cellHigh
}

type expiriesData struct {
	frame
	Days     []plotDay // those with any
	Plot     plot
	Cells    []cell
	CellsTop int // height of the calendar
	Sum      int
	Expired  int
	Heavy    []plotDay
	Initials []monthMark
}

func (p *Page) expiries(w http.ResponseWriter, r *http.Request, _ Person) error {
	rows, err := p.o.Source.Mailboxes(r.Context())
	if err != nil {
		return err
	}
	d := expiriesData{frame: p.frame(r, "expiries", "expiry.title")}
	d.Live = true
	slices.SortStableFunc(rows, columns[0].less)
	list := expiryDays(rows, d.Today(), p.o.Source.Policy())
	for _, m := range rows {
		if m.State == schedule.StateExpired {
			d.Expired++
		}
	}
	d.Plot = d.plot(list)
	d.Cells, d.CellsTop = d.cells(list)
	for i := range 7 {
		d.Initials = append(d.Initials, monthMark{plotLeft + i*cellWidth + cellWidth/2, weekdays[d.index()][(i+1)%7][:2]})
	}
	for _, day := range list {
		if day.N() > 0 {
			d.Days = append(d.Days, day)
			d.Sum += day.N()
		}
		if day.Heavy {
			d.Heavy = append(d.Heavy, day)
		}
	}
	return p.render(w, http.StatusOK, "expiries", d)
}
