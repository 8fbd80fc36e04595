package bench

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/submission"
)

// What judging costs beside the one RSA verification that a message needs.
func TestJudging(t *testing.T) {
	long(t)
	plan := inboxPlan{seed: 5, messages: messages(10_000), now: time.Now()}
	m := newMaker(plan)
	var letters [][]byte
	for i, kind := range m.kinds {
		if kind == 's' {
			letters = append(letters, m.message(i).raw)
		}
	}
	trust, err := pec.NewTrust(pec.TrustOptions{PEM: [][]byte{authority().RootPEM()}})
	if err != nil {
		t.Fatal(err)
	}
	o := pec.Options{Trust: trust, Recipients: []string{studio}, ReceivedAt: plan.now}
	var certified []*pec.Message
	judge := func() time.Duration {
		certified = certified[:0]
		start := time.Now()
		for _, raw := range letters {
			j := pec.Judge(raw, o)
			if !j.Certified() {
				t.Fatal(j.Err)
			}
			certified = append(certified, j.Message)
		}
		return time.Since(start)
	}
	read := func() time.Duration {
		start := time.Now()
		for _, msg := range certified {
			r := submission.Find(msg, submission.Options{})
			if r.State != submission.Found {
				t.Fatalf("a submission is %s", r.State)
			}
			r.Wipe()
		}
		return time.Since(start)
	}
	key := m.provider.Key.(*rsa.PrivateKey)
	sum := sha256.Sum256([]byte("x"))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	verify := func() time.Duration {
		start := time.Now()
		for range letters {
			if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], sig); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(start)
	}
	times := alternate(9, verify, judge, read)
	each := func(d time.Duration) string {
		return fmt.Sprintf("%.0f µs", float64(d)/float64(time.Microsecond)/float64(len(letters)))
	}
	note(t, figure{"judging the submissions : the RSA verifications they need", ratio(times[1], times[0]), 2.5,
		fmt.Sprintf("%s : %s a message; one goroutine, medians of 9, alternating; finding the password takes another %s", each(times[1]), each(times[0]), each(times[2]))})
}
