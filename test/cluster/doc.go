// Package cluster tests Cardea as it is installed: by its chart, in a whole
// Kubernetes cluster, through NodePorts, with cert-manager's controllers, while
// pods, the API server and etcd come and go.
//
// `make e2e` runs it in the cluster of hack/cluster, which it starts and ends, or
// uses if it is up already; see the script named run in this folder. With
// KUBECONFIG set it uses that cluster instead.
//
// The tests have the build tag cluster.
package cluster
