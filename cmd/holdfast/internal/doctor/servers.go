package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// proven is after what time a server connection has outlived three heartbeat intervals of the default.
const proven = 45 * time.Second

// askAdmin makes the checks that need the admin listener, and returns the server connections that there were.
func (d *doctor) askAdmin(ctx context.Context, patients []*patient) []*holdfastv1.ServerConnection {
	const check = "server-connections"
	if d.Admin == nil {
		d.tell("", skipped(check, "needs the relay's admin listener: --admin"))
		return nil
	}
	now, err := d.serverConnections(ctx)
	if code := status.Code(err); !d.AdminWanted && (code == codes.Unavailable || code == codes.DeadlineExceeded) {
		d.tell("", skipped(check, "needs the relay's admin listener, and none answers at %s; name it with --admin", d.AdminAddress))
		return nil
	}
	if err != nil {
		d.tell("", failed(check, asIs("name the relay's admin listener with --admin, and let operators through to it, with the credential that it asks for"),
			"the admin listener at %s does not answer the question: %s", d.AdminAddress, words(err)))
		return nil
	}
	d.tell("", judgeServers(now, time.Now()))
	d.tell("", d.sameRelay(ctx, patients))
	d.tell("", d.clock(ctx))
	return now
}

func (d *doctor) serverConnections(ctx context.Context) ([]*holdfastv1.ServerConnection, error) {
	ctx, cancel := d.step(ctx)
	defer cancel()
	response, err := d.Admin.ListServerConnections(ctx, &holdfastv1.ListServerConnectionsRequest{Application: d.Application})
	return response.GetServerConnections(), err
}

// judgeServers judges whether each process of an app server has a path left when an ingress goes.
func judgeServers(all []*holdfastv1.ServerConnection, now time.Time) Finding {
	const check = "server-connections"
	if len(all) == 0 {
		return failed(check, asIs("start an app server of the application, with --relays through each ingress"), "there are none")
	}
	ingresses := map[string]map[string]bool{}
	youngest := time.Duration(1<<63 - 1)
	for _, c := range all {
		process := c.GetServerId() + "/" + c.GetInstanceId()
		if ingresses[process] == nil {
			ingresses[process] = map[string]bool{}
		}
		if !c.GetDraining() {
			ingresses[process][c.GetIngress()] = true
			youngest = min(youngest, now.Sub(c.GetAttachedAt().AsTime()))
		}
	}
	for _, process := range slices.Sorted(maps.Keys(ingresses)) {
		through := ingresses[process]
		told := strings.Join(slices.Sorted(maps.Keys(through)), ", ")
		switch {
		case through[direct]:
			return failed(check, adviseHeader, "app server %s has a server connection through no ingress that the relay knows (through: %s)", process, told)
		case len(through) < 2:
			return failed(check, asIs("give the app server the addresses of two ingresses at least: --relays INGRESS-A,INGRESS-B; and see that each answers"),
				"app server %s has %d ingresses that are in service (%s): with less than 2 its clients wait while one reloads", process, len(through), told)
		}
	}
	age := ""
	if youngest < proven {
		age = fmt.Sprintf("; the youngest is %s old, too young to prove that heartbeats get through (%s)", youngest.Round(time.Second), proven)
	}
	return ok(check, "%d app server processes, each through 2 ingresses or more, %d server connections%s", len(ingresses), len(all), age)
}

// watchServers looks whether the server connections outlived the wait. The doctor opens none of its own: it would have to
// name itself an app server, and would be given clients.
func (d *doctor) watchServers(ctx context.Context, before []*holdfastv1.ServerConnection) Finding {
	if len(before) == 0 || d.Wait == 0 {
		return Finding{}
	}
	after, err := d.serverConnections(ctx)
	if err != nil {
		return failed("heartbeats", asIs("look at the relay"), "the admin listener at %s does not answer any more: %s", d.AdminAddress, words(err))
	}
	return judgeLasting(before, after, d.Wait, time.Now())
}

// judgeLasting judges what became of the server connections in the time.
func judgeLasting(before, after []*holdfastv1.ServerConnection, wait time.Duration, now time.Time) Finding {
	const check = "heartbeats"
	live := map[string]bool{}
	for _, c := range after {
		live[c.GetServerConnectionId()] = true
	}
	var gone []string
	oldest := time.Duration(0)
	for _, c := range before {
		age := now.Sub(c.GetAttachedAt().AsTime())
		if live[c.GetServerConnectionId()] {
			oldest = max(oldest, age)
		} else if !c.GetDraining() {
			gone = append(gone, fmt.Sprintf("%s through %s", c.GetServerConnectionId(), c.GetIngress()))
		}
	}
	if len(gone) > 0 {
		return warning(check, adviseHeartbeat, "%d of %d server connections ended within %s: %s; unless an ingress was reloaded or an app server restarted, a time-out cuts them",
			len(gone), len(before), wait, strings.Join(gone[:min(len(gone), maxNumbers)], ", "))
	}
	return ok(check, "all server connections outlived %s; the oldest has lived for %s", wait, oldest.Round(time.Second))
}

// sameRelay looks whether the admin listener is that of the relay behind the addresses.
func (d *doctor) sameRelay(ctx context.Context, patients []*patient) Finding {
	ctx, cancel := d.step(ctx)
	defer cancel()
	response, err := d.Admin.ListIngresses(ctx, &holdfastv1.ListIngressesRequest{})
	if err != nil {
		return skipped("in-service", "the relay does not list its ingresses: %s", words(err))
	}
	var wanted []string
	for _, p := range patients {
		if name := p.welcome.GetIngress(); name != "" && name != direct {
			wanted = append(wanted, name)
		}
	}
	return judgeInService(response.GetIngresses(), wanted, d.AdminAddress)
}

// judgeInService judges whether the ingresses behind the addresses are in service.
func judgeInService(known []*holdfastv1.Ingress, wanted []string, address string) Finding {
	const check = "in-service"
	byName := map[string]*holdfastv1.Ingress{}
	for _, in := range known {
		byName[in.GetName()] = in
	}
	for _, name := range wanted {
		switch in := byName[name]; {
		case in == nil:
			return failed(check, asIs("name the admin listener of the relay that the ingresses lead to; one relay is meant to stand behind all of them"),
				"the relay at %s does not know ingress %q: it is another relay than the one behind the addresses", address, name)
		case in.GetDraining():
			return warning(check, asIs("when the reload is over: holdfast complete "+name), "ingress %q is out of service until %s",
				name, in.GetReturnsAt().AsTime().UTC().Format(time.DateTime))
		}
	}
	if len(wanted) == 0 {
		return skipped(check, "no address leads to an ingress with a name")
	}
	return ok(check, "%s", strings.Join(wanted, ", "))
}
