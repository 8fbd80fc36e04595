package main

import (
	"context"
	"io"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestDemoPage: the demo ends on the page, and its link lets in. The picture
// in README.md is made here (`make screenshot`).
func TestDemoPage(t *testing.T) {
	t.Parallel()
	engine := chromium(t)
	ctx, stop := context.WithCancel(t.Context())
	out, ended := &lockedBuffer{}, make(chan int, 1)
	go func() { ended <- run(ctx, []string{"demo", "--listen", "127.0.0.1:0"}, nil, out, io.Discard) }()
	defer func() {
		stop()
		if code := <-ended; code != exitOK {
			t.Errorf("the demo: got exit %d\n%s", code, out)
		}
	}()
	link := regexp.MustCompile(`(http://127\.0\.0\.1:\d+)/accesso\?t=\S+`)
	for end := time.Now().Add(patience); !link.MatchString(out.String()); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the demo prints no link:\n%s", out)
		}
	}
	m := link.FindStringSubmatch(out.String())
	shots := os.Getenv(shotsEnv)
	if shots == "" {
		shots = t.TempDir()
	}
	b := window(t, engine, m[1], shots)
	b.do(chromedp.Navigate(m[0]))
	b.press("button[type=submit]")
	if rows := js[int](b, "document.querySelectorAll('table.mailboxes tbody tr').length"); rows < 5 {
		t.Errorf("the demo's page shows %d mailboxes, want its clients", rows)
	}
	b.shot("demo-caselle")
	b.do(chromedp.EmulateViewport(1120, 700))
	b.clip("demo")
	for _, path := range []string{"/scadenze", "/da-decidere"} {
		b.open(path)
		b.axe("the demo's " + path)
		b.shot("demo-" + path[1:])
	}
	b.quiet("the demo's page")
}
