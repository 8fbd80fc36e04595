package safetext_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pec-ingest/internal/safetext"
)

func TestLine(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "Nuova password", "Nuova password"},
		{"line ends", "a\r\nBcc: x@y\n b", "a Bcc: x@y b"},
		{"terminal escape", "\x1b[2Jrosso\x1b[0m", "[2Jrosso[0m"},
		{"c1 control", "a\u009bb", "ab"},
		{"bidi", "file\u202etxt.exe\u202c\u2066x\u2069", "filetxt.exex"},
		{"zero width", "pass\u200bword\ufeff", "password"},
		{"tags", "a\U000E0041b", "ab"},
		{"bad utf8", "a\xffb", "a?b"},
		{"accents", "perché è così", "perché è così"},
		{"blank ends", "  a   b  ", "a b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := safetext.Line(c.in); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := safetext.LineN("abcdef", 3); got != "abc…" {
		t.Errorf("cut: got %q", got)
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"rossi@pec.it":            "rossi@pec.it",
		"rossi@реc.it":            "rossi@xn--c-itb6a.it",
		"r\u043essi@pec.it":       `r\u{43e}ssi@pec.it`,
		"a\u202eb@pec.it":         "ab@pec.it",
		"no address \u043e":       `no address \u{43e}`,
		"x@y\r\nBcc: evil@pec.it": "x@y Bcc: evil@pec.it",
		strings.Repeat("a", 300):  strings.Repeat("a", 254) + "…",
		"a…":                      `a\u{2026}`,
	} {
		if got := safetext.Address(in); got != want {
			t.Errorf("Address(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"a\n  b\tè «c»":                "a\n  b\tè «c»",
		"x\x1b[31m\r\u202egnp\xff\x00": "x[31mgnp?",
		strings.Repeat("a b", 1000):    strings.Repeat("a b", 1000),
	} {
		if got := safetext.Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestBlock(t *testing.T) {
	if got := safetext.Block("a\r\nb\x1b\rc\nd", 3); got != "a\nb\nc\n…" {
		t.Errorf("got %q", got)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\x1b[0m\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := safetext.Line(s)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > safetext.MaxLine+2 {
			t.Fatalf("bad line %q", got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Fatalf("%U left in %q", r, got)
			}
		}
		if safetext.Line(got) != got && !strings.HasSuffix(got, "…") {
			t.Fatalf("not stable: %q", got)
		}
	})
}
