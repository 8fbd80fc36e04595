package pec_test

import (
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
