package registry

import (
	"maps"
	"time"

	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// maxProcesses is how many processes are remembered before those that have no server connection are forgotten.
const maxProcesses = 1 << 14

// processes remembers since when the relay has known each process of an app server.
type processes map[serverconn.Instance]*process

type process struct {
	since time.Time
	paths int
	// goneAt is when it lost its last path; zero while it has one.
	goneAt time.Time
}

func (ps processes) attached(i serverconn.Instance, now time.Time) {
	p := ps[i]
	if p == nil {
		if len(ps) >= maxProcesses {
			maps.DeleteFunc(ps, func(_ serverconn.Instance, p *process) bool { return p.paths == 0 })
		}
		p = &process{since: now}
		ps[i] = p
	}
	p.paths++
	p.goneAt = time.Time{}
}

func (ps processes) detached(i serverconn.Instance, now time.Time) {
	p := ps[i]
	if p == nil {
		return
	}
	if p.paths--; p.paths == 0 {
		p.goneAt = now
	}
}

// successor returns the process that took the place of the one that was lost at the time: an app server of the same name that
// the relay had not seen before. There is none when another process of that name was there before, as one name does not tell
// then which of them a new one replaces.
func (ps processes) successor(lost serverconn.Instance, at time.Time) (serverconn.Instance, bool) {
	var found serverconn.Instance
	for i, p := range ps {
		switch {
		case i == lost || i.Application != lost.Application || i.ServerID != lost.ServerID:
		case p.since.Before(at) && (p.paths > 0 || p.goneAt.After(at)):
			return serverconn.Instance{}, false
		case !p.since.Before(at):
			found = i
		}
	}
	return found, found != serverconn.Instance{}
}
