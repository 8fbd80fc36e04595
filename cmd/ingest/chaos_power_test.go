package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
)

// diskEvent is one thing that the program did to the vault's file.
type diskEvent struct {
	data []byte // written at off
	off  int64
	size int64 // the file's new size; -1 = not this
	sync bool  // everything before is on the disk now
}

// disk is what the vault's file went through: base and then events.
type disk struct {
	base   []byte
	events []diskEvent
}

var (
	straceCall    = regexp.MustCompile(`^(\d+) +(\w+)\((\d+)<([^>]*)>(?:, (.*?))?(?:\) += .*| <unfinished \.\.\.>)$`)
	straceResumed = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>`)
)

// readTrace reads what strace has written about the file at path.
func readTrace(t *testing.T, trace, path string) (events []diskEvent) {
	t.Helper()
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	syncing := map[string]bool{} // threads whose fdatasync has not returned
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<28)
	for lines.Scan() {
		line := lines.Text()
		if m := straceResumed.FindStringSubmatch(line); m != nil {
			if syncing[m[1]] {
				events = append(events, diskEvent{size: -1, sync: true})
				delete(syncing, m[1])
			}
			continue
		}
		m := straceCall.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if name, err := unhex(m[4]); err != nil || string(name) != path {
			continue
		}
		switch m[2] {
		case "pwrite64":
			text, rest, _ := strings.Cut(strings.TrimPrefix(m[5], `"`), `", `)
			data, err := unhex(text)
			_, off, _ := strings.Cut(rest, ", ")
			at, oerr := strconv.ParseInt(off, 10, 64)
			if err != nil || oerr != nil {
				t.Fatalf("strace wrote %.200s", line)
			}
			events = append(events, diskEvent{data: data, off: at, size: -1})
		case "ftruncate":
			size, err := strconv.ParseInt(m[5], 10, 64)
			if err != nil {
				t.Fatalf("strace wrote %.200s", line)
			}
			events = append(events, diskEvent{size: size})
		case "fdatasync", "fsync":
			if strings.HasSuffix(line, "<unfinished ...>") {
				syncing[m[1]] = true
			} else {
				events = append(events, diskEvent{size: -1, sync: true})
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}

// unhex reads what strace writes with -xx.
func unhex(text string) ([]byte, error) {
	return hex.DecodeString(strings.ReplaceAll(text, `\x`, ""))
}

// apply does what an event did to the bytes on the disk. sectors, if not nil,
// says which of the 512-byte sectors of a write arrive.
func (e diskEvent) apply(b []byte, sectors func() bool) []byte {
	grow := func(n int64) {
		if n > int64(len(b)) {
			b = append(b, make([]byte, n-int64(len(b)))...)
		}
	}
	switch {
	case e.sync:
	case e.size >= 0:
		grow(e.size)
		b = b[:e.size]
	default:
		grow(e.off + int64(len(e.data)))
		const sector = 512
		for at := 0; at < len(e.data); at += sector {
			part := e.data[at:min(at+sector, len(e.data))]
			if sectors == nil || sectors() {
				copy(b[e.off+int64(at):], part)
			}
		}
	}
	return b
}

// before is the file when every event before the n-th has arrived.
func (d disk) before(n int) []byte {
	b := bytes.Clone(d.base)
	for _, e := range d.events[:n] {
		b = e.apply(b, nil)
	}
	return b
}

// lost is the file after the power failed when n events were done: what was
// synced is there; of what came later some writes are missing, some came in
// another order, and one may be torn.
func (d disk) lost(n int, chance *rand.Rand) []byte {
	synced := 0
	for i, e := range d.events[:n] {
		if e.sync {
			synced = i + 1
		}
	}
	b := d.before(synced)
	loose := append([]diskEvent(nil), d.events[synced:n]...)
	chance.Shuffle(len(loose), func(i, j int) { loose[i], loose[j] = loose[j], loose[i] })
	drop := chance.Float64()
	for _, e := range loose {
		switch {
		case chance.Float64() < drop:
		case chance.IntN(4) == 0:
			b = e.apply(b, func() bool { return chance.IntN(2) == 0 })
		default:
			b = e.apply(b, nil)
		}
	}
	return b
}

// content is a hash of everything that a vault holds.
func content(path string) (string, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return "", err
	}
	defer db.Close()
	h := sha256.New()
	err = db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				fmt.Fprintf(h, "%d %d ", len(k), len(v))
				h.Write(k)
				h.Write(v)
				return nil
			})
		})
	})
	return string(h.Sum(nil)), err
}

// TestChaosPower records what a run writes to the vault and when it syncs,
// and opens what a power failure at any moment may leave: writes that were not
// synced are dropped, reordered and torn. Each such file is a whole vault in
// the state of the last commit, or of the one that was being made.
func TestChaosPower(t *testing.T) {
	t.Parallel()
	strace := servertest.Require(t, "strace")
	program, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	chance := chaosRand(t)
	s := newKillStudio(t, program, time.Now().Truncate(time.Second), 1)
	s.prepare(0)
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command(strace, "-f", "-y", "-xx", "-s", "16777216", "-o", trace,
		"-e", "trace=pwrite64,ftruncate,fdatasync,fsync", program, "--config", s.configPath(), "once", "--warn")
	if out, err := cmd.CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte("ptrace")) {
			t.Skipf("strace may not trace here: %s", out)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	d := disk{s.base, readTrace(t, trace, s.vaultPath())}
	now, err := os.ReadFile(s.vaultPath())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(d.before(len(d.events)), now) {
		t.Fatalf("the trace (%d events) does not lead to the vault that the run has left", len(d.events))
	}
	d.check(t, s.studio, chance)
}

// check opens what may be left at moments chosen by chance.
func (d disk) check(t *testing.T, s *studio, chance *rand.Rand) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "vault.db")
	write := func(b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The state after each sync.
	write(d.base)
	first, err := content(path)
	if err != nil {
		t.Fatal(err)
	}
	states := []string{first}
	at := map[int]int{} // moment → the last state that was synced
	for i, e := range d.events {
		if e.sync {
			write(d.before(i + 1))
			c, err := content(path)
			if err != nil {
				t.Fatalf("after sync %d: %v", len(states)-1, err)
			}
			states = append(states, c)
		}
		at[i] = len(states) - 1
	}
	kinds := map[string]bool{}
	for _, c := range states {
		kinds[c] = true
	}
	if len(kinds) < 20 {
		t.Fatalf("%d events, %d syncs, %d states: want a run with many commits", len(d.events), len(states), len(kinds))
	}
	n := 250
	if chaosLong() {
		n = 10_000
	}
	recipients, identity := []byte(s.read("recipients.txt")), []byte(s.read("identity.txt"))
	older, newer := 0, 0
	for i := 0; i < n || newer == 0 && i < 4*n; i++ { // few moments leave the newer state
		moment := chance.IntN(len(d.events))
		write(d.lost(moment+1, chance))
		v, err := vault.Open(vault.Options{Path: path, Recipients: recipients, Identity: identity})
		if err != nil {
			t.Fatalf("power lost after event %d of %d: %v", moment, len(d.events), err)
		}
		if _, err := v.Check(t.Context()); err != nil {
			t.Errorf("power lost after event %d of %d: %v", moment, len(d.events), err)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := content(path)
		if err != nil {
			t.Fatal(err)
		}
		switch last := at[moment]; {
		case got == states[last]:
			older++
		case last+1 < len(states) && got == states[last+1]:
			newer++
		default:
			t.Fatalf("power lost after event %d of %d: neither the state of the last commit nor of the next", moment, len(d.events))
		}
	}
	t.Logf("%d events, %d syncs, %d states; %d files opened: %d held the last commit, %d the next one", len(d.events), len(states)-1, len(kinds), older+newer, older, newer)
	if newer == 0 {
		t.Error("no file held the newer state: the losses are too large to prove anything")
	}
}
