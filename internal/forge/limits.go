package forge

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Wait returns how long the rate limit that caused err asks to wait.
func Wait(err error) (time.Duration, bool) {
	var w *waiting
	if !errors.As(err, &w) {
		return 0, false
	}
	return w.after, true
}

// waiting is a rate limit, as an error.
type waiting struct{ after time.Duration }

func (w *waiting) Error() string {
	return "it asks to wait for " + w.after.Round(time.Second).String()
}

// shortestWait and longestWait bound what a forge may ask for. Limits are counted by the hour at most.
const (
	shortestWait = time.Second
	longestWait  = time.Hour
	// unsaidWait is for a limit that does not say; GitHub's documentation names a minute.
	unsaidWait = time.Minute
)

// asksToWait reports whether an answer is one of a rate limit, and for how long. GitHub says 403 for one, too.
func asksToWait(res *http.Response, said string, now time.Time) (time.Duration, bool) {
	after := res.Header.Get("Retry-After")
	spent := res.Header.Get("X-RateLimit-Remaining") == "0" || res.Header.Get("RateLimit-Remaining") == "0"
	switch res.StatusCode {
	case http.StatusTooManyRequests:
	case http.StatusForbidden:
		if after == "" && !spent && !strings.Contains(strings.ToLower(said), "rate limit") {
			return 0, false
		}
	case http.StatusServiceUnavailable:
		if after == "" {
			return 0, false
		}
	default:
		return 0, false
	}
	// The forge's clock and this one's may differ.
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		now = date
	}
	wait, ok := retryAfter(after, now)
	if !ok && spent {
		wait, ok = reset(res.Header, now)
	}
	if !ok {
		wait = unsaidWait
	}
	return max(shortestWait, min(wait, longestWait)), true
}

func retryAfter(value string, now time.Time) (time.Duration, bool) {
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, int(longestWait/time.Second))) * time.Second, true
	}
	if date, err := http.ParseTime(value); err == nil {
		return date.Sub(now), true
	}
	return 0, false
}

func reset(header http.Header, now time.Time) (time.Duration, bool) {
	for _, name := range []string{"X-RateLimit-Reset", "RateLimit-Reset"} {
		if seconds, err := strconv.ParseInt(header.Get(name), 10, 64); err == nil && seconds > 0 {
			return time.Unix(seconds, 0).Sub(now), true
		}
	}
	return 0, false
}
