package vault

import "fmt"

// Filing is a message, other than a submission, that is to be moved out of
// the inbox: a receipt of ours that was counted. It is there from the commit
// that counted it until it was moved.
type Filing struct {
	Location Location `json:"location"`
}

func filingKey(at Location) (string, error) {
	return join("filing", fmt.Sprintf("%s\x01%010d\x01%010d", at.Folder, at.UIDValidity, at.UID))
}

// PutFiling notes that a message is to be moved.
func (tx *Tx) PutFiling(f Filing) error {
	key, err := filingKey(f.Location)
	if err != nil {
		return err
	}
	return put(tx, key, f)
}

// Filings returns what is to be moved.
func (tx *Tx) Filings() ([]Filing, error) { return all[Filing](tx, "filing/") }

// DeleteFiling forgets a message that was moved, or has gone.
func (tx *Tx) DeleteFiling(at Location) error {
	key, err := filingKey(at)
	if err != nil {
		return err
	}
	return tx.kv.Delete(key)
}

// maxProof is the longest receipt kept; a short receipt has some 15 kB.
const maxProof = 300 << 10

// Proof is the delivery receipt of an outgoing message, as it came: the legal
// proof that the recipient's provider delivered it.
type Proof struct {
	N   int    `json:"n"`
	Raw []byte `json:"raw"`
}

// PutProof keeps the delivery receipt of message n; kept is false when it is
// too long and stays in the mailbox only.
func (tx *Tx) PutProof(p Proof) (kept bool, err error) {
	if len(p.Raw) > maxProof {
		return false, nil
	}
	return true, put(tx, fmt.Sprintf("proof/%08d", p.N), p)
}

// Proof returns the delivery receipt of message n.
func (tx *Tx) Proof(n int) (Proof, bool, error) {
	return get[Proof](tx, fmt.Sprintf("proof/%08d", n))
}
