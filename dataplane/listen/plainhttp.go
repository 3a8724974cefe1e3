package listen

import (
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// httpMethods are the beginnings of requests, up to the five bytes that a TLS
// record header has, and of the HTTP/2 preface.
var httpMethods = []string{
	"GET ", "HEAD ", "POST ", "PUT ", "DELET", "CONNE", "OPTIO", "TRACE", "PATCH", "PRI *",
}

// speaksHTTP reports whether the first bytes of a connection begin a request.
func speaksHTTP(header [5]byte) bool {
	return slices.ContainsFunc(httpMethods, func(m string) bool {
		return strings.HasPrefix(string(header[:]), m)
	})
}

const httpText = "This is the TLS port: use https:// here, or the HTTP port.\n"

var httpAnswer = []byte("HTTP/1.1 400 Bad Request\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\n" +
	"Content-Length: " + strconv.Itoa(len(httpText)) + "\r\n" +
	"Connection: close\r\n" +
	"\r\n" + httpText)

// What is read of a plain request, so that closing does not reset the connection
// and take the answer from the client.
const (
	httpDrainTime  = time.Second
	httpDrainBytes = 64 << 10
)

// answerHTTP tells a client that speaks plain HTTP to the TLS port what is wrong.
func (c *conn) answerHTTP() {
	_ = c.Conn.SetDeadline(time.Now().Add(httpDrainTime))
	if _, err := c.Write(httpAnswer); err != nil {
		return
	}
	if err := c.CloseWrite(); err != nil {
		return
	}
	// The error is the end of the connection, or of our patience.
	_, _ = io.CopyN(io.Discard, c, httpDrainBytes)
}
