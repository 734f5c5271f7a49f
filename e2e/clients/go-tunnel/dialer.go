package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client"
)

// server says where the tunnel's server is and how to be known there.
type server struct {
	unix, address, ca, certificate, key string
}

type dialFunc func(ctx context.Context, address string) (net.Conn, error)

func serverFlags(flags *flag.FlagSet) *server {
	s := &server{}
	flags.StringVar(&s.unix, "unix", "", "path of the server's Unix socket")
	flags.StringVar(&s.address, "server", "", "host:port of the server")
	flags.StringVar(&s.ca, "ca", "", "file with the CA of the server")
	flags.StringVar(&s.certificate, "cert", "", "file with our certificate")
	flags.StringVar(&s.key, "key", "", "file with our key")
	return s
}

func (s *server) options() (string, []grpc.DialOption, error) {
	if s.unix != "" {
		dialUnix := func(ctx context.Context, path string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
		plain := grpc.WithTransportCredentials(insecure.NewCredentials())
		return "passthrough:///" + s.unix, []grpc.DialOption{grpc.WithContextDialer(dialUnix), plain}, nil
	}
	pair, err := tls.LoadX509KeyPair(s.certificate, s.key)
	if err != nil {
		return "", nil, err
	}
	authority, err := os.ReadFile(s.ca)
	if err != nil {
		return "", nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return "", nil, errors.New("no certificate in " + s.ca)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}
	return s.address, []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(config))}, nil
}

// dialer gives a function that opens a connection through the tunnel: each in an HTTP/2 connection of its own, or all in one.
func (s *server) dialer(reuse bool) (dialFunc, error) {
	if !reuse {
		return func(ctx context.Context, address string) (net.Conn, error) {
			tunnel, err := s.singleUse(ctx)
			if err != nil {
				return nil, err
			}
			return tunnel.DialContext(ctx, "tcp", address)
		}, nil
	}
	tunnel, err := s.reusable()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, address string) (net.Conn, error) {
		return tunnel.DialContext(ctx, "tcp", address)
	}, nil
}

func (s *server) singleUse(ctx context.Context) (client.Tunnel, error) {
	address, options, err := s.options()
	if err != nil {
		return nil, err
	}
	return client.CreateSingleUseGrpcTunnelWithContext(ctx, context.Background(), address, options...)
}

func (s *server) reusable() (client.ReusableTunnel, error) {
	address, options, err := s.options()
	if err != nil {
		return nil, err
	}
	return client.CreateGRPCTunnel(context.Background(), address, options...)
}

// reasonOf gives the client's label for why a dial failed.
func reasonOf(err error) string {
	isDialFailure, reason := client.GetDialFailureReason(err)
	if !isDialFailure {
		return ""
	}
	return string(reason)
}
