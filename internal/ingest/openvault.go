package ingest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/etcdstore"
)

// lockWait is how long a command waits for another one to close the vault.
const lockWait = 5 * time.Second

// clusterWait is how long opening waits for a cluster to answer; a daemon's
// first reading of a large vault is in it.
const clusterWait = time.Minute

// OpenVault opens the vault of a configuration; ask may be nil.
func OpenVault(cfg *config.Config, mode VaultMode, ask Asker) (*vault.Vault, error) {
	v, _, err := openVault(cfg, mode, ask, nil)
	return v, err
}

// openVault opens a vault; store is nil where it is a file.
func openVault(cfg *config.Config, mode VaultMode, ask Asker, log *slog.Logger) (v *vault.Vault, store *etcdstore.Store, err error) {
	o := vault.Options{Path: cfg.Vault.Path, Create: mode != Reading, LockTimeout: lockWait}
	if o.Recipients, err = os.ReadFile(cfg.Vault.RecipientsFile); err != nil {
		return nil, nil, &Error{Class: NoVault, Msg: "reading vault.recipients_file", Err: err, Hint: "`ingest init` writes one"}
	}
	if o.Identity, err = readIdentity(cfg, vaultKeyFiles(cfg), ask); err != nil {
		return nil, nil, err
	}
	defer clear(o.Identity)
	if cfg.Vault.Path != "" {
		v, err = vault.Open(o)
	} else {
		v, store, err = openCluster(cfg, o, mode, log)
	}
	if err != nil {
		return nil, nil, openingError(cfg, err)
	}
	return v, store, nil
}

func openCluster(cfg *config.Config, o vault.Options, mode VaultMode, log *slog.Logger) (*vault.Vault, *etcdstore.Store, error) {
	ctx, cancel := context.WithTimeout(context.Background(), clusterWait)
	defer cancel()
	store, err := OpenStore(ctx, cfg, mode == Serving, log)
	if err != nil {
		return nil, nil, err
	}
	o.Path = cfg.Vault.URL
	o.SkipCheck = mode != Serving // it would read everything, for one record
	v, err := vault.OpenStore(ctx, store, o)
	if err != nil {
		return nil, nil, err
	}
	return v, store, nil
}

// OpenStore connects to the cluster of a configuration. follow is for a
// process that stays.
func OpenStore(ctx context.Context, cfg *config.Config, follow bool, log *slog.Logger) (*etcdstore.Store, error) {
	e := cfg.Vault.Etcd
	c := etcdstore.Config{Endpoints: strings.Split(e.Endpoints, ","), Prefix: e.Prefix, Username: e.Username,
		Member: safetext.LineN(memberName(e.Member), 80), Follow: follow, Log: log}
	if !e.Plain {
		var err error
		if c.TLS, err = etcdTLS(cfg); err != nil {
			return nil, err
		}
	}
	if e.PasswordFile != "" {
		password, err := config.ReadSecretFile(e.PasswordFile)
		if err != nil {
			return nil, &Error{Class: BadConfig, Msg: cfg.Where("vault.etcd_password_file"), Err: err}
		}
		c.Password = password
	}
	store, err := etcdstore.Open(ctx, c)
	if err != nil {
		return nil, &Error{Class: NoVault, Msg: fmt.Sprintf("opening vault %q", cfg.Vault.URL), Err: err, Hint: etcdHint(err)}
	}
	return store, nil
}

