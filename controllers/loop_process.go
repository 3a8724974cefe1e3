package controllers

// takeProcess applies what the parameters of the class say to the process.
func (l *loop) takeProcess() {
	p := l.result.Process
	if p == l.process {
		return
	}
	l.process = p
	after := *l.c.cfg.LastGoodAfterDelete
	if p.HasLastGoodAfterDelete {
		after = p.LastGoodAfterDelete
	}
	for _, c := range l.contents() {
		c.store.SetLastGoodAfterDelete(after)
	}
	if l.c.cfg.Process != nil {
		l.c.cfg.Process(*p)
	}
}
