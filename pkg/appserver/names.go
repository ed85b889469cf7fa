package appserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// lookupEvery is how often the addresses of a name are looked up.
	lookupEvery = 15 * time.Second
	// lookupAgain is how often before they were found once.
	lookupAgain = time.Second
	// lookupTimeout is for how long one lookup may take.
	lookupTimeout = 10 * time.Second
	// maxAddresses bounds the addresses of one name.
	maxAddresses = 64
)

// follower keeps server connections to every address that a name resolves to.
type follower struct {
	// Set once.
	server *Server
	name   string // HOST:PORT

	// Owned by run. found: a lookup has worked; failing: the last one has not.
	found, failing bool
	slots          sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	kept map[string]*kept // by the address
}

// kept is an address that the name has, or had: then it lasts as long as what was dialled.
type kept struct {
	wanted bool // the name has it
	slots  int
}

// run follows the name until the context ends.
func (f *follower) run(ctx, life context.Context) {
	defer f.slots.Wait()
	for first := true; ctx.Err() == nil; first = false {
		missing := f.look(ctx)
		if first {
			f.server.expect(len(missing))
			f.server.tried() // the lookup, which was counted too
		}
		for _, address := range missing {
			s := slot{
				target: target{name: f.name, address: address}, counted: first, over: func() bool { return f.over(address) },
			}
			f.slots.Go(func() { f.server.keep(ctx, life, s) })
		}
		if f.found {
			sleep(ctx, lookupEvery)
		} else {
			sleep(ctx, lookupAgain)
		}
	}
}

// look looks the name up and returns the address of each slot that is to be begun. A lookup that fails changes nothing.
func (f *follower) look(ctx context.Context) []string {
	addresses, err := f.lookup(ctx)
	log := f.server.config.Logger.With("name", f.name)
	switch {
	case err != nil && ctx.Err() == nil && !f.failing:
		log.Warn("cannot look up the addresses of the relays; those that are known stay", "error", err)
	case err == nil && f.failing:
		log.Info("the addresses of the relays can be looked up again")
	}
	f.failing = err != nil
	if err != nil {
		return nil
	}
	f.found = true
	missing, vanished := f.update(addresses)
	if len(missing) > 0 || len(vanished) > 0 {
		log.Info("the addresses of the relays have changed", "addresses", addresses, "vanished", vanished)
	}
	return missing
}

// lookup returns the addresses of the name, sorted, each once.
func (f *follower) lookup(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(f.name)
	if err != nil {
		return nil, err
	}
	found, err := f.server.config.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	addresses := make([]string, len(found))
	for i, ip := range found {
		addresses[i] = net.JoinHostPort(ip, port)
	}
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	switch n := len(addresses); {
	case n == 0:
		return nil, errors.New("it has no address")
	case n > maxAddresses:
		return nil, fmt.Errorf("it has %d addresses; %d are followed at most", n, maxAddresses)
	}
	return addresses, nil
}

// update notes what the name resolves to. It returns the address of each slot that is missing, and the addresses that the
// name has no more.
func (f *follower) update(addresses []string) (missing, vanished []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for address, k := range f.kept {
		if now := slices.Contains(addresses, address); k.wanted && !now {
			k.wanted, vanished = false, append(vanished, address)
		}
	}
	slices.Sort(vanished)
	for _, address := range addresses {
		k := f.kept[address]
		if k == nil {
			k = &kept{}
			f.kept[address] = k
		}
		for k.wanted = true; k.slots < f.server.config.ConnectionsPerRelay; k.slots++ {
			missing = append(missing, address)
		}
	}
	return missing, vanished
}

// over is asked by a slot before it dials. It reports that the name has not got the address any more; the slot is gone then.
func (f *follower) over(address string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.kept[address]
	if k.wanted {
		return false
	}
	if k.slots--; k.slots == 0 {
		delete(f.kept, address)
	}
	return true
}
