package submission

import "testing"

// Each pattern compiles, also those that no message of the corpus asks for.
func TestPatternsCompile(t *testing.T) {
	all := []pattern{reLinkTarget, reDMY, reYMD, reDM, reDay, reYear, reYear2, looseParam, reElided, reMail, reLink, reDate,
		reNamedDate, reTime, rePhone, reAmount, reFiscal, reIBAN, reVAT, reLaw, reOrd, reFile, reGluedArrow, reLabel,
		reMailValue, reError, reMsgID, reMarkedNumber, reWrote}
	for _, p := range all {
		if p.compiled() == nil {
			t.Error("got no expression")
		}
	}
}
