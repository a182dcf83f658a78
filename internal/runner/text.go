package runner

import "unicode/utf8"

// longestMessage bounds an error message; the log has all of it.
const longestMessage = 16 << 10

func shorten(message string) string {
	if len(message) <= longestMessage {
		return message
	}
	end := longestMessage
	for end > 0 && !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end] + "… (the log has the rest)"
}
