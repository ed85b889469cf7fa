package console

import (
	"encoding/json"
	"fmt"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
)

// problem is an error of the API. Its reason is one of the admin service's, or one of those below.
type problem struct {
	status  int
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Error implements error.
func (p *problem) Error() string { return p.Message }

var (
	errCrossSite = &problem{
		http.StatusForbidden, "CROSS_SITE", "the request came from a page of another site; use the console's own page",
	}
	errReadOnly = &problem{
		http.StatusForbidden, "READ_ONLY", "this console is read-only; the relay was started with --read-only-console",
	}
	errTooManyStreams = &problem{
		http.StatusServiceUnavailable, "TOO_MANY_STREAMS",
		fmt.Sprintf("%d pages follow this relay already; close one and try again", maxStreams),
	}
)

func hostError(host string) error {
	return &problem{http.StatusForbidden, "HOST_NOT_ALLOWED", fmt.Sprintf(
		"host %q is not allowed on the loopback; open the console as localhost or by its address", host)}
}

func notJSON(contentType string) error {
	return &problem{http.StatusUnsupportedMediaType, "NOT_JSON", fmt.Sprintf(
		"content type %q is not taken; send application/json", contentType)}
}

func badBody(err error) error {
	return &problem{http.StatusBadRequest, "BAD_BODY", fmt.Sprintf("the body cannot be read as what is wanted here: %v", err)}
}

func tooLarge(most int64) error {
	return &problem{http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE", fmt.Sprintf("the body is over %d bytes", most)}
}

func stoppingError() error {
	return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_RELAY_SHUTDOWN, "the relay is shutting down")
}

func unknown(w http.ResponseWriter, r *http.Request) {
	refuse(w, &problem{http.StatusNotFound, "UNKNOWN_ENDPOINT", fmt.Sprintf("there is no %s %s here", r.Method, r.URL.Path)})
}

// statuses gives each gRPC code of the admin service its HTTP status.
var statuses = map[codes.Code]int{
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.NotFound:           http.StatusNotFound,
	codes.FailedPrecondition: http.StatusConflict,
	codes.Unavailable:        http.StatusServiceUnavailable,
}

func problemOf(err error) *problem {
	if p, ok := err.(*problem); ok {
		return p
	}
	s := status.Convert(err)
	p := &problem{statuses[s.Code()], wire.ErrorReasonOf(err), s.Message()}
	if p.status == 0 {
		p.status = http.StatusInternalServerError
	}
	if p.Reason == "" {
		p.Reason = "INTERNAL"
	}
	return p
}

// refuse answers with the error.
func refuse(w http.ResponseWriter, err error) {
	p := problemOf(err)
	answer(w, p.status, map[string]*problem{"error": p})
}

// answer answers with the value as JSON.
func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // fails only when the caller has gone
}
