package dataplane

import "github.com/cardea-dev/cardea/dataplane/snapshot"

// ECHPublicNames returns the public names of the keys of Encrypted ClientHello in
// force, each with 1 if it is a declared host with a certificate and 0 if not: then
// a client whose key is outdated cannot learn of the current one, and fails.
func (d *DataPlane) ECHPublicNames() map[string]int {
	keys := d.ech.Load()
	if keys == nil {
		return nil
	}
	served := make(map[string]int)
	for _, name := range keys.PublicNames() {
		served[name] = 0
		if hasCertificate(d.current.Load(), name) {
			served[name] = 1
		}
	}
	return served
}

func hasCertificate(s *snapshot.Snapshot, name string) bool {
	if s == nil {
		return false
	}
	host := s.ServerName(name)
	return host != nil && host.TLS != nil && len(host.TLS.Certificates) > 0
}
