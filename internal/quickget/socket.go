package quickget

import (
	"bytes"
	"path"
	"syscall"
)

// socketOf reads where the service of a configuration file listens.
func socketOf(config string) (string, error) {
	fd, err := syscall.Open(config, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer syscall.Close(fd)
	var info syscall.Stat_t
	if err := syscall.Fstat(fd, &info); err != nil || info.Size > maxConfig {
		return "", errNotPlain
	}
	doc := make([]byte, info.Size+1)
	n, err := readAll(fd, doc, nil)
	if err != nil {
		return "", err
	}
	socket, err := findSocket(doc[:n])
	if err == nil && !path.IsAbs(socket) {
		socket = path.Join(path.Dir(config), socket)
	}
	return socket, err
}

// findSocket reads web.socket as package config does, in documents that are
// written as people write them: a line [web], below it a line socket = "…".
// All other ways that TOML allows are an error, so that what is read here is
// never anything else than what the service reads (FuzzFindSocket). The TOML
// library itself would come with a third of the program.
func findSocket(doc []byte) (string, error) {
	if bytes.HasPrefix(doc, []byte("\xef\xbb\xbf")) || bytes.Contains(doc, []byte(`"""`)) || bytes.Contains(doc, []byte(`'''`)) {
		return "", errNotPlain // a mark before the first line; lines within a string
	}
	socket, table := []byte(defaultSocket), []byte(nil)
	for len(doc) > 0 {
		var line []byte
		line, doc, _ = bytes.Cut(doc, []byte("\n"))
		line = bytes.TrimSpace(line)
		if bytes.HasPrefix(line, []byte("[")) {
			table = withoutComment(line)
			if odd(table, "[web]") {
				return "", errNotPlain
			}
			continue
		}
		key, value, ok := bytes.Cut(line, []byte("="))
		key = bytes.TrimSpace(key)
		switch {
		case !ok || bytes.HasPrefix(line, []byte("#")):
		case table == nil && (bytes.HasPrefix(bytes.ToLower(key), []byte("web")) || odd(key, "web")):
			return "", errNotPlain
		case string(table) != "[web]":
		case string(key) != "socket":
			if odd(key, "socket") {
				return "", errNotPlain
			}
		default:
			value = bytes.Trim(withoutComment(value), " \t")
			if len(value) < 3 || value[0] != '"' || value[len(value)-1] != '"' {
				return "", errNotPlain
			}
			if socket = value[1 : len(value)-1]; bytes.ContainsAny(socket, `"\`) {
				return "", errNotPlain
			}
		}
	}
	return string(socket), nil
}

// odd tells whether a table or key may be the one of that name in another
// spelling: the library takes quotes, spaces and capitals.
func odd(got []byte, name string) bool {
	if bytes.ContainsAny(got, `"'`) {
		return true
	}
	return string(got) != name && string(bytes.Join(bytes.Fields(bytes.ToLower(got)), nil)) == name
}

// withoutComment cuts a line at "#"; where that stood in a string, what is
// left is no string.
func withoutComment(line []byte) []byte {
	line, _, _ = bytes.Cut(line, []byte("#"))
	return bytes.TrimSpace(line)
}
