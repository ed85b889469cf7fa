package client

import "math/rand/v2"

// routes are the addresses of a connection, and what is known of each. They are owned by whoever moves the connection.
type routes struct {
	list []route
	// last is the one that was tried last.
	last int
}

type route struct {
	address string
	// ingress is the one that a stream to the address came in through the last time; empty when there was none.
	ingress string
	// tried in this round.
	tried bool
}

func newRoutes(addresses []string) *routes {
	r := &routes{last: rand.IntN(len(addresses))}
	for _, address := range addresses {
		r.list = append(r.list, route{address: address})
	}
	return r
}

// begin begins a new round.
func (r *routes) begin() {
	for i := range r.list {
		r.list[i].tried = false
	}
}

// next returns the address to try: of those that were not tried in this round, one known to lead through another ingress than
// avoid, else one of which that is not known, else any. Among equals they are taken in turn. When all were tried a new round begins.
func (r *routes) next(avoid string) *route {
	if r.untried() == 0 {
		r.begin()
	}
	best, rank := 0, 0
	for i := range r.list {
		at := (r.last + 1 + i) % len(r.list)
		if n := r.list[at].rank(avoid); n > rank {
			best, rank = at, n
		}
	}
	r.last = best
	r.list[best].tried = true
	return &r.list[best]
}

// untried returns how many addresses are left in this round.
func (r *routes) untried() int {
	n := 0
	for _, route := range r.list {
		if !route.tried {
			n++
		}
	}
	return n
}

func (r *route) rank(avoid string) int {
	switch {
	case r.tried:
		return 0
	case r.ingress == avoid && avoid != "":
		return 1
	case r.ingress == "":
		return 2
	}
	return 3
}