// etcdTLS is how this service and the members of etcd show each other who
// they are. Its own certificate is read for each connection, so that a renewed
// one counts without a restart.
func etcdTLS(cfg *config.Config) (*tls.Config, error) {
	e := cfg.Vault.Etcd
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CAFile != "" { // and nobody else, of whom some sign for any name
		pem, err := os.ReadFile(e.CAFile)
		if err != nil {
			return nil, &Error{Class: BadConfig, Msg: cfg.Where("vault.etcd_ca_file"), Err: err}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &Error{Class: BadConfig, Msg: cfg.Where("vault.etcd_ca_file") + ": no PEM certificate is in it"}
		}
	}
	if e.CertFile == "" {
		return c, nil
	}
	load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert, err := os.ReadFile(e.CertFile)
		if err != nil {
			return nil, err
		}
		key, err := config.ReadPrivateFile(e.KeyFile)
		if err != nil {
			return nil, err
		}
		defer clear(key)
		pair, err := tls.X509KeyPair(cert, key)
		if err == nil && time.Now().After(pair.Leaf.NotAfter) {
			err = fmt.Errorf("%w on %s: %s", errExpired, pair.Leaf.NotAfter.Format(time.DateOnly), e.CertFile)
		}
		return &pair, err
	}
	if _, err := load(nil); err != nil && !errors.Is(err, errExpired) {
		return nil, &Error{Class: BadConfig, Msg: "vault.etcd_cert_file and etcd_key_file", Err: err}
	}
	c.GetClientCertificate = load
	return c, nil
}

// errExpired ends a handshake here: what a member answers to such a certificate
// may be lost with the connection.
var errExpired = errors.New("the certificate has expired")

// etcdHint says what to do where a cluster does not let this process in.
func etcdHint(err error) string {
	switch {
	case errors.Is(err, etcdstore.ErrCertificate):
		return "does vault.etcd_ca_file hold the authority of the members, and is vault.etcd_cert_file one that they take, for clients and not expired? `openssl x509 -noout -dates -ext extendedKeyUsage -in FILE`"
	case errors.Is(err, etcdstore.ErrCredentials):
		return "vault.etcd_username and etcd_password_file, or the name in the certificate, must be a user of etcd: `etcdctl user list`, `etcdctl user passwd NAME`"
	case errors.Is(err, etcdstore.ErrPermission):
		return "the user's role must read and write the prefix: `etcdctl role grant-permission ROLE --prefix=true readwrite PREFIX/`, PREFIX as in vault.url"
	}
	return "do the members that vault.url names run, and can this machine reach them? `etcdctl endpoint health`; are they encrypted (vault.etcd_ca_file) or not (vault.etcd_plain)?"
}

// openingError says why a vault can't be opened.
func openingError(cfg *config.Config, err error) error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	e := &Error{Class: NoVault, Err: err}
	var oe *vault.OpenError
	if errors.As(err, &oe) {
		e.Msg, e.Err, e.Hint = fmt.Sprintf("opening vault %q", oe.Path), oe.Err, oe.Hint
	} else {
		e.Msg = fmt.Sprintf("opening vault %q", cfg.Vault.URL)
	}
	if e.Hint == "" {
		e.Hint = systemHint(err)
	}
	if errors.Is(err, vault.ErrDamaged) {
		e.Hint = damagedHint(cfg)
	}
	return e
}

// systemHint says what to do where the system, and not the file, is in the way.
func systemHint(err error) string {
	switch {
	case errors.Is(err, vault.ErrMoved):
		return "nothing is stored and no message moved till it is back; put the file where it was, or if another is to take its place `systemctl restart pec-ingest`"
	case errors.Is(err, vault.ErrDamaged):
		return "the vault's file is damaged, or somebody has changed it: stop the service, then `ingest check` says what is left; docs/recovery.md has the way back"
	case errors.Is(err, vault.ErrSwapped):
		return "somebody has changed the vault's file, a record stands in another one's place: stop the service, move the file away, `ingest restore` a backup"
	case errors.Is(err, vault.ErrNewerFormat):
		return "install the version that wrote it, or a later one"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only, often after an error of the disk: look into the kernel's log, mend it, mount it again"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk is full: make room there"
	case errors.Is(err, syscall.EIO):
		return "the disk fails: look into the kernel's log; `ingest restore` puts a backup on another one"
	case errors.Is(err, syscall.EMFILE):
		return "this process has too many files open: raise its limit, for the service LimitNOFILE= (`systemctl edit pec-ingest`), for a command `ulimit -n`"
	case errors.Is(err, syscall.ENFILE):
		return "the whole machine has too many files open: see which programs with `lsof`, or raise fs.file-max (`sysctl fs.file-max`)"
	}
	return ""
}
