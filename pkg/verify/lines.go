package verify

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Stop is the text message that ends the counter of the sample application.
const Stop = "stop"

// StartCount returns the text message that starts the counter of the sample application.
func StartCount(interval time.Duration) string { return "count " + interval.String() }

// ParseStartCount reads what StartCount returns. It is false for any other text.
func ParseStartCount(text string) (time.Duration, bool) {
	rest, found := strings.CutPrefix(text, "count ")
	if !found {
		return 0, false
	}
	interval, err := time.ParseDuration(rest)
	return interval, err == nil
}

// Count returns the n-th text message of the counter.
func Count(n uint64) string { return "count " + strconv.FormatUint(n, 10) }

// ParseCount reads what Count returns. It is false for any other text.
func ParseCount(text string) (uint64, bool) {
	rest, found := strings.CutPrefix(text, "count ")
	if !found {
		return 0, false
	}
	n, err := strconv.ParseUint(rest, 10, 64)
	return n, err == nil
}

// Stopped is the sample application's answer to Stop.
type Stopped struct {
	// Counted is the number of messages that the counter sent.
	Counted uint64
	// Received is the number of messages of all kinds that came before Stop.
	Received uint64
	// Tally judges the traffic messages among them.
	Tally
}

const stoppedFormat = "stopped counted=%d received=%d lost=%d doubled=%d reordered=%d corrupted=%d"

// String returns the text message.
func (s Stopped) String() string {
	return fmt.Sprintf(stoppedFormat, s.Counted, s.Received, s.Lost, s.Doubled, s.Reordered, s.Corrupted)
}

// ParseStopped reads what Stopped.String returns. It is false for any other text.
func ParseStopped(text string) (Stopped, bool) {
	var s Stopped
	_, err := fmt.Sscanf(text, stoppedFormat,
		&s.Counted, &s.Received, &s.Lost, &s.Doubled, &s.Reordered, &s.Corrupted)
	return s, err == nil && s.String() == text
}
