package ingest

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/vault"
)

// FeedKeyRow is a key as it is listed.
type FeedKeyRow struct {
	Kind string    `json:"kind"`
	Name string    `json:"name"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
}

// maxFeedKeys bounds the keys of a kind.
const maxFeedKeys = 64

// maxFeedName is the longest name of a key, in bytes.
const maxFeedName = 64

// minToken is the length of 256 random bits in base64.
const minToken = 43

// AddFeedKey keeps the token that a program will bring for a kind of feed;
// only its hash is stored. A name that is there already is no new key: it must
// be revoked first, so that nobody's calendar stops by mistake.
func (s *Service) AddFeedKey(ctx context.Context, actor, kind, name, token string, now time.Time) error {
	if name == "" || len(name) > maxFeedName || safetext.Line(name) != name {
		return usage("a key needs a name of at most %d bytes, one line", maxFeedName).hint("name who it is for, such as \"Outlook Anna\"")
	}
	if kind != "calendar" && kind != "metrics" {
		return usage("there is no feed of that kind")
	}
	if len(token) < minToken {
		return usage("the token of a key is too short")
	}
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		keys, err := tx.FeedKeys(kind)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(keys, func(k vault.FeedKey) bool { return k.Name == name }) {
			return usage("there is a key %q for the %s already", name, kind).hint("`ingest %s --revoke %q` first, or take another name", kind, name)
		}
		if len(keys) >= maxFeedKeys {
			return usage("there are %d keys for the %s already", len(keys), kind).hint("`ingest %s --list` shows them, --revoke removes one", kind)
		}
		if err := tx.PutFeedKey(vault.FeedKey{Kind: kind, Name: name, Hash: tokenHash(token), By: actor, At: now}); err != nil {
			return err
		}
		return tx.Audit(vault.AuditEntry{Actor: actor, Event: "feed.added", Detail: fmt.Sprintf("%s, for %s", kind, name)})
	})
}

// RevokeFeedKey makes a key useless at once.
func (s *Service) RevokeFeedKey(ctx context.Context, actor, kind, name string) error {
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		keys, err := tx.FeedKeys(kind)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(keys, func(k vault.FeedKey) bool { return k.Name == name }) {
			return notFound("no key %q for the %s", safetext.Line(name), kind).hint("`ingest %s --list` shows them", kind)
		}
		if err := tx.DeleteFeedKey(kind, name); err != nil {
			return err
		}
		return tx.Audit(vault.AuditEntry{Actor: actor, Event: "feed.revoked", Detail: fmt.Sprintf("%s, for %s", kind, name)})
	})
}

// FeedKeys lists the keys of a kind.
func (s *Service) FeedKeys(ctx context.Context, kind string) (rows []FeedKeyRow, err error) {
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		keys, err := tx.FeedKeys(kind)
		rows = make([]FeedKeyRow, 0, len(keys))
		for _, k := range keys {
			rows = append(rows, FeedKeyRow{k.Kind, k.Name, k.By, k.At})
		}
		return err
	})
	return rows, err
}

// FeedKey names the key of that kind that a token is, "" for none. All are
// compared, in constant time.
func (s *Service) FeedKey(ctx context.Context, kind, token string) (name string, err error) {
	hash := tokenHash(token)
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		name = ""
		keys, err := tx.FeedKeys(kind)
		for _, k := range keys {
			if subtle.ConstantTimeCompare([]byte(k.Hash), []byte(hash)) == 1 {
				name = k.Name
			}
		}
		return err
	})
	return name, err
}

// tokenHash is what is kept of a token; its 256 random bits need no salt.
func tokenHash(token string) string {
	h := sha256.Sum256([]byte(token))
	return hex.EncodeToString(h[:])
}

// AuditPage records who came to the page, left it or was refused there.
func (s *Service) AuditPage(ctx context.Context, actor, event, detail string) error {
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		return tx.Audit(vault.AuditEntry{Actor: actor, Event: event, Detail: detail})
	})
}
