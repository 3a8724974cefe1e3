package http1

import "testing"

const hello = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

func TestKeepAlive(t *testing.T) {
	c := talk(t, &Server{})
	for range 3 {
		c.send(hello)
		c.want("an answer", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nGET / a ")
	}
}

func TestPipelining(t *testing.T) {
	c := talk(t, &Server{})
	c.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
		"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=\"y\"\r\nde\r\n0\r\nA: b\r\n\r\n" +
		"GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	c.want("the first", "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nPOST /1 a abc")
	c.want("the second, with its trailer", "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nPOST /2 a abcde A=b")
	c.wantEnd("the last", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nGET /3 a ")
}
