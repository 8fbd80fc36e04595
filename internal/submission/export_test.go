package submission

import "time"

// FindRaw is Find on the bytes of an original message.
func FindRaw(original []byte, subject, sender string, sent time.Time) *Result {
	return find(original, subject, sender, sent, rome)
}
