package outcome

import "testing"

func TestJoin(t *testing.T) {
	var order []string
	a := Sink{Request: func(*Request) { order = append(order, "a") }}
	b := Sink{Request: func(*Request) { order = append(order, "b") }, Conn: func(*Conn) { order = append(order, "conn") }}
	s := Join(a, Sink{}, b)
	s.Request(&Request{})
	s.Conn(&Conn{})
	if got, want := len(order), 3; got != want || order[0] != "a" || order[1] != "b" || order[2] != "conn" {
		t.Errorf("Join called %v, want [a b conn]", order)
	}
	if s.Handshake != nil || s.Health != nil || s.Publish != nil {
		t.Errorf("Join made functions that no sink has")
	}
}
