package etcdstore

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"pec-ingest/internal/secret"
)

// dialOptions are what lies below etcd's own client.
func dialOptions(c Config) []grpc.DialOption {
	var options []grpc.DialOption
	if c.unary != nil {
		options = append(options, grpc.WithChainUnaryInterceptor(c.unary))
	}
	if c.stream != nil {
		options = append(options, grpc.WithChainStreamInterceptor(c.stream))
	}
	if c.Username == "" {
		return append(options, grpc.WithChainUnaryInterceptor(sayWhy))
	}
	l := &login{user: c.Username, password: c.Password, turn: make(chan struct{}, 1)}
	return append(options, grpc.WithChainUnaryInterceptor(l.unary, sayWhy), grpc.WithChainStreamInterceptor(l.stream))
}

// sayWhy lets a request that found no connection end with the reason.
//
// etcd's client waits for a connection until the request's time is over, and
// all it then says is that it is over. What gRPC knew, such as a certificate
// that is not taken, is passed on with a code that the client does not take
// for a reason to try again.
func sayWhy(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := next(ctx, method, req, reply, cc, opts...)
	if st, ok := status.FromError(err); ok && st.Code() == codes.DeadlineExceeded {
		if _, why, found := strings.Cut(st.Message(), "latest balancer error: "); found {
			return status.Error(codes.FailedPrecondition, why)
		}
	}
	return err
}

// login puts the token of a user on each request, and asks for another one
// when a member does not know it: after its time (five minutes on a member
// that was not asked), or when the member has started again.
//
// etcd's client does the same, but sends the old token along when it asks for
// the new one, for which servers of version 3.4 refuse that, too: it then asks
// thousands of times and never comes in again.
type login struct {
	user     string
	password secret.Secret

	turn   chan struct{} // one token: held by who reads or changes what follows
	serial int           // counts the tokens; 0: none yet
	token  string        // "" where etcd asks for none
}

const authenticate = "/etcdserverpb.Auth/Authenticate"

// get gives the newest token, which is not the one of that serial number.
func (l *login) get(ctx context.Context, cc *grpc.ClientConn, not int) (token string, serial int, err error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return "", 0, status.FromContextError(ctx.Err()).Err()
	}
	if l.serial > not {
		return l.token, l.serial, nil
	}
	resp, err := pb.NewAuthClient(cc).Authenticate(ctx, &pb.AuthenticateRequest{Name: l.user, Password: l.password.RevealString()}, grpc.WaitForReady(true))
	switch {
	case err == nil:
		l.token = resp.Token
	case errors.Is(rpctypes.Error(err), rpctypes.ErrAuthNotEnabled):
		l.token = ""
	default:
		return "", 0, err
	}
	l.serial++
	return l.token, l.serial, nil
}

func (l *login) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if method == authenticate {
		return next(ctx, method, req, reply, cc, opts...)
	}
	token, serial, err := l.get(ctx, cc, 0)
	if err != nil {
		return err
	}
	err = next(withToken(ctx, token), method, req, reply, cc, opts...)
	if !staleToken(err) { // it was not carried out
		return err
	}
	if token, _, err = l.get(ctx, cc, serial); err != nil {
		return err
	}
	return next(withToken(ctx, token), method, req, reply, cc, opts...)
}

// stream begins each stream with a new token: what is wrong with one, a
// stream tells too late.
func (l *login) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	_, serial, err := l.get(ctx, cc, 0)
	if err != nil {
		return nil, err
	}
	token, _, err := l.get(ctx, cc, serial)
	if err != nil {
		return nil, err
	}
	return next(withToken(ctx, token), desc, cc, method, opts...)
}

func withToken(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, token)
}

func staleToken(err error) bool {
	for _, e := range []error{rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthOldRevision, rpctypes.ErrUserEmpty} {
		if errors.Is(rpctypes.Error(err), e) {
			return true
		}
	}
	return false
}
