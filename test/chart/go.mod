module github.com/cardea-dev/cardea/test/chart

go 1.26.0

replace github.com/cardea-dev/cardea => ../..

require (
	github.com/google/go-cmp v0.7.0
	golang.org/x/tools v0.52.0
	sigs.k8s.io/yaml v1.6.0
)

require (
	go.yaml.in/yaml/v2 v2.4.4 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
