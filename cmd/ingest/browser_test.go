package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"pec-ingest/internal/servertest"
)

// axeSource is axe-core, which looks for faults of accessibility: version
// 4.14.1 from npm, as published, MPL-2.0 (the licence lies beside it).
//
//go:embed testdata/axe/axe.min.js
var axeSource string

// shotsEnv names a folder that keeps the screenshots; else they go with the
// test's temporary folder.
const shotsEnv = "PEC_INGEST_SCREENSHOTS"

// browser is a Chromium window of its own: cookies, faults and screenshots.
type browser struct {
	t     *testing.T
	ctx   context.Context
	base  string
	shots string

	mu     sync.Mutex
	faults []string // of the console, and violations of the content policy
}

// chromium starts the browser that all windows of a test are in. It reaches
// loopback and nothing else.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path := servertest.Require(t, "chromium")
	// The folder of its profile is the library's, which knows that Chromium's
	// children write there after its end; t.TempDir would fail for that.
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("no-pings", true), chromedp.Flag("disable-gpu", true),
		chromedp.Flag("lang", "it-IT"),
		// Chromium's own sandbox refuses root, and needs what containers lack;
		// here it sees nothing but the page under test.
		chromedp.NoSandbox)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() { cancel(); stop() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return ctx
}

// window opens one without anybody's cookies.
func window(t *testing.T, chromium context.Context, base, shots string) *browser {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, base: base, shots: shots}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening a window: %v", err)
	}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	call(b, audits.Enable, cdp.Empty{})
	call(b, log.Enable, cdp.Empty{})
	b.width(1280)
	return b
}

// listen collects what a page must not cause.
func (b *browser) listen(ev any) {
	fault := ""
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		fault = "exception: " + ev.ExceptionDetails.Text
		if e := ev.ExceptionDetails.Exception; e != nil {
			fault += ": " + e.Description
		}
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning {
			fault = fmt.Sprintf("console.%s: %s", ev.Type, ev.Args[0].Value)
		}
	case *log.EventEntryAdded:
		// A refusal that was meant is an answer like others.
		if e := ev.Entry; (e.Level == log.EntryLevelError || e.Source == log.EntrySourceSecurity) && !strings.Contains(e.Text, "responded with a status of") {
			fault = fmt.Sprintf("log (%s): %s", e.Source, e.Text)
		}
	case *page.EventJavascriptDialogOpening:
		fault = "a dialog: " + ev.Message
	case *audits.EventIssueAdded:
		if ev.Issue.Code == audits.InspectorIssueCodeContentSecurityPolicyIssue {
			d, _ := json.Marshal(ev.Issue.Details.ContentSecurityPolicyIssueDetails)
			fault = "content policy: " + string(d)
		}
	}
	if fault != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.faults = append(b.faults, fault)
	}
}

// quiet fails where a page caused faults.
func (b *browser) quiet(what string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		b.t.Errorf("%s: %s", what, f)
	}
	b.faults = nil
}

type action = chromedp.Action[chromedp.Void]

// do runs actions that must succeed.
func (b *browser) do(actions ...action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.fatal(err)
	}
}

// get runs an action that has a value.
func get[T any](b *browser, a chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		b.fatal(err)
	}
	return v
}

// call gives the browser one command of its protocol.
func call[P, R any](b *browser, cmd cdp.Command[P, R], params P) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, cmd, params); err != nil {
		b.fatal(err)
	}
}

func (b *browser) fatal(err error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Second)
	defer cancel()
	where, _ := chromedp.Run(ctx, chromedp.Location())
	b.t.Fatalf("at %s: %v", where, err)
}

// open goes to a path of the page.
func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.base+path), chromedp.WaitReady(body))
}

const body = chromedp.CSS("body")

// js is the value of an expression. It works where pages may run no scripts.
func js[T any](b *browser, expression string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](expression))
}

// until waits for an expression to be true.
func (b *browser) until(expression string) {
	b.t.Helper()
	get(b, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(patience)))
}

// text is all that the page says.
func (b *browser) text() string {
	b.t.Helper()
	return js[string](b, "document.body.innerText")
}

// says fails where the page does not hold a text.
func (b *browser) says(texts ...string) {
	b.t.Helper()
	got := b.text()
	for _, want := range texts {
		if !strings.Contains(strings.ToLower(got), strings.ToLower(want)) {
			b.t.Errorf("%s does not say %q:\n%s", js[string](b, "location.pathname"), want, got)
		}
	}
}

// press presses what a selector finds, and waits for the page that comes.
func (b *browser) press(selector string) {
	b.t.Helper()
	b.leaving(chromedp.Click(chromedp.CSS(selector)))
}

// leaving does something that brings another page, and waits for it.
func (b *browser) leaving(actions ...action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, actions...); err != nil {
		b.fatal(err)
	}
	b.do(chromedp.WaitReady(body))
}

// dark switches what the system would tell the page.
func (b *browser) dark(on bool) {
	b.t.Helper()
	value := "light"
	if on {
		value = "dark"
	}
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: value}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
}

func (b *browser) width(pixels int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(pixels, 800))
}

// shot keeps a picture of the whole page.
func (b *browser) shot(name string) {
	b.t.Helper()
	png := get(b, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(b.shots, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// clip keeps a picture of what the window shows.
func (b *browser) clip(name string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.shots, name+".png"), get(b, chromedp.CaptureScreenshot()), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// fits fails where the page must be scrolled sideways, or something on it
// stands out of the window.
func (b *browser) fits(what string) {
	b.t.Helper()
	if wide := js[int](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
		b.t.Errorf("%s: %d pixels wider than the window", what, wide)
	}
}

type axeResult struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

// axe fails for each violation of WCAG 2.2 AA that axe-core finds.
func (b *browser) axe(what string) {
	b.t.Helper()
	if !js[bool](b, "typeof axe === 'object'") {
		js[int](b, axeSource+";0")
	}
	found := get(b, chromedp.Evaluate[[]axeResult](`axe.run(document, {resultTypes: ['violations'], runOnly: {type: 'tag',
		values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}}).then(r => r.violations)`,
		chromedp.EvalAwaitPromise))
	for _, v := range found {
		for _, n := range v.Nodes {
			b.t.Errorf("%s: axe: %s (%s): %s\n%s\n%s", what, v.ID, v.Impact, v.Help, n.HTML, n.Summary)
		}
	}
}
