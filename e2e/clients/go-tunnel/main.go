// Command go-tunnel uses the official client of the tunnel (konnectivity-client), as kube-apiserver does.
//
//	go-tunnel relay -listen=PATH …    each connection to the Unix socket names an address and becomes one through the tunnel
//	go-tunnel check NAME …            one check, whose outcome is a line of JSON on stdout
//
// Both take -unix=PATH, or -server=HOST:PORT with -ca, -cert and -key.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fail("relay or check?")
	}
	switch os.Args[1] {
	case "relay":
		runRelay(os.Args[2:])
	case "check":
		if len(os.Args) < 3 {
			fail("which check?")
		}
		runCheck(os.Args[2], os.Args[3:])
	default:
		fail("unknown command " + os.Args[1])
	}
}

func runRelay(arguments []string) {
	flags := flag.NewFlagSet("relay", flag.ExitOnError)
	server := serverFlags(flags)
	listen := flags.String("listen", "", "path of the Unix socket")
	reuse := flags.Bool("reuse", false, "all connections in one HTTP/2 connection; otherwise each has its own")
	_ = flags.Parse(arguments)
	dial, err := server.dialer(*reuse)
	if err == nil {
		err = relay(*listen, dial)
	}
	fail(err.Error())
}

func runCheck(name string, arguments []string) {
	flags := flag.NewFlagSet("check", flag.ExitOnError)
	options := checkOptions{server: serverFlags(flags)}
	flags.StringVar(&options.target, "target", "", "host:port of a destination that sends back what it gets")
	flags.IntVar(&options.count, "count", 1, "how many connections")
	flags.IntVar(&options.bytes, "bytes", 65536, "how many bytes on each")
	flags.DurationVar(&options.after, "after", 300*time.Millisecond, "when the context ends, where it does")
	flags.BoolVar(&options.reuse, "reuse", false, "all connections in one HTTP/2 connection; otherwise each has its own")
	_ = flags.Parse(arguments)
	check, known := checks[name]
	if !known {
		fail("unknown check " + name)
	}
	started := time.Now()
	outcome := check(options)
	outcome.Milliseconds = time.Since(started).Milliseconds()
	line, _ := json.Marshal(outcome)
	fmt.Println(string(line))
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}
