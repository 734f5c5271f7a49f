package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
)

const bufferBytes = 32 << 10

// answer is the line that the relay sends before the bytes: of a connection that is open it is empty.
type answer struct {
	Error  string `json:"error,omitempty"`
	Reason string `json:"reason,omitempty"`
}

func relay(path string, dial dialFunc) error {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		local, err := listener.Accept()
		if err != nil {
			return err
		}
		go serve(local, dial)
	}
}

func serve(local net.Conn, dial dialFunc) {
	defer local.Close()
	reader := bufio.NewReaderSize(local, bufferBytes)
	address, err := reader.ReadString('\n')
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	peeked := make(chan struct{})
	go func() {
		defer close(peeked)
		// Who goes away while it waits does not want the connection any more.
		if _, err := reader.Peek(1); err != nil {
			cancel()
		}
	}()
	remote, err := dial(ctx, strings.TrimSpace(address))
	if err != nil {
		_ = json.NewEncoder(local).Encode(answer{Error: err.Error(), Reason: reasonOf(err)})
		return
	}
	_ = json.NewEncoder(local).Encode(answer{})
	go func() {
		<-peeked
		copyBytes(remote, reader)
		_ = remote.Close()
	}()
	copyBytes(local, remote)
}

// copyBytes hides what else the two can do: io.Copy would choose pieces of its own.
func copyBytes(to io.Writer, from io.Reader) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, bufferBytes))
}
