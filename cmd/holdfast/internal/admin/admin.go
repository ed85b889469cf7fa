// Package admin is the tool's side of the relay's AdminService: the connection to it, and plain words for
// what it answers.
package admin

import (
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/dial"
	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// Client is a connection to the admin listener of a relay.
type Client struct {
	holdfastv1.AdminServiceClient
	conn    *grpc.ClientConn
	address string
}

// Target says where the admin listener is, HOST:PORT, and how it is spoken to.
type Target struct {
	dial.Security
	Address string
}

// Dial prepares a connection to the admin listener. The first call connects.
func Dial(t Target) (*Client, error) {
	options, err := t.Options(t.Address)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(t.Address, options...)
	if err != nil {
		return nil, fmt.Errorf("--admin %s: %w", t.Address, err)
	}
	return &Client{holdfastv1.NewAdminServiceClient(conn), conn, t.Address}, nil
}

// Close closes the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Explain turns the error of a call into one for people. It keeps the cause.
func (c *Client) Explain(err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	switch {
	case !ok:
		return err
	case st.Code() == codes.Unavailable && Reason(err) == "":
		return &Error{
			text: fmt.Sprintf("no relay answers at %s (%s); start one, or name its admin address with --admin or HOLDFAST_ADMIN",
				c.address, st.Message()),
			cause: err,
		}
	case st.Code() == codes.Unauthenticated:
		return &Error{text: st.Message() + "; name the file that has it with --admin-token-file or HOLDFAST_ADMIN_TOKEN_FILE", cause: err}
	case Reason(err) != "":
		return &Error{text: fmt.Sprintf("%s (%s)", st.Message(), Reason(err)), cause: err}
	}
	return &Error{text: fmt.Sprintf("%s (%s)", st.Message(), st.Code()), cause: err}
}

// Error is the error of a call in words for people.
type Error struct {
	text  string
	cause error
}

func (e *Error) Error() string { return e.text }
func (e *Error) Unwrap() error { return e.cause }

// Reason returns the reason in the google.rpc.ErrorInfo of a gRPC error, empty when it has none.
func Reason(err error) string {
	var withStatus interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &withStatus) {
		return ""
	}
	for _, detail := range withStatus.GRPCStatus().Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
