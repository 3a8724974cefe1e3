package message

import "io"

type noBody struct{}

func (noBody) Next() ([]byte, error) { return nil, io.EOF }
func (noBody) Ready() bool           { return true }
func (noBody) Trailers() *Fields     { return nil }
func (noBody) Interrupt()            {}
