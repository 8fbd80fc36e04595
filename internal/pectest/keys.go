package pectest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"fmt"
	"sync"
)

// keysPEM holds RSA-2048 keys made for tests, each with the name that it is
// asked by. They protect nothing.
//
//go:embed keys.pem
var keysPEM []byte

var rsaKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := map[string]crypto.Signer{}
	for rest := keysPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return keys
		}
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			panic("pectest: embedded key: " + err.Error())
		}
		keys[block.Headers["Name"]] = key
	}
})

// Key returns the key of that name: one of the embedded RSA keys, else a P-256
// key derived from the name. The same name always gives the same key.
func Key(name string) crypto.Signer {
	if k, ok := rsaKeys()[name]; ok {
		return k
	}
	for i := 0; ; i++ {
		scalar := sha256.Sum256(fmt.Appendf(nil, "pectest key %d %s", i, name))
		k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
		if err == nil { // all but one in 2^32 hashes are good scalars
			return k
		}
	}
}
