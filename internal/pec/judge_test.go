package pec_test

import (
	"regexp"
	"testing"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
)

var (
	testAuthority = pectest.NewAuthority("pec")
	testTime      = time.Date(2026, 9, 19, 13, 41, 19, 0, time.UTC)
)

func testTrust(t testing.TB) *pec.Trust {
	t.Helper()
	trust, err := pec.NewTrust(pec.TrustOptions{Builtin: true, PEM: [][]byte{testAuthority.RootPEM()}})
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func testEnvelope() pectest.Envelope {
	return pectest.Envelope{
		Provider: testAuthority.Provider("posta-certificata@pec.aruba.it", "ARUBA PEC S.p.A."),
		Sender:   "rossi@pec.it", Recipients: []string{"studio@pec.it"},
		Subject: "Nuova password", SentAt: testTime,
		Letter: pectest.Letter{Text: "La nuova password è: Kx7#mQ2p\n"},
	}
}

func TestStylesCertified(t *testing.T) {
	trust := testTrust(t)
	for _, style := range pectest.Styles() {
		t.Run(style.Name, func(t *testing.T) {
			e := testEnvelope()
			e.Style = style
			j := pec.Judge(e.Bytes(), pec.Options{Trust: trust, Recipients: []string{"Studio@PEC.it"}, ReceivedAt: testTime})
			if !j.Certified() {
				t.Fatalf("got %q (%v), want certified", j.Reason, j.Err)
			}
		})
	}
}

// Each time that certification data can name is held against the signer's
// dates, also those that Go or a chain's check could take for no time at all.
func TestEveryTimeIsHeldAgainstTheSigner(t *testing.T) {
	trust, err := pec.NewTrust(pec.TrustOptions{PEM: [][]byte{testAuthority.IssuingPEM()}})
	if err != nil {
		t.Fatal(err)
	}
	for _, when := range []struct{ zone, day, hour string }{
		{"+0000", "01/01/0001", "00:00:00"}, // Go's zero time
		{"+0100", "01/01/0001", "00:00:00"}, // a year 0
		{"+0100", "31/12/1899", "12:00:00"},
		{"+0000", "01/01/1970", "00:00:00"},
		{"+0000", "01/01/2300", "00:00:00"},
		{"-1200", "31/12/9999", "23:59:59"},
	} {
		t.Run(when.day+when.zone, func(t *testing.T) {
			e := testEnvelope()
			e.Daticert = func(xml string) string {
				return dataElement.ReplaceAllString(xml,
					`<data zona="`+when.zone+`"><giorno>`+when.day+`</giorno><ora>`+when.hour+`</ora></data>`)
			}
			j := pec.Judge(e.Bytes(), pec.Options{Trust: trust, ReceivedAt: testTime})
			if j.Reason != pec.ReasonSignerNotValid {
				t.Errorf("got %q (%v), want signer-not-valid", j.Reason, j.Err)
			}
		})
	}
}

var dataElement = regexp.MustCompile(`(?s)<data .*</data>`)
