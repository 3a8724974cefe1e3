package secrets

import (
	corev1 "k8s.io/api/core/v1"
)

// FromConfigMap returns what a store reads of a ConfigMap, in the form of a Secret of
// its name: the authorities and revocation lists, from data or binaryData, and nothing
// else that may be in it. It shares no memory with c but text.
func FromConfigMap(c *corev1.ConfigMap) *corev1.Secret {
	s := &corev1.Secret{}
	s.Namespace, s.Name, s.UID, s.ResourceVersion = c.Namespace, c.Name, c.UID, c.ResourceVersion
	s.Data = make(map[string][]byte, 1)
	for _, key := range []string{caKey, crlKey} {
		// A key is in one of the two: the API server sees to that.
		if text, ok := c.Data[key]; ok {
			s.Data[key] = []byte(text)
		} else if data, ok := c.BinaryData[key]; ok {
			s.Data[key] = data
		}
	}
	return s
}
