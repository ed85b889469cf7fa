package doctor

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// adminPort asks what only operators may ask, and changes nothing by it.
func (p *patient) adminPort(ctx context.Context) Finding {
	ctx, cancel := p.step(ctx)
	defer cancel()
	_, err := holdfastv1.NewAdminServiceClient(p.conn).ListIngresses(ctx, &holdfastv1.ListIngressesRequest{})
	return judgeAdminPort(err)
}

func judgeAdminPort(err error) Finding {
	const check = "admin-port"
	switch status.Code(err) {
	case codes.OK:
		return failed(check, adviseAdmin, "AdminService answers here: anybody who gets here can close connections and take ingresses out of service")
	case codes.Unimplemented:
		return ok(check, "AdminService cannot be reached here")
	case codes.Unauthenticated, codes.PermissionDenied:
		return warning(check, adviseAdmin, "AdminService can be reached here, though it wants a credential: %s", words(err))
	}
	return warning(check, asIs("look why this is not answered with UNIMPLEMENTED"), "a call of AdminService ends oddly: %s", words(err))
}
