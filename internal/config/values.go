package config

import (
	"errors"
	"fmt"
	"math"
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads "90s", "5m", "1h30m", "90d", "2w" or "0".
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	for unit, size := range map[string]int{"d": 1, "w": 7} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			days, err := strconv.Atoi(n)
			if err != nil || days < 0 || days > 36500 {
				return 0, errors.New("not a duration")
			}
			return time.Duration(days*size) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, errors.New("not a duration")
	}
	return d, nil
}

// ParseDays reads "90d" or "12w" as a number of days.
func ParseDays(s string) (int, error) {
	d, err := ParseDuration(s)
	if err != nil || d%(24*time.Hour) != 0 || !strings.ContainsAny(s, "dw") {
		return 0, errors.New("not a number of days")
	}
	return int(d / (24 * time.Hour)), nil
}

// byteUnits are tried in this order: the longer suffix first.
var byteUnits = []struct {
	suffix string
	size   int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"kB", 1000}, {"KB", 1000}, {"MB", 1000 * 1000}, {"GB", 1000 * 1000 * 1000}, {"B", 1}, {"", 1},
}

// ParseBytes reads "25MiB", "25 MB" or "1048576".
func ParseBytes(s string) (int64, error) {
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.size {
			break
		}
		return n * u.size, nil
	}
	return 0, errors.New("not a size")
}

// ParseDay reads "2026-08-23" as a day.
func ParseDay(s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 2000 || t.Year() > 2200 {
		return time.Time{}, errors.New("not a date")
	}
	return t, nil
}

// ParseRange reads "2026-08-08/2026-08-23", or one day alone.
func ParseRange(s string) (Range, error) {
	first, last, two := strings.Cut(s, "/")
	if !two {
		last = first
	}
	from, err := ParseDay(strings.TrimSpace(first))
	if err != nil {
		return Range{}, err
	}
	to, err := ParseDay(strings.TrimSpace(last))
	if err != nil {
		return Range{}, err
	}
	switch days := to.Sub(from) / (24 * time.Hour); {
	case days < 0:
		return Range{}, errors.New("ends before it begins")
	case days > 366:
		return Range{}, errors.New("is longer than a year")
	}
	return Range{From: from, To: to}, nil
}

// ParseMonthDay checks "10-04": month and day of every year.
func ParseMonthDay(s string) error {
	// 2000 is a leap year; who has 29 February as patron has it every four years.
	if len(s) != 5 {
		return errors.New("not a month and a day")
	}
	if _, err := time.Parse(time.DateOnly, "2000-"+s); err != nil {
		return errors.New("not a month and a day")
	}
	return nil
}

// mailboxForm is DESIGN §1's form of a PEC address, after lower-casing.
var mailboxForm = regexp.MustCompile(`^[a-z0-9._+-]{1,64}@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z][a-z0-9-]*[a-z0-9]$`)

func isMailbox(s string) bool { return len(s) <= 254 && mailboxForm.MatchString(s) }

// ParseFrom reads "Studio <studio@pec.it>" or an address alone, and gives the
// address, lower-cased.
func ParseFrom(s string) (address string, err error) {
	if strings.ContainsAny(s, "\r\n\x00") {
		return "", errors.New("not a mail address")
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		return "", errors.New("not a mail address")
	}
	address = strings.ToLower(a.Address)
	if !isMailbox(address) {
		return "", errors.New("not a mail address")
	}
	return address, nil
}

var hostForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$`)

// checkHost explains what is wrong with a host name; "" if nothing is.
func checkHost(s string) (msg, hint string) {
	switch {
	case strings.Contains(s, "://"):
		return "is an address of another kind", "the host name alone, such as imaps.pec.aruba.it"
	case strings.Contains(s, ":") && !strings.Contains(s, "::"):
		return "has a port", "the host name alone; the port has a key of its own"
	case strings.Contains(s, "::") && !strings.ContainsAny(s, " \t[]%"):
		return "", "" // IPv6
	case !hostForm.MatchString(s):
		return "is not a host name", "such as imaps.pec.aruba.it"
	}
	return "", ""
}

var pinForm = regexp.MustCompile(`^spki-sha256:[0-9a-f]{64}$`)

const pinPrefix = "spki-sha256:"

// readPin tells whether s is meant as a pin, and gives it in its one form.
func readPin(s string) (pin string, isPin bool, err error) {
	lower := strings.ToLower(strings.TrimSpace(s))
	if !strings.HasPrefix(lower, pinPrefix) {
		return "", false, nil
	}
	lower = pinPrefix + strings.ReplaceAll(strings.TrimPrefix(lower, pinPrefix), ":", "")
	if !pinForm.MatchString(lower) {
		return "", true, fmt.Errorf("has %d characters after %q", len(lower)-len(pinPrefix), pinPrefix)
	}
	return lower, true, nil
}
