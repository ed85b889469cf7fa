package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
)

const (
	// maxBody bounds the body of an action, in bytes.
	maxBody = 4 << 10
	// bodyTimeout is for how long a body may take, actionTimeout for how long a move.
	bodyTimeout   = 10 * time.Second
	actionTimeout = time.Minute
)

type (
	ingressRequest struct {
		Ingress string `json:"ingress"`
	}
	reloadRequest struct {
		Ingress string `json:"ingress"`
		// For how long to wait for what cannot be moved at once, and after what time the ingress returns to service by itself,
		// such as "30s". Empty: the defaults of the admin service.
		Wait     string `json:"wait"`
		Deadline string `json:"deadline"`
	}
	moveRequest struct {
		Connection string `json:"connection_id"`
		// Target is a server connection; empty lets the relay choose.
		Target string `json:"target"`
	}
	closeRequest struct {
		Connection string `json:"connection_id"`
	}
	moveView struct {
		ServerConnection string `json:"server_connection_id"`
		// Pause is in microseconds.
		Pause int64 `json:"pause_us"`
	}
	// done is the answer of an action that has nothing else to say.
	done struct{}
)

// action is the endpoint of something that an operator does.
func action[T any](c *Console, what string, do func(context.Context, *T) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.config.ReadOnly {
			refuse(w, errReadOnly)
			return
		}
		request := new(T)
		if err := read(w, r, request); err != nil {
			refuse(w, err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), actionTimeout)
		defer cancel()
		result, err := do(ctx, request)
		c.log.Info("an operator acted in the console", "action", what, "request", *request, "address", r.RemoteAddr, "error", err)
		if err != nil {
			refuse(w, err)
			return
		}
		answer(w, http.StatusOK, result)
	})
}

// read reads the body: one JSON object with no unknown field.
func read(w http.ResponseWriter, r *http.Request, into any) error {
	contentType := r.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(contentType); err != nil || media != "application/json" {
		return notJSON(contentType)
	}
	control := http.NewResponseController(w) // its deadline can be set, or the connection has ended and the read fails
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }() // else it would end the action
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, more := decoder.Token(); more == nil {
			err = errors.New("more than one value")
		} else if !errors.Is(more, io.EOF) {
			err = more
		}
	}
	if over, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(over.Limit)
	}
	if err != nil {
		return badBody(err)
	}
	return nil
}

// reload answers with the first progress. The reload goes on after that; the state has how far it is.
func (c *Console) reload(ctx context.Context, r *reloadRequest) (any, error) {
	wait, waitErr := duration("wait", r.Wait)
	deadline, deadlineErr := duration("deadline", r.Deadline)
	if err := cmp.Or(waitErr, deadlineErr); err != nil {
		return nil, err
	}
	if !c.begin() {
		return nil, stoppingError()
	}
	st := &progressStream{ctx: context.WithoutCancel(ctx), first: make(chan *holdfastv1.ReloadIngressResponse, 1)}
	ended := make(chan error, 1)
	go func() {
		defer c.running.Done()
		ended <- c.admin.ReloadIngress(&holdfastv1.ReloadIngressRequest{
			Ingress: r.Ingress, Wait: wait, Deadline: deadline,
		}, st)
	}()
	select {
	case p := <-st.first:
		return viewReload(p), nil
	case err := <-ended:
		if err != nil {
			return nil, err
		}
		return viewReload(<-st.first), nil // it ended with a progress
	}
}

func duration(field, value string) (*durationpb.Duration, error) {
	if value == "" {
		return nil, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_INVALID_FIELD, "%s is %q; want a duration such as 30s", field, value)
	}
	return durationpb.New(d), nil
}

// progressStream takes the progress of a reload and keeps the first.
type progressStream struct {
	grpc.ServerStream
	ctx   context.Context
	first chan *holdfastv1.ReloadIngressResponse
}

// Context implements grpc.ServerStream. It has no end: the relay's own ends the reload's stream.
func (s *progressStream) Context() context.Context { return s.ctx }

// Send implements AdminService_ReloadIngressServer.
func (s *progressStream) Send(p *holdfastv1.ReloadIngressResponse) error {
	select {
	case s.first <- p:
	default:
	}
	return nil
}

func (c *Console) complete(ctx context.Context, r *ingressRequest) (any, error) {
	_, err := c.admin.CompleteReload(ctx, &holdfastv1.CompleteReloadRequest{Ingress: r.Ingress})
	return done{}, err
}

func (c *Console) cancel(ctx context.Context, r *ingressRequest) (any, error) {
	_, err := c.admin.CancelReload(ctx, &holdfastv1.CancelReloadRequest{Ingress: r.Ingress})
	return done{}, err
}

func (c *Console) move(ctx context.Context, r *moveRequest) (any, error) {
	moved, err := c.admin.MoveConnection(ctx, &holdfastv1.MoveConnectionRequest{
		ConnectionId: r.Connection, TargetServerConnectionId: r.Target,
	})
	if err != nil {
		return nil, err
	}
	return moveView{moved.GetServerConnectionId(), moved.GetPause().AsDuration().Microseconds()}, nil
}

func (c *Console) closeConnection(ctx context.Context, r *closeRequest) (any, error) {
	_, err := c.admin.CloseConnection(ctx, &holdfastv1.CloseConnectionRequest{ConnectionId: r.Connection})
	return done{}, err
}
