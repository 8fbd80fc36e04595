package page

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"pec-ingest/internal/schedule"
)

// view is one template with the layout around it.
type view struct{ t *template.Template }

// views are parsed once: they are the same for each Page.
var views = sync.OnceValue(readViews)

func readViews() map[string]*view {
	layout := template.Must(template.New("layout.html").Funcs(functions).ParseFS(files, "templates/layout.html", "templates/parts.html"))
	list, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		panic(err)
	}
	out := map[string]*view{}
	for _, f := range list {
		name := strings.TrimSuffix(strings.TrimPrefix(f, "templates/"), ".html")
		if name != "layout" && name != "parts" {
			out[name] = &view{template.Must(template.Must(layout.Clone()).ParseFS(files, f))}
		}
	}
	return out
}

// frame is what every view has; the templates call its methods.
type frame struct {
	words
	loc *time.Location
	now time.Time

	View    string // name of the template, marks the place in the navigation
	Title   string
	Path    string // with the query, to come back to
	Theme   string // "light", "dark", "" = as the system says
	Keys    bool   // one-letter shortcuts
	Person  Person
	Studio  string
	Version string
	Logout  string
	Done    string // what was just done, in words; "" = nothing
	Problem *Problem
	Count   Counts
	Live    bool // refreshes itself
}

// frame begins a view. title is a key of the words.
func (p *Page) frame(r *http.Request, name, title string) frame {
	who, _ := PersonFrom(r.Context())
	f := frame{words: wordsFor(r, who), loc: locationOf(p.o.Source.Policy()), now: time.Now(), View: name, Path: r.URL.RequestURI(),
		Theme: themeOf(r), Keys: keysOf(r), Person: who, Studio: p.o.Studio, Version: p.o.Version, Logout: p.o.LogoutPath}
	f.Title = f.T(title)
	if !who.CanLeave {
		f.Logout = ""
	}
	if r.Method != http.MethodGet {
		f.Path = "/"
	}
	if done := r.URL.Query().Get("esito"); done != "" && f.has("done."+done) {
		f.Done = f.T("done." + done)
	}
	if who.CanDecide {
		if c, err := p.o.Source.Counts(r.Context()); err == nil {
			f.Count = c
		}
	}
	return f
}

// render writes a view; data holds the frame.
func (p *Page) render(w http.ResponseWriter, status int, name string, data any) error {
	start := time.Now()
	var b bytes.Buffer
	if err := p.views[name].t.ExecuteTemplate(&b, "layout.html", data); err != nil {
		return fmt.Errorf("making the view %s: %w", name, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Server-Timing", fmt.Sprintf("render;dur=%.1f", float64(time.Since(start).Microseconds())/1000))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
	return nil
}

// trouble shows what went wrong and what can be done.
func (p *Page) trouble(w http.ResponseWriter, r *http.Request, status int, problem *Problem) {
	data := struct {
		frame
		Status int
	}{p.frame(r, "trouble", "trouble.title"), status}
	data.Problem = problem
	if err := p.render(w, status, "trouble", data); err != nil {
		p.o.Log.Error("a page could not be made", "event", "page.error", "path", r.Pattern, "err", err)
		http.Error(w, http.StatusText(status), status)
	}
}

// ShowDetail tells whether the service's own words say more than the page's.
func (f frame) ShowDetail(p *Problem) bool {
	return p.Detail != "" && (p.Kind == KindInvalid || p.Kind == KindFailed || p.Kind == KindNoKey)
}

// Asset is the address of an asset, for templates.
func (frame) Asset(name string) string { return AssetPath(name) }

// Lang is the language of the page, for its lang attribute.
func (f frame) Lang() string { return f.lang }

// Has tells whether there are words for a key.
func (f frame) Has(key string) bool { return f.has(key) }

// Clock is the time of day on the studio's clock.
func (f frame) Clock(t time.Time) string { return t.In(f.loc).Format("15:04:05") }

// functions are for templates what methods can't be.
var functions = template.FuncMap{
	// dict makes the data of a part out of names and values.
	"dict": func(pairs ...any) (map[string]any, error) {
		if len(pairs)%2 != 0 {
			return nil, errors.New("dict: a name without a value")
		}
		m := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			name, ok := pairs[i].(string)
			if !ok {
				return nil, errors.New("dict: a name that is no string")
			}
			m[name] = pairs[i+1]
		}
		return m, nil
	},
	"sub":   func(a, b int) int { return a - b },
	"shape": shapeOf,
}

// shapeOf is the shape of a state, or of how a part stands.
func shapeOf(state string) string {
	switch state {
	case "good":
		return schedule.StateValid
	case "warning":
		return schedule.StateDue
	case "error":
		return schedule.StateBroken
	}
	if slices.Contains(states, state) {
		return state
	}
	return schedule.StateMissing
}
