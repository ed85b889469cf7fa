//go:build !linux

package bench

import "time"

// exactSleep sleeps as exactly as the runtime can.
func exactSleep(d time.Duration) { time.Sleep(d) }
