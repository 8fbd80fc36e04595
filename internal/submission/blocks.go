package submission

import (
	"strings"
)

// A file may stand in the text itself: uuencoded by old programs, as base64
// where a message lost its MIME header, as PGP's or OpenSSL's armour. Its lines
// look like passwords and are none.

// takeBlocks empties the lines of files within a text and gives their names, ""
// for one without; signatures and keys are no files. It takes only what has the
// form of such a block in every line, since people frame passwords, too.
func takeBlocks(lines []srcLine) (files []string) {
	for i := 0; i < len(lines); {
		n, name, file := blockAt(lines[i:])
		if file {
			files = append(files, name)
		}
		for k := range lines[i : i+n] {
			lines[i+k].text = ""
		}
		i += max(n, 1)
	}
	return files
}

// blockAt is how many lines the block at lines[0] has, 0 if none begins there.
func blockAt(lines []srcLine) (n int, name string, file bool) {
	first := lines[0].text
	if name, ok := uuBegins(first); ok {
		return uuLines(lines), name, true
	}
	if title, ok := armour(first, "BEGIN"); ok {
		n := armourLines(lines, title)
		return n, "", n > 1 && title == "PGP MESSAGE"
	}
	n = base64Block(lines)
	return n, "", n > 0
}

// uuBegins reads "begin 644 foto.jpg" (POSIX uuencode).
func uuBegins(line string) (name string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 3 || f[0] != "begin" || len(f[1]) < 3 || len(f[1]) > 4 || strings.Trim(f[1], "01234567") != "" {
		return "", false
	}
	return strings.Join(f[2:], " "), true
}

// uuLines counts a uuencoded block: its head, and all lines behind it whose
// first character tells their length.
func uuLines(lines []srcLine) int {
	n := 1
	for n < len(lines) && isUULine(lines[n].text) {
		n++
	}
	if n < len(lines) && lines[n].text == "end" {
		n++
	}
	return n
}

func isUULine(s string) bool {
	if s == "`" {
		return true // no bytes: the last line
	}
	if len(s) < 2 || !isASCII(s) || strings.Trim(s, "`") == "" {
		return false
	}
	data := int(s[0]-' ') & 63
	full := 1 + (data+2)/3*4
	if data == 0 || len(s) > full+1 || len(s) < full-3 { // a checksum more, blanks at the end less
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '`' {
			return false
		}
	}
	return true
}

// armour reads "-----BEGIN PGP MESSAGE-----" (RFC 9580 §6.2, RFC 7468), for
// the titles that hold encoded data.
func armour(line, word string) (title string, ok bool) {
	s, ok := strings.CutPrefix(line, "-----"+word+" ")
	if !ok {
		return "", false
	}
	title, ok = strings.CutSuffix(s, "-----")
	if !ok {
		return "", false
	}
	switch title {
	case "CERTIFICATE", "CERTIFICATE REQUEST", "X509 CRL", "PKCS7", "CMS":
		return title, true
	}
	return title, strings.HasPrefix(title, "PGP ") || strings.HasSuffix(title, "PUBLIC KEY") || strings.HasSuffix(title, "PRIVATE KEY")
}

// armourLines counts the lines from the head of an armour to its end, or the
// head alone where something else stands between them.
func armourLines(lines []srcLine, title string) int {
	head := true // "Version: …", "Hash: SHA256", before an empty line
	for n := 1; n < len(lines); n++ {
		s := strings.TrimSpace(lines[n].text)
		if end, ok := armour(s, "END"); ok && end == title {
			return n + 1
		}
		field, _, isField := strings.Cut(s, ": ")
		switch {
		case s == "":
			head = head && n == 1
			if title == "PGP SIGNED MESSAGE" {
				return n // what follows is the text
			}
		case head && isField && !strings.Contains(field, " "):
		case base64Line(s):
			head = false
		default:
			return 1
		}
	}
	return 1
}

// shortestBlock is how long the lines of base64 are at least: all programs
// write 60 to 76 characters.
const shortestBlock = 60

// base64Block counts lines of base64 (RFC 4648 §4) that make a block: two at
// least, all of the same length but the last.
func base64Block(lines []srcLine) int {
	width := len(lines[0].text)
	if width < shortestBlock || width%4 != 0 || !base64Line(lines[0].text) {
		return 0
	}
	n := 1
	for n < len(lines) && len(lines[n].text) == width && base64Line(lines[n].text) {
		n++
	}
	if n < len(lines) {
		// A short last line without its "=" may be a password below the block.
		last := lines[n].text
		if base64Line(last) && len(last) < width && (strings.HasSuffix(last, "=") || len(last) > width/3) {
			n++
		}
	}
	if n < 2 {
		return 0
	}
	return n
}

// base64Line tells whether s is made of base64's letters, or is the checksum of
// an armour.
func base64Line(s string) bool {
	body := strings.TrimRight(s, "=")
	if len(s)-len(body) > 2 || body == "" {
		return false
	}
	if len(body) == 5 {
		body = strings.TrimPrefix(body, "=")
	}
	for i := range len(body) {
		if !isBase64(body[i]) {
			return false
		}
	}
	return true
}
