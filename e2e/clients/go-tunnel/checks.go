package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

type checkOptions struct {
	server       *server
	target       string
	count, bytes int
	after        time.Duration
	reuse        bool
}

// outcome is what a check prints.
type outcome struct {
	// Error and Reason of what failed first; empty where all went well.
	Error  string `json:"error"`
	Reason string `json:"reason"`
	// CloseError of the last connection that was closed.
	CloseError string `json:"closeError"`
	// Ended: the tunnel was done a while after its dial failed.
	Ended bool `json:"ended"`
	// OpenMilliseconds until all connections were open.
	OpenMilliseconds int64 `json:"openMilliseconds"`
	// BytesPerSecond, there and back counted once.
	BytesPerSecond int64 `json:"bytesPerSecond"`
	Milliseconds   int64 `json:"milliseconds"`
}

// failed with this error.
func failed(err error) outcome {
	return outcome{Error: err.Error(), Reason: reasonOf(err)}
}

var checks = map[string]func(checkOptions) outcome{
	"echo":       echo,
	"dial":       func(o checkOptions) outcome { return dialOnly(o, context.Background()) },
	"expired":    expired,
	"cancelled":  cancelled,
	"deadline":   deadline,
	"single-use": singleUse,
	"concurrent": concurrent,
	"big-write":  bigWrite,
	"throughput": throughput,
}

// echo opens connections one after the other.
func echo(o checkOptions) outcome {
	dial, err := o.server.dialer(o.reuse)
	if err != nil {
		return failed(err)
	}
	result := outcome{}
	for range o.count {
		conn, err := dial(context.Background(), o.target)
		if err != nil {
			return failed(err)
		}
		if err := exchange(conn, o.bytes, bufferBytes); err != nil {
			return failed(err)
		}
		if err := conn.Close(); err != nil {
			result.CloseError = err.Error()
		}
	}
	return result
}

// dialOnly tells why a dial fails, and whether its tunnel ends with it.
func dialOnly(o checkOptions, ctx context.Context) outcome {
	tunnel, err := o.server.singleUse(context.Background())
	if err != nil {
		return failed(err)
	}
	conn, err := tunnel.DialContext(ctx, "tcp", o.target)
	if err == nil {
		return outcome{CloseError: textOf(conn.Close())}
	}
	result := failed(err)
	select {
	case <-tunnel.Done():
		result.Ended = true
	case <-time.After(5 * time.Second):
	}
	return result
}

func expired(o checkOptions) outcome {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return dialOnly(o, ctx)
}

func cancelled(o checkOptions) outcome {
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(o.after, cancel)
	return dialOnly(o, ctx)
}

func deadline(o checkOptions) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), o.after)
	defer cancel()
	return dialOnly(o, ctx)
}

// singleUse dials twice what may be dialled once.
func singleUse(o checkOptions) outcome {
	tunnel, err := o.server.singleUse(context.Background())
	if err != nil {
		return failed(err)
	}
	conn, err := tunnel.DialContext(context.Background(), "tcp", o.target)
	if err != nil {
		return failed(err)
	}
	defer conn.Close()
	if _, err = tunnel.DialContext(context.Background(), "tcp", o.target); err == nil {
		return outcome{}
	}
	return failed(err)
}

// concurrent opens all connections before any is used, and uses all before any is closed.
func concurrent(o checkOptions) outcome {
	dial, err := o.server.dialer(o.reuse)
	if err != nil {
		return failed(err)
	}
	started := time.Now()
	conns := make([]net.Conn, o.count)
	if err := inParallel(o.count, func(at int) (err error) {
		conns[at], err = dial(context.Background(), o.target)
		return err
	}); err != nil {
		return failed(err)
	}
	result := outcome{OpenMilliseconds: time.Since(started).Milliseconds()}
	err = inParallel(o.count, func(at int) error { return exchange(conns[at], o.bytes, bufferBytes) })
	if err != nil {
		return failed(err)
	}
	_ = inParallel(o.count, func(at int) error { return conns[at].Close() })
	return result
}

// bigWrite sends all bytes in one packet.
func bigWrite(o checkOptions) outcome {
	dial, err := o.server.dialer(o.reuse)
	if err != nil {
		return failed(err)
	}
	conn, err := dial(context.Background(), o.target)
	if err != nil {
		return failed(err)
	}
	defer conn.Close()
	if err := exchange(conn, o.bytes, o.bytes); err != nil {
		return failed(err)
	}
	return outcome{}
}

func throughput(o checkOptions) outcome {
	started := time.Now()
	result := echo(o)
	if seconds := time.Since(started).Seconds(); seconds > 0 {
		result.BytesPerSecond = int64(float64(o.bytes) * float64(o.count) / seconds)
	}
	return result
}

// exchange sends random bytes in pieces and compares what comes back, while it sends.
func exchange(conn net.Conn, size, piece int) error {
	sent := make([]byte, size)
	_, _ = rand.Read(sent)
	writing := make(chan error, 1)
	go func() {
		for at := 0; at < size; at += piece {
			if _, err := conn.Write(sent[at:min(at+piece, size)]); err != nil {
				writing <- err
				return
			}
		}
		writing <- nil
	}()
	received := make([]byte, size)
	reading := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(conn, received)
		reading <- err
	}()
	select {
	case err := <-reading:
		if err != nil {
			return fmt.Errorf("reading: %w", err)
		}
	case <-time.After(60 * time.Second):
		return errors.New("reading: nothing came for a minute")
	}
	if err := <-writing; err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	if !bytes.Equal(sent, received) {
		return errors.New("what came back is something else")
	}
	return nil
}

// inParallel gives the first error.
func inParallel(count int, do func(at int) error) error {
	var group sync.WaitGroup
	found := make(chan error, count)
	for at := range count {
		group.Go(func() {
			if err := do(at); err != nil {
				found <- err
			}
		})
	}
	group.Wait()
	select {
	case err := <-found:
		return err
	default:
		return nil
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
