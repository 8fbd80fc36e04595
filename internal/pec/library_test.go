package pec_test

import (
	"errors"
	"testing"

	"github.com/smallstep/pkcs7"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest/corpus"
)

// Verdicts in which the pkcs7 library differs, and why ours is meant.
var libraryDiffers = map[string]string{
	"sig-trailing":      "the library ignores what follows the CMS value",
	"sig-unannounced":   "the library does not read digestAlgorithms; openssl refuses as we do",
	"sig-content-type":  "the library does not compare the contentType attribute",
	"sig-embedded":      "the library verifies the embedded content, not the part",
	"sig-embedded-same": "the library verifies the embedded content, not the part",
}

// The signature verdict agrees with the library's, where that gets as far as
// the signature: a claimed signing time outside of the certificate's validity
// stops it before.
func TestLibraryAgrees(t *testing.T) {
	compared, differed := 0, 0
	for _, f := range corpus.All() {
		content, cms, ok := pec.SignedBytes(f.Message)
		if !ok {
			continue
		}
		leaf, reason := pec.CheckCMS(cms, content)
		theirs := libraryVerifies(cms, content)
		if theirs != nil {
			theirs = libraryVerifies(cms, crlf(content))
		}
		var badTime *pkcs7.SigningTimeNotValidError
		if errors.As(theirs, &badTime) {
			continue
		}
		compared++
		ours := reason == ""
		why, listed := libraryDiffers[f.Name]
		switch {
		case ours != (theirs == nil) && !listed:
			t.Errorf("%s: we say %v (%s), the library says %v", f.Name, ours, reason, theirs)
		case ours == (theirs == nil) && listed:
			t.Errorf("%s: listed as different (%s), but both say %v", f.Name, why, ours)
		case ours && leaf == nil:
			t.Errorf("%s: verified by nobody", f.Name)
		case listed:
			differed++
		}
	}
	if compared < 120 || differed != len(libraryDiffers) {
		t.Errorf("compared %d, want at least 120; %d of %d listed differences seen", compared, differed, len(libraryDiffers))
	}
}

func libraryVerifies(cms, content []byte) error {
	p, err := pkcs7.Parse(cms)
	if err != nil {
		return err
	}
	if len(p.Content) == 0 {
		p.Content = content
	}
	return p.VerifyWithChainAtTime(nil, corpus.SentAt)
}
