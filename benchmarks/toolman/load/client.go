package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

const (
	version    = "2025-06-18"
	initialize = `{"protocolVersion":"` + version + `","capabilities":{},"clientInfo":{"name":"load","version":"1"}}`
	answerTime = 60 * time.Second // longer than any proxy takes for anything here
	retryTime  = time.Millisecond
)

// connection is one keep-alive connection in a session of its own; one request at a time.
type connection struct {
	conn    net.Conn
	reader  *bufio.Reader
	host    string
	path    string
	session string
	body    bytes.Buffer
}

func dial(endpoint string) (*connection, error) {
	parsed, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", parsed.Host)
	if err != nil {
		return nil, err
	}
	return &connection{conn: conn, reader: bufio.NewReaderSize(conn, 1<<16), host: parsed.Host, path: parsed.Path}, nil
}

// send does one HTTP exchange; the answer's body is in c.body.
func (c *connection) send(method, body string) (*http.Response, error) {
	c.conn.SetDeadline(time.Now().Add(answerTime))
	head := method + " " + c.path + " HTTP/1.1\r\nHost: " + c.host +
		"\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
	if c.session != "" {
		head += "Mcp-Session-Id: " + c.session + "\r\nMCP-Protocol-Version: " + version + "\r\n"
	}
	head += fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
	if _, err := io.WriteString(c.conn, head+body); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	c.body.Reset()
	_, err = c.body.ReadFrom(response.Body)
	return response, err
}

// ask sends a request and sees to it that the answer is a result with want in it.
func (c *connection) ask(body, want string) error {
	response, err := c.send("POST", body)
	if err != nil {
		return err
	}
	got := c.body.Bytes()
	if response.StatusCode != 200 || !bytes.Contains(got, []byte(`"result"`)) || !bytes.Contains(got, []byte(want)) {
		return fmt.Errorf("%s: %.300s", response.Status, got)
	}
	return nil
}

// open begins a session.
func (c *connection) open() error {
	response, err := c.send("POST", request("initialize", initialize))
	if err != nil {
		return err
	}
	if response.StatusCode != 200 {
		return fmt.Errorf("initialize: %s: %.300s", response.Status, c.body.Bytes())
	}
	c.session = response.Header.Get("Mcp-Session-Id")
	_, err = c.send("POST", `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return err
}

func connect(endpoint string) (*connection, error) {
	c, err := dial(endpoint)
	if err != nil {
		return nil, err
	}
	return c, c.open()
}

func request(method, params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`
}

func callOf(text string) string {
	return request("tools/call", `{"name":"echo","arguments":{"text":"`+text+`"}}`)
}

func bigCallOf(size int) string {
	return request("tools/call", fmt.Sprintf(`{"name":"big","arguments":{"bytes":%d}}`, size))
}

// first tries until a call is answered, and gives the moment in nanoseconds since 1970.
func first(endpoint string, limit time.Duration) (any, error) {
	begun := time.Now()
	for {
		c, err := connect(endpoint)
		if err == nil {
			if err = c.ask(callOf("hello"), "hello"); err == nil {
				return map[string]int64{"at": time.Now().UnixNano()}, nil
			}
		}
		if c != nil {
			c.conn.Close()
		}
		if time.Since(begun) > limit {
			return nil, err
		}
		time.Sleep(retryTime)
	}
}

type timing struct {
	Calls   int     `json:"calls"`
	Seconds float64 `json:"seconds"`
	P50     float64 `json:"p50"` // milliseconds, as the next
	P99     float64 `json:"p99"`
}

// repeat sends the same request again and again over some connections at a time.
func repeat(endpoint string, connections, count int, limit time.Duration, body, want string) (any, error) {
	opened := make([]*connection, connections)
	for n := range opened {
		c, err := connect(endpoint)
		if err != nil {
			return nil, err
		}
		defer c.conn.Close()
		opened[n] = c
	}
	taken := make([][]time.Duration, connections)
	problems := make([]error, connections)
	var begun atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for n, c := range opened {
		all.Add(1)
		go func() {
			defer all.Done()
			for time.Since(start) < limit && begun.Add(1) <= int64(count) && problems[n] == nil {
				before := time.Now()
				problems[n] = c.ask(body, want)
				taken[n] = append(taken[n], time.Since(before))
			}
		}()
	}
	all.Wait()
	seconds := time.Since(start).Seconds()
	var sorted []time.Duration
	for n := range opened {
		if problems[n] != nil {
			return nil, problems[n]
		}
		sorted = append(sorted, taken[n]...)
	}
	sort.Slice(sorted, func(a, b int) bool { return sorted[a] < sorted[b] })
	at := func(part float64) float64 { return sorted[int(part*float64(len(sorted)-1))].Seconds() * 1000 }
	return timing{len(sorted), seconds, at(0.50), at(0.99)}, nil
}

// sessions opens sessions one after the other, and ends each as a client does that is done.
func sessions(endpoint string, count int, limit time.Duration) (any, error) {
	c, err := dial(endpoint)
	if err != nil {
		return nil, err
	}
	start, done := time.Now(), 0
	for ; done < count && time.Since(start) < limit; done++ {
		c.session = ""
		if err := c.open(); err != nil {
			return nil, err
		}
		if c.session != "" {
			if _, err := c.send("DELETE", ""); err != nil {
				return nil, err
			}
		}
	}
	return timing{Calls: done, Seconds: time.Since(start).Seconds()}, nil
}
