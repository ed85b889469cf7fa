package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// exactSleep sleeps to within some 50 µs. It takes a thread meanwhile.
func exactSleep(d time.Duration) {
	left := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&left, &left) == unix.EINTR {
	}
}
