package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/admin"
)

// header is the request header by which an ingress names itself, direct what the relay says of a stream without it.
const (
	header = "x-ingress-id"
	direct = "direct"
)

// judgeWelcome judges how a hello was answered; nil means by a welcome.
func judgeWelcome(err error) Finding {
	const check = "welcome"
	late := new(lateError)
	switch reason := admin.Reason(err); {
	case err == nil:
		return ok(check, "a client is welcomed")
	case reason == "NO_APP_SERVER":
		return failed(check, asIs("start an app server of the application, with --relays through each ingress"), "no app server is there: %s", words(err))
	case reason == "UNKNOWN_APPLICATION":
		return failed(check, asIs("name an application that the relay serves with --application, or add it to the relay's --applications"), "%s", words(err))
	case reason != "":
		return failed(check, asIs("look at the relay's log"), "the relay refuses the client: %s, %s", words(err), reason)
	case status.Code(err) == codes.Unauthenticated || status.Code(err) == codes.PermissionDenied:
		return failed(check, asIs("name a token that the relay takes with --token-file"), "the client is not allowed: %s", words(err))
	case errors.As(err, &late):
		return failed(check, adviseBuffer, "a client's stream gets no answer while it is open: %v", err)
	case status.Code(err) == codes.Unimplemented:
		return failed(check, adviseRoute, "no ClientConnectionService there: %s", words(err))
	}
	return failed(check, adviseUpstream, "a client's stream does not get through: %s", words(err))
}

// spoofing names an ingress as a dishonest client would, and looks whom the relay believes.
func (p *patient) spoofing(ctx context.Context) Finding {
	ours := "doctor-" + strings.ToLower(rand.Text())
	s, err := p.open(ctx, header, ours)
	if err != nil {
		p.run(judgeIngress(p.welcome.GetIngress()))
		return skipped("spoofing", "a stream with a header of its own is refused: %s", words(err))
	}
	defer s.close()
	honest, lied := p.welcome.GetIngress(), s.welcome.GetIngress()
	p.run(judgeIngress(honest))
	return judgeSpoofing(honest, lied, ours)
}

// judgeIngress judges by which name the relay knows the ingress.
func judgeIngress(name string) Finding {
	const check = "ingress"
	if name == direct {
		return failed(check, adviseHeader, "the relay takes the stream for one that came through no ingress (%q): no %s arrives, or the relay does not believe it", direct, header)
	}
	return ok(check, "the relay knows it as %q", name)
}

// judgeSpoofing judges by which name the relay knows the ingress without and with a header from the client.
func judgeSpoofing(honest, lied, ours string) Finding {
	const check = "spoofing"
	switch {
	case lied == ours:
		return failed(check, adviseReplace, "a client that sends %s: %s is believed: anybody can name an ingress", header, ours)
	case lied == honest && honest == direct:
		return ok(check, "a client that sends %s is not believed", header)
	case lied == honest:
		return ok(check, "a client that sends %s is still known by %q", header, honest)
	case lied == direct:
		return failed(check, adviseReplace, "a client that sends %s hides its ingress: the relay gets the header twice and believes neither (%q)", header, direct)
	}
	return warning(check, asIs("look what stands behind this address; one address should lead to one ingress"),
		"two streams on one connection are known by %q and %q", honest, lied)
}

// judgeNames judges the names of the ingresses behind all addresses.
func judgeNames(patients []*patient) Finding {
	const check = "different-ingresses"
	if len(patients) < 2 {
		return skipped(check, "only one address was given; give one for each ingress, as app servers get them: they need two at least")
	}
	byName := map[string][]string{}
	for _, p := range patients {
		if name := p.welcome.GetIngress(); name != "" && name != direct {
			byName[name] = append(byName[name], p.address)
		}
	}
	var told, same []string
	for name, addresses := range byName {
		told = append(told, fmt.Sprintf("%q at %s", name, strings.Join(addresses, ", ")))
		if len(addresses) > 1 {
			same = append(same, name)
		}
	}
	slices.Sort(told)
	switch {
	case len(same) > 0:
		return failed(check, adviseNames, "several addresses lead to one ingress: %s", strings.Join(told, "; "))
	case len(byName) < len(patients):
		return skipped(check, "only %d of %d addresses lead to an ingress with a name", len(byName), len(patients))
	}
	return ok(check, "%s", strings.Join(told, "; "))
}
