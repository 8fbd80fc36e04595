package ingest_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/submission"
	"pec-ingest/internal/vault"
)

var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// sub is a judged submission sent so many hours after noon.
func sub(id string, hours int, find submission.State) vault.Submission {
	return vault.Submission{ID: id, Mailbox: "rossi@pec.example", Login: "rossi@pec.example",
		SentAt: noon.Add(time.Duration(hours) * time.Hour), Find: string(find), Stage: vault.StageJudged}
}

func because(s vault.Submission, reason string) vault.Submission {
	s.Reason = reason
	return s
}

// Each case lists what waits for one (mailbox, login) in the order in which
// it was sent; the plan must be the same in whatever order it arrived.
func TestPlanGroup(t *testing.T) {
	const (
		found     = submission.Found
		ambiguous = submission.Ambiguous
		extension = submission.Extension
		intended  = submission.Intended
	)
	tests := []struct {
		name    string
		subs    []vault.Submission
		since   int // hours after noon of what counted before
		sinceID string
		noProbe bool
		want    string // "id do[:reason]", in order of time
	}{
		{name: "nothing", want: ""},
		{name: "one password", since: -1, subs: []vault.Submission{sub("a", 0, found)}, want: "a probe"},
		{name: "ten passwords: one probe", since: -1, subs: []vault.Submission{
			sub("a", 0, found), sub("b", 1, found), sub("c", 2, found), sub("d", 3, found), sub("e", 4, found),
			sub("f", 5, found), sub("g", 6, found), sub("h", 7, found), sub("i", 8, found), sub("j", 9, found)},
			want: "a supersede, b supersede, c supersede, d supersede, e supersede, f supersede, g supersede, h supersede, i supersede, j probe"},
		{name: "older than what counts already", since: 5, subs: []vault.Submission{sub("a", 0, found)}, want: "a supersede"},
		{name: "same second: the identifier decides", since: -1, subs: []vault.Submission{sub("a", 0, found), sub("b", 0, found)},
			want: "a supersede, b probe"},
		{name: "same second as what counts, later identifier", since: 0, sinceID: "a", subs: []vault.Submission{sub("b", 0, found)}, want: "b probe"},
		{name: "same second as what counts, earlier identifier", since: 0, sinceID: "c", subs: []vault.Submission{sub("b", 0, found)}, want: "b supersede"},
		{name: "the very one that counts", since: 0, sinceID: "b", subs: []vault.Submission{sub("b", 0, found)}, want: "b supersede"},

		{name: "postponed after the password", since: -1, subs: []vault.Submission{sub("a", 0, found), sub("b", 1, extension)},
			want: "a probe, b extend"},
		{name: "postponed before the password", since: -1, subs: []vault.Submission{sub("a", 0, extension), sub("b", 1, found)},
			want: "a supersede, b probe"},
		{name: "postponed alone", since: -1, subs: []vault.Submission{sub("a", 0, extension)}, want: "a extend"},
		{name: "postponed before what counts", since: 5, subs: []vault.Submission{sub("a", 0, extension)}, want: "a supersede"},

		{name: "one ambiguous alone is decided by the probe", since: -1, subs: []vault.Submission{sub("a", 0, ambiguous)}, want: "a probe"},
		{name: "one ambiguous, probe off", since: -1, noProbe: true, subs: []vault.Submission{sub("a", 0, ambiguous)}, want: "a review:ambiguous"},
		{name: "two ambiguous", since: -1, subs: []vault.Submission{sub("a", 0, ambiguous), sub("b", 1, ambiguous)},
			want: "a review:ambiguous, b review:ambiguous"},
		{name: "ambiguous supersedes nothing", since: -1, subs: []vault.Submission{sub("a", 0, found), sub("b", 1, ambiguous)},
			want: "a probe, b review:ambiguous"},
		{name: "ambiguous before the clear one", since: -1, subs: []vault.Submission{sub("a", 0, ambiguous), sub("b", 1, found)},
			want: "a review:ambiguous, b probe"},
		{name: "ambiguous before what counts is not tried", since: 5, subs: []vault.Submission{sub("a", 0, ambiguous)}, want: "a review:ambiguous"},

		{name: "forgot the password", since: -1, subs: []vault.Submission{sub("a", 0, intended)}, want: "a review:intended"},
		{name: "forgot it, then sent it", since: -1, subs: []vault.Submission{sub("a", 0, intended), sub("b", 1, found)},
			want: "a supersede, b probe"},
		{name: "sent it, then asks", since: -1, subs: []vault.Submission{sub("a", 0, found), sub("b", 1, intended)},
			want: "a probe, b review:intended"},

		{name: "an objection is for a person", since: -1, subs: []vault.Submission{because(sub("a", 0, found), ingest.ReviewNewSigner)},
			want: "a review:new-signer"},
		{name: "an objection to the newest one supersedes nothing", since: -1,
			subs: []vault.Submission{sub("a", 0, found), because(sub("b", 1, found), ingest.ReviewNewSigner)},
			want: "a probe, b review:new-signer"},
		{name: "probe off: the newest is taken as it is", since: -1, noProbe: true,
			subs: []vault.Submission{sub("a", 0, found), sub("b", 1, found)}, want: "a supersede, b probe"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			since := noon.Add(time.Duration(tt.since) * time.Hour)
			for range 5 {
				subs := slices.Clone(tt.subs)
				rand.Shuffle(len(subs), func(i, j int) { subs[i], subs[j] = subs[j], subs[i] })
				if diff := cmp.Diff(tt.want, show(ingest.PlanGroup(subs, since, tt.sinceID, !tt.noProbe))); diff != "" {
					t.Fatalf("plan (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func show(steps []ingest.Step) string {
	var words []string
	for _, s := range steps {
		w := s.ID + " " + s.Do
		if s.Reason != "" {
			w += ":" + s.Reason
		}
		words = append(words, w)
	}
	return strings.Join(words, ", ")
}

// Whatever waits, at most one of a group is tried, nothing is dropped, and
// what is tried is newer than what counted before.
func TestPlanGroupInvariant(t *testing.T) {
	states := []submission.State{submission.Found, submission.Ambiguous, submission.Extension, submission.Intended}
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		var subs []vault.Submission
		sent := map[string]time.Time{}
		for i := range r.IntN(8) {
			s := sub(string(rune('a'+i)), r.IntN(6), states[r.IntN(len(states))])
			if r.IntN(6) == 0 {
				s.Reason = ingest.ReviewNewSigner
			}
			sent[s.ID] = s.SentAt
			subs = append(subs, s)
		}
		since := noon.Add(time.Duration(r.IntN(6)-2) * time.Hour)
		steps := ingest.PlanGroup(slices.Clone(subs), since, "", r.IntN(4) > 0)
		if len(steps) != len(subs) {
			t.Fatalf("got %d steps, want %d", len(steps), len(subs))
		}
		probes := 0
		for _, s := range steps {
			if s.Do != "probe" {
				continue
			}
			probes++
			if sent[s.ID].Before(since) {
				t.Fatalf("%s, sent %v, is tried although one of %v counts", s.ID, sent[s.ID], since)
			}
		}
		if probes > 1 {
			t.Fatalf("%d of a group are tried: %s", probes, show(steps))
		}
	}
}

func TestMassRefusal(t *testing.T) {
	for _, tt := range []struct {
		refused, accepted int
		want              bool
	}{{0, 0, false}, {1, 0, false}, {2, 0, false}, {3, 0, true}, {3, 1, false}, {50, 0, true}} {
		if got := ingest.MassRefusal(tt.refused, tt.accepted); got != tt.want {
			t.Errorf("%d refused, %d accepted: got %v, want %v", tt.refused, tt.accepted, got, tt.want)
		}
	}
}

// In trouble: five minutes at first, then less and less often, after a day
// once a day.
func TestNextTry(t *testing.T) {
	since := noon
	tests := []struct{ lasted, want time.Duration }{
		{0, 5 * time.Minute},
		{8 * time.Minute, 5 * time.Minute},
		{time.Hour, 30 * time.Minute},
		{23 * time.Hour, 11*time.Hour + 30*time.Minute},
		{24 * time.Hour, 24 * time.Hour},
		{100 * 24 * time.Hour, 24 * time.Hour},
	}
	for _, tt := range tests {
		now := since.Add(tt.lasted)
		if got := ingest.NextTry(since, now).Sub(now); got != tt.want {
			t.Errorf("after %v: got %v, want %v", tt.lasted, got, tt.want)
		}
	}
	// A day of trouble is at most a few dozen tries.
	tries := 0
	for now := since; now.Before(since.Add(24 * time.Hour)); now = ingest.NextTry(since, now) {
		tries++
	}
	if tries > 40 {
		t.Errorf("got %d tries in the first day, want no more than 40", tries)
	}
}
