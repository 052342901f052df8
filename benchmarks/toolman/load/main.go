// Command load is both ends of the benchmark: the MCP server behind the proxies and the client before them. It is
// written in Go, with the standard library only, so that neither end is slower than what stands between them.
//
//	load stdio [-tools N]               an MCP server on standard input and output
//	load http -port P [-tools N]        the same over streamable HTTP, at /mcp
//	load first -url U                   wait for the first answer to a call; prints when it came
//	load calls -url U ...               call a tool over and over; prints how long that took
//	load list -url U -times N           list the tools
//	load big -url U -bytes B -times N   call a tool with a big result
//	load sessions -url U -count N       open and end sessions
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
		fail(fmt.Errorf("usage: load stdio|http|first|calls|list|big|sessions [flags]"))
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	url := flags.String("url", "", "endpoint")
	tools := flags.Int("tools", 2, "tools of the server")
	port := flags.Int("port", 0, "port of the server")
	connections := flags.Int("connections", 1, "at a time")
	calls := flags.Int("calls", 1000, "at most, of all connections")
	limit := flags.Duration("limit", 10*time.Second, "begin nothing after this long")
	times := flags.Int("times", 10, "how often")
	count := flags.Int("count", 10000, "sessions")
	bytes := flags.Int("bytes", 1<<20, "of a result")
	fail(flags.Parse(os.Args[2:]))

	var report any
	var err error
	switch os.Args[1] {
	case "stdio":
		err = serveStdio(newServer(*tools))
	case "http":
		err = serveHTTP(newServer(*tools), *port)
	case "first":
		report, err = first(*url, *limit)
	case "calls":
		report, err = repeat(*url, *connections, *calls, *limit, callOf("hello"), "hello")
	case "list":
		report, err = repeat(*url, 1, *times, *limit, request("tools/list", `{}`), `"tools"`)
	case "big":
		report, err = repeat(*url, 1, *times, *limit, bigCallOf(*bytes), "xxxxxxxx")
	case "sessions":
		report, err = sessions(*url, *count, *limit)
	default:
		err = fmt.Errorf("no command %q", os.Args[1])
	}
	fail(err)
	if report != nil {
		fail(json.NewEncoder(os.Stdout).Encode(report))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}
