package pec_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every section of RFC 6109 that the code and docs/rfc6109.md cite exists, and
// every section is in the table or among those that are not for receivers.
func TestCitedSectionsExist(t *testing.T) {
	rfc, err := os.ReadFile("../../../shared/reference/rfc6109.txt")
	if os.IsNotExist(err) {
		t.Skip("SKIPPED: the text of RFC 6109 is not here (../shared/reference)")
	}
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(?:   )?(\d+(?:\.\d+)*)\. {1,2}[A-Z"]`).FindAllStringSubmatch(string(rfc), -1) {
		sections[m[1]] = true
	}
	if len(sections) < 60 {
		t.Fatalf("got %d sections, want at least 60", len(sections))
	}
	table, err := os.ReadFile("../../docs/rfc6109.md")
	if err != nil {
		t.Fatal(err)
	}
	number := regexp.MustCompile(`\d+(?:\.\d+)*`)
	rows := 0
	for _, m := range regexp.MustCompile(`(?m)^\| ([\d. to]+) \|`).FindAllStringSubmatch(string(table), -1) {
		rows++
		for _, n := range number.FindAllString(m[1], -1) {
			if !sections[n] {
				t.Errorf("docs/rfc6109.md: no section %s", n)
			}
		}
	}
	if rows < 40 {
		t.Errorf("got %d rows, want at least 40", rows)
	}
	cited := 0
	for _, dir := range []string{".", "../pectest", "../pectest/corpus"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(string(b), "\n// ", " ")
			for _, m := range regexp.MustCompile(`RFC 6109((?:,? ?§[\d.]+)+)`).FindAllStringSubmatch(text, -1) {
				for _, n := range number.FindAllString(m[1], -1) {
					cited++
					if !sections[n] {
						t.Errorf("%s cites RFC 6109 §%s, which does not exist", f, n)
					}
				}
			}
		}
	}
	if cited < 20 {
		t.Errorf("got %d citations, want at least 20", cited)
	}
}
