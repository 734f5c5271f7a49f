package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// As our agent has them: src/tunnel/agent, and the defaults of its flags.
const (
	firstPause   = time.Second
	longestPause = 10 * time.Second
	growth       = 1.5
	// Of TCP, of TLS, and of the server's answer each.
	stepTimeout = 10 * time.Second
)

// keepConnected is one agent.
func (f *fleet) keepConnected(id string) {
	pause := firstPause
	for {
		started := time.Now()
		connection, framer, err := f.connect(id)
		if err != nil {
			f.failures.Add(1)
		} else {
			f.ready.Add(1)
			serve(framer)
			f.ready.Add(-1)
			f.lost.Add(1)
			_ = connection.Close()
			// One that lasted was no failure.
			if time.Since(started) > longestPause {
				pause = firstPause
			}
		}
		time.Sleep(time.Duration(float64(pause) * (0.5 + rand.Float64()/2)))
		pause = min(longestPause, time.Duration(float64(pause)*growth))
	}
}

// connect gives a connection whose server has answered the stream.
func (f *fleet) connect(id string) (net.Conn, *http2.Framer, error) {
	plain, err := net.DialTimeout("tcp", f.address, stepTimeout)
	if err != nil {
		return nil, nil, err
	}
	connection := tls.Client(plain, f.tls)
	framer, err := f.open(connection, id)
	if err != nil {
		_ = plain.Close()
		return nil, nil, err
	}
	return connection, framer, nil
}

func (f *fleet) open(connection *tls.Conn, id string) (*http2.Framer, error) {
	handshake, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	if err := connection.HandshakeContext(handshake); err != nil {
		return nil, err
	}
	_ = connection.SetDeadline(time.Now().Add(stepTimeout))
	if err := begin(connection, f.address, id); err != nil {
		return nil, err
	}
	framer := http2.NewFramer(connection, connection)
	framer.SetReuseFrames()
	for {
		frame, err := next(framer)
		if err != nil {
			return nil, err
		}
		if head, is := frame.(*http2.HeadersFrame); is {
			if head.StreamEnded() {
				return nil, errors.New("the server has ended the stream")
			}
			return framer, connection.SetDeadline(time.Time{})
		}
	}
}

// begin sends all that an agent says by itself, at once.
func begin(connection net.Conn, authority, id string) error {
	var head, all bytes.Buffer
	lines := hpack.NewEncoder(&head)
	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", "https"}, {":authority", authority}, {":path", "/AgentService/Connect"},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"agentid", id}, {"agentidentifiers", "host=" + id},
	} {
		_ = lines.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	all.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&all, nil)
	_ = framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 4 << 20})
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true})
	_, err := connection.Write(all.Bytes())
	return err
}

// serve answers what every connection must, until it ends.
func serve(framer *http2.Framer) {
	for {
		frame, err := next(framer)
		if err != nil {
			return
		}
		switch frame.(type) {
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return
		}
	}
}

func next(framer *http2.Framer) (http2.Frame, error) {
	frame, err := framer.ReadFrame()
	if err != nil {
		return nil, err
	}
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			err = framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			err = framer.WritePing(true, frame.Data)
		}
	}
	return frame, err
}
