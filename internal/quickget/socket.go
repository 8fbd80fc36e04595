package quickget

import "syscall"

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
	socket, err := findSocket(string(doc[:n]))
	if err == nil && !hasPrefix(socket, "/") {
		socket = folder(config) + socket
	}
	return socket, err
}

// findSocket reads web.socket as package config does, in documents that are
// written as people write them: a line [web], below it a line socket = "…".
// All other ways that TOML allows are an error, so that what is read here is
// never anything else than what the service reads (FuzzFindSocket). The TOML
// library itself would come with a third of the program.
func findSocket(doc string) (string, error) {
	if hasPrefix(doc, "\xef\xbb\xbf") || contains(doc, `"""`) || contains(doc, `'''`) {
		return "", errNotPlain // a mark before the first line; lines within a string
	}
	socket, table := defaultSocket, ""
	for doc != "" {
		var line string
		line, doc, _ = cut(doc, "\n")
		line = trim(line)
		if hasPrefix(line, "[") {
			table = withoutComment(line)
			if odd(table, "[web]") {
				return "", errNotPlain
			}
			continue
		}
		key, value, ok := cut(line, "=")
		key = trim(key)
		switch {
		case !ok || hasPrefix(line, "#"):
		case table == "" && (hasPrefix(folded(key, ""), "web") || odd(key, "web")):
			return "", errNotPlain
		case table != "[web]":
		case key != "socket":
			if odd(key, "socket") {
				return "", errNotPlain
			}
		default:
			value = trim(withoutComment(value))
			if len(value) < 3 || value[0] != '"' || value[len(value)-1] != '"' {
				return "", errNotPlain
			}
			if socket = value[1 : len(value)-1]; contains(socket, `"`) || contains(socket, `\`) {
				return "", errNotPlain
			}
		}
	}
	return socket, nil
}

// odd tells whether a table or key may be the one of that name in another
// spelling: the library takes quotes, spaces and capitals.
func odd(got, name string) bool {
	if contains(got, `"`) || contains(got, "'") {
		return true
	}
	return got != name && folded(got, " \t\r\v\f") == name
}

// withoutComment cuts a line at "#"; where that stood in a string, what is
// left is no string.
func withoutComment(line string) string {
	line, _, _ = cut(line, "#")
	return trim(line)
}

// folder is a path without its last part.
func folder(path string) string {
	for path != "" && path[len(path)-1] != '/' {
		path = path[:len(path)-1]
	}
	return path
}
