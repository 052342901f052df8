package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

const (
	pageOfText = "what it does, in the words that a model reads before it chooses "
	bigLimit   = 64 << 20
	lineLimit  = 16 << 20
)

type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name            string `json:"name"`
		ProtocolVersion string `json:"protocolVersion"`
		Arguments       struct {
			Text  string `json:"text"`
			Bytes int    `json:"bytes"`
		} `json:"arguments"`
	} `json:"params"`
}

// server answers messages; it keeps nothing between them.
type server struct {
	list []byte
	big  []byte
}

func newServer(tools int) *server {
	type property struct {
		Type        string `json:"type"`
		Description string `json:"description"`
	}
	type tool struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		InputSchema any    `json:"inputSchema"`
	}
	described := strings.Repeat(pageOfText, 2)
	list := make([]tool, tools)
	for n := range list {
		schema := map[string]any{"type": "object", "properties": map[string]property{"text": {"string", described}}}
		list[n] = tool{fmt.Sprintf("tool_%d", n), described, schema}
	}
	list[0].Name = "echo"
	if tools > 1 {
		list[1].Name = "big"
		list[1].InputSchema = map[string]any{"type": "object", "properties": map[string]property{"bytes": {"integer", "x"}}}
	}
	encoded, err := json.Marshal(map[string]any{"tools": list})
	fail(err)
	return &server{list: encoded, big: bytes.Repeat([]byte("x"), bigLimit)}
}

// answer gives the response to a message, or nil if it wants none.
func (s *server) answer(line []byte) []byte {
	var asked message
	if json.Unmarshal(line, &asked) != nil || len(asked.ID) == 0 || asked.Method == "" {
		return nil
	}
	out := append([]byte(`{"jsonrpc":"2.0","id":`), asked.ID...)
	switch asked.Method {
	case "initialize":
		version := asked.Params.ProtocolVersion
		if version != "2025-06-18" && version != "2025-11-25" && version != "2025-03-26" {
			version = "2025-11-25"
		}
		out = append(out, `,"result":{"protocolVersion":"`+version+`","capabilities":{"tools":{}},`...)
		out = append(out, `"serverInfo":{"name":"load","version":"1"}}}`...)
	case "ping":
		out = append(out, `,"result":{}}`...)
	case "tools/list":
		out = append(append(append(out, `,"result":`...), s.list...), '}')
	case "tools/call":
		out = append(out, `,"result":{"content":[{"type":"text","text":`...)
		if asked.Params.Name == "big" {
			out = append(append(append(out, '"'), s.big[:min(asked.Params.Arguments.Bytes, bigLimit)]...), '"')
		} else {
			text, err := json.Marshal(asked.Params.Arguments.Text)
			fail(err)
			out = append(out, text...)
		}
		out = append(out, `}],"isError":false}}`...)
	default:
		out = append(out, `,"error":{"code":-32601,"message":"Method not found"}}`...)
	}
	return out
}

func serveStdio(s *server) error {
	in := bufio.NewReaderSize(os.Stdin, lineLimit)
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	for {
		line, err := in.ReadSlice('\n')
		if err == io.EOF {
			return out.Flush()
		}
		if err != nil {
			return err
		}
		if answer := s.answer(line); answer != nil {
			out.Write(answer)
			out.WriteByte('\n')
		}
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}

func serveHTTP(s *server, port int) error {
	http.HandleFunc("/mcp", func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			w.Header().Set("Mcp-Session-Id", "load")
			answer := s.answer(body)
			if answer == nil {
				w.WriteHeader(http.StatusAccepted)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
			w.Write(answer)
		case http.MethodDelete:
			w.WriteHeader(http.StatusOK)
		default:
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	})
	return http.ListenAndServe(fmt.Sprintf("127.0.0.1:%d", port), nil)
}
