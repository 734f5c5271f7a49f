// Command go-fleet is thousands of agents of a tunnel that never get a dial: each has a TLS connection with the stream of an
// agent on it, and connects again after the pauses that our agent makes. A number on the input is how many there shall be;
// what has changed is printed as a line of JSON.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// Of those that come for the first time: the server is not asked for all of them in one moment.
	connectingAtOnce = 100
	tick             = 10 * time.Millisecond
)

// fleet counts what its agents go through.
type fleet struct {
	address               string
	tls                   *tls.Config
	ready, lost, failures atomic.Int64
}

// line is FleetLine of fleet-line.ts.
type line struct {
	Ready    int64 `json:"ready"`
	Losses   int64 `json:"losses"`
	Failures int64 `json:"failures"`
}

func main() {
	address := flag.String("server", "", "host:port of the server for agents")
	ca := flag.String("ca", "", "file with the CA of the server")
	certificate := flag.String("cert", "", "file with the certificate of all agents")
	key := flag.String("key", "", "file with its key")
	flag.Parse()
	config, err := tlsConfig(*ca, *certificate, *key)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	run(&fleet{address: *address, tls: config}, wishes())
}

// wishes gives the numbers on the input; the process ends with it.
func wishes() <-chan int64 {
	numbers := make(chan int64)
	go func() {
		input := bufio.NewScanner(os.Stdin)
		for input.Scan() {
			if number, err := strconv.ParseInt(input.Text(), 10, 64); err == nil {
				numbers <- number
			}
		}
		os.Exit(0)
	}()
	return numbers
}

func run(f *fleet, wishes <-chan int64) {
	var wanted, started int64
	var told line
	for {
		select {
		case wanted = <-wishes:
		case <-time.After(tick):
		}
		for started < wanted && started-f.ready.Load() < connectingAtOnce {
			go f.keepConnected(fmt.Sprintf("agent-%d", started))
			started++
		}
		now := line{Ready: f.ready.Load(), Losses: f.lost.Load(), Failures: f.failures.Load()}
		if now != told {
			text, _ := json.Marshal(now)
			fmt.Println(string(text))
			told = now
		}
	}
}

func tlsConfig(ca, certificate, key string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, errors.New("no certificate in " + ca)
	}
	// Sessions are not resumed: a server that was started again knows none.
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		RootCAs:      pool,
		ServerName:   "127.0.0.1",
		NextProtos:   []string{"h2"},
	}, nil
}
