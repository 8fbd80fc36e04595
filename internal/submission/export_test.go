package submission

import "time"

// FindRaw is Find on the bytes of an original message.
func FindRaw(original []byte, subject, sender string, sent time.Time) *Result {
	return find(original, subject, sender, sent, rome)
}

// Dull tells whether a message is given up before it is read as a whole.
func Dull(original []byte, subject, sender string) bool {
	return unfold(original, subject, sender).dull()
}
