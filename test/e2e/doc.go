// Package e2e runs the built program as a process against a real etcd and
// kube-apiserver, with kubectl, openssl and backends, all inside one network
// namespace that has nothing but a loopback device. `make e2e` builds what it
// needs and enters the namespace; see the script named run in this folder.
//
// The tests have the build tag e2e.
package e2e
