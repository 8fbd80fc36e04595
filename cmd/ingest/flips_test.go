package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// However a copy of the vault is damaged, `get` gives the right password or
// none, in plain words and with the exit code of a vault that can't be opened.
func TestDamagedVaultGivesNoWrongPassword(t *testing.T) {
	t.Parallel()
	s := bareStudio(t, "")
	want := map[string]string{rossi: "Xk7pQ2mv", bianchi: "Qz3nW8kt"} // of one length, so that one could stand for the other
	for _, mailbox := range []string{rossi, bianchi} {
		s.ok("client", "add", mailbox)
		for _, password := range []string{"older-" + mailbox[:2], want[mailbox]} {
			if r := s.runWith(password+"\n", "set", mailbox); r.code != exitOK {
				t.Fatal(r)
			}
		}
	}
	whole, err := os.ReadFile(s.vaultPath())
	if err != nil {
		t.Fatal(err)
	}
	// Where the records lie; most of the file is free.
	var used []int
	for i, b := range whole {
		if b != 0 {
			used = append(used, i)
		}
	}
	sealed := positions(whole, "YWdlLWVuY3J5cHRpb24") // age's header, in base64
	if len(sealed) < 4 {
		t.Fatalf("got %d sealed texts in the file, want 4 at least", len(sealed))
	}
	const seed = 1 // the same damages each time
	random := rand.New(rand.NewPCG(seed, 1))
	const page = 4096
	damages := []struct {
		name  string
		times int
		do    func(b []byte) []byte
	}{
		{"a flipped bit", 220, func(b []byte) []byte {
			b[used[random.IntN(len(used))]] ^= 1 << random.IntN(8)
			return b
		}},
		{"some random bytes", 40, func(b []byte) []byte {
			at := used[random.IntN(len(used))]
			for i := at; i < min(at+1+random.IntN(64), len(b)); i++ {
				b[i] = byte(random.Uint32())
			}
			return b
		}},
		{"two pages swapped", 30, func(b []byte) []byte {
			i, j := page*random.IntN(len(b)/page), page*random.IntN(len(b)/page)
			p := bytes.Clone(b[i : i+page])
			copy(b[i:i+page], b[j:j+page])
			copy(b[j:j+page], p)
			return b
		}},
		{"one sealed text over another", 30, func(b []byte) []byte {
			from, to := sealed[random.IntN(len(sealed))], sealed[random.IntN(len(sealed))]
			copy(b[to:to+400], whole[from:from+400])
			return b
		}},
		{"cut off", 20, func(b []byte) []byte { return b[:random.IntN(len(b))] }},
		{"an older page brought back", 20, func(b []byte) []byte {
			i, j := page*random.IntN(len(b)/page), page*random.IntN(len(b)/page)
			copy(b[i:i+page], whole[j:j+page])
			return b
		}},
	}
	right, refused := 0, 0
	mailboxes := []string{rossi, bianchi}
	for _, d := range damages {
		for n := range d.times {
			if err := os.WriteFile(s.vaultPath(), d.do(bytes.Clone(whole)), 0o600); err != nil {
				t.Fatal(err)
			}
			mailbox := mailboxes[n%2]
			r := s.run("get", mailbox)
			switch {
			case r.code == exitOK && r.stdout == want[mailbox]+"\n":
				right++
			case r.code == exitVault && r.stdout == "" && strings.Contains(r.stderr, "hint: "):
				refused++
			default:
				t.Fatalf("%s (seed %d): get %s: got %s\nwant %q, or exit %d with a hint", d.name, seed, mailbox, r, want[mailbox], exitVault)
			}
		}
	}
	t.Logf("%d answers were right, %d were refused (seed %d)", right, refused, seed)
	if refused < 80 {
		t.Errorf("only %d of %d damages were noticed: are they any?", refused, right+refused)
	}
}

// positions are where a text begins.
func positions(b []byte, text string) (list []int) {
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], []byte(text))
		if i < 0 {
			return list
		}
		at += i
		list = append(list, at)
	}
}
