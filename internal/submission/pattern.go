package submission

import (
	"regexp"
	"strings"
	"sync"
)

// pattern is a regular expression that is compiled when it is first used: the
// program starts for every command, and few of them read letters.
type pattern struct {
	compiled func() *regexp.Regexp
	some     string // one of these characters stands in all that matches; "": not known
}

func newPattern(expr string) pattern { return patternWith("", expr) }

// patternWith is newPattern for one that matches only what holds one of the
// characters of some: most words hold none, and a regular expression takes
// thirty times as long to find that out.
func patternWith(some, expr string) pattern {
	return pattern{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) }), some}
}

func (p pattern) MatchString(s string) bool {
	if p.some != "" && !strings.ContainsAny(s, p.some) {
		return false
	}
	return p.compiled().MatchString(s)
}

func (p pattern) FindStringSubmatch(s string) []string { return p.compiled().FindStringSubmatch(s) }

func (p pattern) FindAllStringSubmatch(s string, n int) [][]string {
	return p.compiled().FindAllStringSubmatch(s, n)
}

func (p pattern) ReplaceAllString(s, with string) string {
	return p.compiled().ReplaceAllString(s, with)
}
