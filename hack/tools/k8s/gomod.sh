#!/bin/sh
# gomod.sh VERSION writes go.mod and go.sum for the Kubernetes programs that the
# tests run, and kubectl. k8s.io/kubernetes requires its staging
# modules at v0.0.0, so each of them is replaced by its published version; that
# is why this is a module of its own. Run it again to move to another version
# and commit what it writes.
set -eu
V=${1:?usage: gomod.sh 1.36.3}
S=0.${V#1.}
cd "$(dirname "$0")"
rm -f go.mod go.sum
go mod init github.com/cardea-dev/cardea/hack/tools/k8s
gm=$(go mod download -json "k8s.io/kubernetes@v$V" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
for m in $(awk '$1 ~ /^k8s\.io\// && $2=="v0.0.0" {print $1}' "$gm" | sort -u); do
  go mod edit "-replace=$m=$m@v$S"
done
go mod edit "-require=k8s.io/kubernetes@v$V"
for c in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
  go mod edit "-tool=k8s.io/kubernetes/cmd/$c"
done
go mod tidy
