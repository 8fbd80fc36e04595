package pec_test

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
)

func ExampleJudge() {
	authority := pectest.NewAuthority("pec")
	trust, err := pec.NewTrust(pec.TrustOptions{PEM: [][]byte{authority.RootPEM()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	sent := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	message := pectest.Envelope{
		Provider: authority.Provider("posta-certificata@pec.aruba.it", "ARUBA PEC S.p.A."),
		Sender:   "rossi@pec.it", Recipients: []string{"studio@pec.it"}, Subject: "Nuova password", SentAt: sent,
		Letter: pectest.Letter{Text: "la password ..."},
	}.Bytes()

	o := pec.Options{Trust: trust, Recipients: []string{"studio@pec.it"}, ReceivedAt: sent.Add(time.Minute)}
	if j := pec.Judge(message, o); j.Certified() {
		fmt.Println(j.Message.Mailbox, "wrote on", j.Message.SentAt.Format(time.DateOnly), "says", j.Message.Provider)
	}

	forged := bytes.Replace(message, []byte("la password"), []byte("la passw0rd"), 1)
	j := pec.Judge(forged, o)
	fmt.Println(j.Reason, errors.Is(j.Err, pec.ErrBadSignature))
	fmt.Println(j.Reason.Sentence())
	// Output:
	// rossi@pec.it wrote on 2026-03-02 says ARUBA PEC S.p.A.
	// bad-signature true
	// The provider's signature does not match: the message was changed or the signature is forged.
}
