package config

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"pec-ingest/internal/safetext"

	_ "time/tzdata" // zones also where the system has none
)

// checker turns a raw configuration into a Config and collects what is wrong.
type checker struct {
	file, dir, credentials string
	lines                  lines
	raw                    raw
	errs                   Errors
}

// fail records a fault of a key.
func (c *checker) fail(key, msg, hint string) {
	c.errs = append(c.errs, &Error{File: c.file, Line: c.lines.line(key), Key: key, Msg: msg, Hint: hint})
}

// sort puts the faults in the order of the file.
func (c *checker) sort() {
	sort.SliceStable(c.errs, func(i, j int) bool { return c.errs[i].Line < c.errs[j].Line })
}

// quote shows a value of the file in an error.
func quote(s string) string { return strconv.Quote(safetext.LineN(s, 60)) }

func (c *checker) path(p string) string { return resolve(p, c.dir, c.credentials) }

// secretPath is path for a file that holds a secret: see resolveSecret.
func (c *checker) secretPath(p string) string { return resolveSecret(p, c.dir, c.credentials) }

func (c *checker) paths(list []string) []string {
	var out []string
	for _, p := range list {
		out = append(out, c.path(p))
	}
	return out
}

// required fails where a key that has no default says nothing.
func (c *checker) required(key, value, hint string) bool {
	if strings.TrimSpace(value) == "" {
		c.fail(key, "is missing", hint)
		return false
	}
	return true
}

// oneLine refuses control characters, which have no place in any name.
func (c *checker) oneLine(key, value string) string {
	for _, r := range value {
		if r < ' ' || r == 0x7f {
			c.fail(key, "has a control character in it", "one line of plain text")
			return ""
		}
	}
	return value
}

func (c *checker) choice(key, value string, allowed ...string) string {
	if !slices.Contains(allowed, value) {
		c.fail(key, "is "+quote(value), "want "+strings.Join(allowed, " or "))
	}
	return value
}

func (c *checker) port(key string, n int64) int {
	if n < 1 || n > 65535 {
		c.fail(key, fmt.Sprintf("is %d", n), "want 1 to 65535")
		return 0
	}
	return int(n)
}

func (c *checker) host(key, value string) string {
	if value == "" {
		return ""
	}
	if msg, hint := checkHost(value); msg != "" {
		c.fail(key, quote(value)+" "+msg, hint)
	}
	return value
}

// hostPort reads "host:port" or "host"; "" is allowed.
func (c *checker) hostPort(key, value string) string {
	if value == "" {
		return ""
	}
	host := value
	if i := strings.LastIndex(value, ":"); i >= 0 {
		host = strings.Trim(value[:i], "[]")
		n, err := strconv.Atoi(value[i+1:])
		if err != nil || n < 1 || n > 65535 {
			c.fail(key, quote(value)+" has no port from 1 to 65535", "such as imaps.pec.aruba.it:993")
			return value
		}
	}
	if msg, hint := checkHost(host); msg != "" {
		c.fail(key, quote(value)+": "+quote(host)+" "+msg, hint)
	}
	return value
}

func (c *checker) duration(key, value string, least, most time.Duration) time.Duration {
	d, err := ParseDuration(value)
	switch {
	case err != nil:
		c.fail(key, quote(value)+" is "+err.Error(), `such as "5m", "12h" or "90d"`)
	case d < least || d > most:
		c.fail(key, quote(value)+" is out of range", "want "+showDuration(least)+" to "+showDuration(most))
	}
	return d
}

func showDuration(d time.Duration) string {
	if d != 0 && d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	if d == 0 {
		return "0"
	}
	s := d.String() // "5m0s", "12h0m0s"
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func (c *checker) days(key, value string, least, most int) int {
	n, err := ParseDays(value)
	switch {
	case err != nil:
		c.fail(key, quote(value)+" is "+err.Error(), `such as "90d"`)
	case n < least || n > most:
		c.fail(key, quote(value)+" is out of range", fmt.Sprintf("want %dd to %dd", least, most))
	}
	return n
}

// mailboxes reads a list of addresses, lower-cased.
func (c *checker) mailboxes(key string, list []string) []string {
	var out []string
	for i, a := range list {
		lower := strings.ToLower(strings.TrimSpace(a))
		if !isMailbox(lower) {
			c.fail(fmt.Sprintf("%s[%d]", key, i), quote(a)+" is not a mail address", "such as studio@pec.it")
			continue
		}
		if !slices.Contains(out, lower) {
			out = append(out, lower)
		}
	}
	return out
}

// names reads a list of plain names, such as unix groups.
func (c *checker) names(key string, list []string) []string {
	for i, n := range list {
		if n == "" || strings.ContainsAny(n, " \t\r\n:,\x00") {
			c.fail(fmt.Sprintf("%s[%d]", key, i), quote(n)+" is not a group name", "as getent group shows it")
		}
	}
	return orNil(list)
}

// orNil is a copy of the list, nil if it is empty: [] and no key are the same.
func orNil(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Clone(list)
}

// command reads a program with its arguments.
func (c *checker) command(key string, list []string) []string {
	if len(list) > 0 && strings.TrimSpace(list[0]) == "" {
		c.fail(key, "has no program", `such as ["/usr/bin/logger", "-t", "pec"]`)
	}
	for i, arg := range list {
		if strings.ContainsRune(arg, 0) {
			c.fail(fmt.Sprintf("%s[%d]", key, i), "has a zero byte in it", "")
		}
	}
	return orNil(list)
}

// absent tells whether the file doesn't name a key, so that its default may
// follow from others.
func (c *checker) absent(key string) bool { return !c.lines.has(key) }
