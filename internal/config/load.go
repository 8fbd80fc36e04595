package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
)

// MaxSize is the size in bytes above which a file can't be a configuration.
const MaxSize = 256 << 10

// byteOrderMark is what Windows editors put before the text.
const byteOrderMark = "\xef\xbb\xbf"

// Load reads and checks a configuration file.
//
// Paths in the file are relative to its folder; a plain name (without a slash)
// is looked for in $CREDENTIALS_DIRECTORY first. Files named in it need not
// exist yet: whoever opens them says so.
//
// The error is of type Errors: every fault that can be told apart, with its
// line. On error the Config is nil. A configuration that others may change is
// refused, and so are recipients.
func Load(path string) (*Config, error) { return LoadAt(path, "") }

// LoadAt is Load with another vault.url than the file's, where it is not "".
func LoadAt(path, url string) (*Config, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, Errors{{File: path, Msg: err.Error()}}
	}
	doc, err := readLimited(path)
	if err != nil {
		e := &Error{File: path, Msg: plain(err)}
		if errors.Is(err, os.ErrNotExist) {
			e.Hint = "`ingest init` writes one; --config or $PEC_INGEST_CONFIG names another"
		}
		return nil, Errors{e}
	}
	cfg, err := parse(doc, path, filepath.Dir(abs), os.Getenv("CREDENTIALS_DIRECTORY"), url)
	if err != nil {
		return nil, err
	}
	if err := cfg.checkWritable(abs); err != nil {
		return nil, err
	}
	return cfg, nil
}

// Parse is Load for bytes: name stands in errors, dir is the folder to which
// paths are relative, credentials the credentials directory or "". It looks
// into credentials for the plain names that the file mentions, no further.
func Parse(doc []byte, name, dir, credentials string) (*Config, error) {
	return parse(doc, name, dir, credentials, "")
}

func parse(doc []byte, name, dir, credentials, url string) (*Config, error) {
	doc = bytes.TrimPrefix(doc, []byte(byteOrderMark))
	if len(doc) > MaxSize {
		return nil, Errors{{File: name, Msg: "is too large for a configuration", Hint: fmt.Sprintf("at most %d bytes", MaxSize)}}
	}
	if !utf8.Valid(doc) {
		line := 1 + bytes.Count(doc[:firstInvalid(doc)], []byte("\n"))
		return nil, Errors{{File: name, Line: line, Msg: "is not UTF-8 text", Hint: "save it as UTF-8"}}
	}

	// A copy with no spare capacity: the library finds lines by it.
	doc = bytes.Clone(doc)
	doc = doc[:len(doc):len(doc)]
	c := &checker{file: name, dir: dir, credentials: credentials, lines: indexLines(doc), raw: defaults()}
	decoder := toml.NewDecoder(bytes.NewReader(doc))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c.raw); err != nil {
		if !c.decodeError(err) {
			return nil, c.errs // what was decoded ends here: no further checks
		}
	}
	if url != "" {
		c.raw.Vault.URL = url
	}
	config := c.config()
	if len(c.errs) > 0 {
		c.sort()
		return nil, c.errs
	}
	config.Path = filepath.Join(dir, filepath.Base(name))
	return config, nil
}

// decodeError records what the TOML library found. It tells whether the rest
// of the document was decoded all the same.
func (c *checker) decodeError(err error) (more bool) {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		for i := range strict.Errors {
			one := &strict.Errors[i]
			line, _ := one.Position()
			key := one.Key()
			e := &Error{File: c.file, Line: line, Key: strings.Join(key, "."), Msg: "unknown key"}
			if len(key) > 0 {
				e.Hint = unknownHint(key)
			}
			c.errs = append(c.errs, e)
		}
		return true
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, _ := decode.Position()
		c.errs = append(c.errs, c.syntaxError(decode, line))
		return false
	}
	c.errs = append(c.errs, &Error{File: c.file, Msg: "cannot be read as TOML", Hint: strings.TrimPrefix(err.Error(), "toml: ")})
	return false
}

// syntaxError tells a value of the wrong kind from text that is no TOML. The
// library's words name Go types and struct fields: nothing for people.
func (c *checker) syntaxError(decode *toml.DecodeError, line int) *Error {
	msg := strings.TrimPrefix(decode.Error(), "toml: ")
	key := c.lines.keyAt(line)
	if strings.Contains(msg, "cannot decode") || strings.Contains(msg, "cannot store") || strings.Contains(msg, "cannot assign") {
		e := &Error{File: c.file, Line: line, Key: key, Msg: "wrong kind of value"}
		if want := wanted(strings.Split(withoutIndexes(key), ".")); want != "" {
			e.Hint = "want " + want
		}
		return e
	}
	return &Error{File: c.file, Line: line, Key: key, Msg: msg}
}

// withoutIndexes turns "provider[1].imap" into "provider.imap".
func withoutIndexes(key string) string {
	var b strings.Builder
	inside := false
	for _, r := range key {
		switch {
		case r == '[':
			inside = true
		case r == ']':
			inside = false
		case !inside:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func firstInvalid(doc []byte) int {
	for i := 0; i < len(doc); {
		r, size := utf8.DecodeRune(doc[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return len(doc)
}

// readLimited reads a file, one byte more than MaxSize at most.
func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxSize+1))
}

// plain is an error of a file operation without the path, which stands before
// it anyway.
func plain(err error) string {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}
