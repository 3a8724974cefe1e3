package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// NodeAddresses says which addresses of a node are published.
type NodeAddresses string

// The values of NodeAddresses. A node without an external address is published by
// its internal ones in either case.
const (
	NodesNot      NodeAddresses = ""
	NodesExternal NodeAddresses = "external"
	NodesInternal NodeAddresses = "internal"
)

const (
	// nodesPause is the time between two looks at where the replicas run.
	nodesPause = 10 * time.Second
	// nodeKept is how long the addresses of a node are taken to be the same.
	nodeKept = 5 * time.Minute
)

// podHashLabels are the labels by which the pods of one workload differ.
var podHashLabels = []string{"pod-template-hash", "controller-revision-hash", "pod-template-generation", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"}

// A nodeFollower finds the nodes on which the ready pods of this controller run:
// those in its namespace with the labels of this one. The leader alone asks; what it
// cannot find out leaves what it found before.
type nodeFollower struct {
	which          NodeAddresses
	namespace, pod string
	client         typedcorev1.CoreV1Interface
	nodes          map[string]nodeAddresses
}

type nodeAddresses struct {
	all  []networkingv1.IngressLoadBalancerIngress
	read time.Time
}

// addresses returns where the ready replicas are reached; none if there is no
// ready one.
func (f *nodeFollower) addresses(ctx context.Context, now time.Time) ([]networkingv1.IngressLoadBalancerIngress, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	own, err := f.client.Pods(f.namespace).Get(ctx, f.pod, metav1.GetOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("controllers: the pod of this replica: %w", err)
	}
	of := maps.Clone(own.Labels)
	for _, l := range podHashLabels {
		delete(of, l)
	}
	if len(of) == 0 {
		return nil, fmt.Errorf("controllers: pod %s/%s has no label by which its replicas could be found", f.namespace, f.pod)
	}
	pods, err := f.client.Pods(f.namespace).List(ctx, metav1.ListOptions{
		LabelSelector:   labels.SelectorFromSet(of).String(),
		FieldSelector:   fields.OneTermEqualSelector("status.phase", string(corev1.PodRunning)).String(),
		ResourceVersion: "0",
	})
	if err != nil {
		return nil, fmt.Errorf("controllers: the pods of the replicas: %w", err)
	}
	used := make(map[string]nodeAddresses)
	var all []networkingv1.IngressLoadBalancerIngress
	for i := range pods.Items {
		name := pods.Items[i].Spec.NodeName
		if _, known := used[name]; known || !serves(&pods.Items[i]) {
			continue
		}
		if used[name], err = f.node(ctx, name, now); err != nil {
			return nil, err
		}
		all = append(all, used[name].all...)
	}
	f.nodes = used
	return sorted(all), nil
}

// serves reports whether traffic can be sent to a pod.
func serves(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Spec.NodeName != "" &&
		slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
}

func (f *nodeFollower) node(ctx context.Context, name string, now time.Time) (nodeAddresses, error) {
	if kept, ok := f.nodes[name]; ok && now.Sub(kept.read) < nodeKept {
		return kept, nil
	}
	node, err := f.client.Nodes().Get(ctx, name, metav1.GetOptions{ResourceVersion: "0"})
	if err != nil {
		return nodeAddresses{}, fmt.Errorf("controllers: node %q: %w", name, err)
	}
	return nodeAddresses{addressesOf(node, f.which), now}, nil
}

// addressesOf returns the addresses of a node, of both IP families if it has both.
func addressesOf(node *corev1.Node, which NodeAddresses) []networkingv1.IngressLoadBalancerIngress {
	kinds := []corev1.NodeAddressType{corev1.NodeExternalIP, corev1.NodeInternalIP}
	if which == NodesInternal {
		kinds = kinds[1:]
	}
	for _, kind := range kinds {
		var all []networkingv1.IngressLoadBalancerIngress
		for _, a := range node.Status.Addresses {
			if a.Type == kind && a.Address != "" {
				all = append(all, networkingv1.IngressLoadBalancerIngress{IP: a.Address})
			}
		}
		if len(all) > 0 {
			return all
		}
	}
	return nil
}

// followNodes publishes the addresses of the nodes while this replica leads, until
// ctx ends.
func (w *statusWriter) followNodes(ctx context.Context) {
	tick := time.NewTicker(w.nodesPause)
	defer tick.Stop()
	trouble := ""
	for {
		if w.stillLeading() {
			addresses, err := w.nodes.addresses(ctx, time.Now())
			switch {
			case err == nil:
				trouble = ""
				w.publish(addresses)
			case ctx.Err() == nil && err.Error() != trouble:
				trouble = err.Error()
				w.log.Error(err, "the nodes of the replicas are not known; the addresses in the status of ingresses stay as they are")
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-w.led:
		case <-tick.C:
		}
	}
}
