package doctor

import (
	"context"
	"regexp"
	"strings"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// health asks for the health of the relay, through the ingress.
func (p *patient) health(ctx context.Context) Finding {
	ctx, cancel := p.step(ctx)
	defer cancel()
	response, err := healthv1.NewHealthClient(p.conn).Check(ctx, &healthv1.HealthCheckRequest{})
	return judgeHealth(response.GetStatus(), err)
}

func judgeHealth(s healthv1.HealthCheckResponse_ServingStatus, err error) Finding {
	const check = "health"
	if err == nil && s == healthv1.HealthCheckResponse_SERVING {
		return ok(check, "the relay behind it is SERVING")
	}
	if err == nil {
		return failed(check, asIs("look at the relay behind this ingress: it is shutting down, or not ready"), "the relay behind it is %s", s)
	}
	st := status.Convert(err)
	switch {
	case isHTTP(st.Message(), "404"), st.Code() == codes.Unimplemented:
		return failed(check, adviseRoute, "no gRPC health there: %s", words(err))
	case isHTTP(st.Message(), "401"), isHTTP(st.Message(), "403"), st.Code() == codes.Unauthenticated, st.Code() == codes.PermissionDenied:
		return failed(check, asIs("let health checks through, or name a token with --token-file"), "not allowed: %s", words(err))
	case st.Code() == codes.DeadlineExceeded:
		return failed(check, adviseUpstream, "no answer: %s", words(err))
	}
	return failed(check, adviseUpstream, "the ingress does not get through to the relay: %s", words(err))
}

var httpStatus = regexp.MustCompile(`HTTP status code received from server: (\d{3})`)

// isHTTP reports whether the message of a gRPC error says that the answer was plain HTTP with that status.
func isHTTP(message, want string) bool {
	found := httpStatus.FindStringSubmatch(message)
	return found != nil && found[1] == want
}

// maxWords is how much of an error is told, in bytes.
const maxWords = 300

// words writes an error of gRPC for people.
func words(err error) string {
	st, isStatus := status.FromError(err)
	if !isStatus {
		return err.Error()
	}
	message, _, _ := strings.Cut(st.Message(), "\n") // What follows is the page of an ingress, and says no more.
	if len(message) > maxWords {
		message = strings.ToValidUTF8(message[:maxWords], "") + "…"
	}
	return strings.TrimSpace(message) + " (" + st.Code().String() + ")"
}
