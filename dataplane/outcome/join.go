package outcome

// Join returns a Sink that hands every outcome to each of sinks, in order. What
// none of them takes, it does not take either.
func Join(sinks ...Sink) Sink {
	var (
		conn      []func(*Conn)
		handshake []func(*Handshake)
		request   []func(*Request)
		upstream  []func(*UpstreamHandshake)
		health    []func(*Health)
		publish   []func(*Publish)
		drain     []func(*Drain)
	)
	for _, s := range sinks {
		conn = appendFunc(conn, s.Conn)
		handshake = appendFunc(handshake, s.Handshake)
		request = appendFunc(request, s.Request)
		upstream = appendFunc(upstream, s.UpstreamHandshake)
		health = appendFunc(health, s.Health)
		publish = appendFunc(publish, s.Publish)
		drain = appendFunc(drain, s.Drain)
	}
	return Sink{
		Conn:      each(conn),
		Handshake: each(handshake),
		Request:   each(request),
		Health:    each(health),
		Publish:   each(publish),
		Drain:     each(drain),

		UpstreamHandshake: each(upstream),
	}
}

func appendFunc[T any](list []func(*T), f func(*T)) []func(*T) {
	if f == nil {
		return list
	}
	return append(list, f)
}

func each[T any](list []func(*T)) func(*T) {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return func(o *T) {
		for _, f := range list {
			f(o)
		}
	}
}
