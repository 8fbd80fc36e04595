package etcdstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/etcdstore"
)

// An etcd that is put back to an earlier state, under a process that knows the
// later one: it neither answers from its memory nor commits before somebody
// has taken note, also when others have long gone on from the earlier state.
func TestPutBack(t *testing.T) {
	ctx := context.Background()
	for _, since := range []int{0, 1, 30} {
		t.Run(fmt.Sprintf("%d commits since", since), func(t *testing.T) {
			etcd := servertest.StartEtcd(t, servertest.EtcdConfig{})
			c := etcdstore.Config{Endpoints: etcd.Endpoints, Prefix: prefix(), Member: "a"}
			other := open(t, c)
			c.Follow, c.Member = true, "b"
			s := open(t, c)
			write := func(s *etcdstore.Store, text string) error {
				return s.Update(ctx, func(kv vault.KV) error { return kv.Put("k", []byte(text)) })
			}
			read := func(ctx context.Context) (text string, err error) {
				err = s.View(ctx, func(kv vault.KV) error {
					b, err := kv.Get("k")
					text = string(b)
					return err
				})
				return text, err
			}
			for i := range 3 {
				must(t, write(s, fmt.Sprint("earlier ", i)))
			}
			putBack := etcd.Keep(t, 0)
			for i := range 5 {
				must(t, write([]*etcdstore.Store{s, other}[i%2], fmt.Sprint("lost ", i)))
			}
			if text, err := read(ctx); err != nil || text != "lost 4" {
				t.Fatalf("got %q, %v, want the last one", text, err)
			}
			if s.PutBack(ctx) {
				t.Fatal("put back, though only a member was started again")
			}

			putBack()
			want := "earlier 2"
			for i := range since {
				want = fmt.Sprint("new ", i)
				must(t, write(other, want))
			}
			for end := time.Now().Add(patience); ; {
				text, err := read(ctx)
				if errors.Is(err, vault.ErrUnavailable) && s.PutBack(ctx) {
					break
				}
				if err == nil || time.Now().After(end) {
					t.Fatalf("read: got %q, %v, want that it was put back", text, err)
				}
			}
			if err := write(s, "no"); !errors.Is(err, vault.ErrUnavailable) {
				t.Errorf("a commit before anybody took note: got %v, want ErrUnavailable", err)
			}
			if text, err := read(etcdstore.Accepting(ctx)); err != nil || text != want {
				t.Errorf("who takes note reads %q, %v, want %q", text, err, want)
			}
			s.Accept()
			must(t, write(s, "on"))
			must(t, write(other, "and on"))
			if text, err := read(ctx); err != nil || text != "and on" || s.PutBack(ctx) {
				t.Errorf("afterwards: got %q, %v, want what the other wrote", text, err)
			}
		})
	}
}
