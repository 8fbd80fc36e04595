package demo

import (
	"testing"
	"time"
)

// Whatever the hour, and where the clocks are changed too, the heavy day is a
// Monday, and everybody has written.
func TestHeavyDay(t *testing.T) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 11, 20, 0, 5, 0, 0, time.UTC)
	for now := begin; now.Before(begin.AddDate(1, 0, 0)); now = now.Add(time.Hour) {
		for i := range businesses {
			at := wroteAt(now, i, rome).In(rome)
			if i >= len(ages) && at.AddDate(0, 0, 90).Weekday() != time.Monday {
				t.Fatalf("at %v: client %d wrote on %v, 90 days before no Monday", now, i, at)
			}
			if !at.Before(now) {
				t.Fatalf("at %v: client %d writes at %v", now, i, at)
			}
		}
	}
}
