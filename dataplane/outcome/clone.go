package outcome

// Clone returns a copy of h that may be kept: nothing in it is written to any
// more. Of the connection it has what was known at accept; how the connection
// ends is not known when its handshake is decided.
func (h *Handshake) Clone() *Handshake {
	kept := *h
	if c := h.Conn; c != nil {
		kept.Conn = &Conn{
			ID: c.ID, Listener: c.Listener, Remote: c.Remote, Local: c.Local, Proxy: c.Proxy,
			Accepted: c.Accepted, Stamp: c.Stamp, TLS: &kept,
		}
	}
	return &kept
}
