package kubernetes

import (
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TestTheBaseBringsNothingOfTheExample: no secret, no broker, no database.
func TestTheBaseBringsNothingOfTheExample(t *testing.T) {
	c := build(t, "base")
	if len(c.deployments) != 2 || len(c.services) != 4 || len(c.statefulSets)+len(c.secrets) > 0 {
		t.Errorf("%d deployments, %d services, %d stateful sets, %d secrets", len(c.deployments), len(c.services), len(c.statefulSets), len(c.secrets))
	}
}

// TestPodsAreRestricted: the restricted profile of the pod security standards,
// a root that cannot be written, bounded memory. Case 9.13.
func TestPodsAreRestricted(t *testing.T) {
	for name, pod := range build(t, "example").pods() {
		s := pod.Spec.SecurityContext
		if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: security context of the pod %+v", name, s)
		}
		for _, c := range pod.Spec.Containers {
			s := c.SecurityContext
			if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil ||
				!*s.ReadOnlyRootFilesystem || s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) {
				t.Errorf("%s: security context of %s %+v", name, c.Name, s)
			}
			if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
				t.Errorf("%s: resources of %s %+v", name, c.Name, c.Resources)
			}
			if c.ReadinessProbe == nil {
				t.Errorf("%s: %s has no readiness probe", name, c.Name)
			}
			for _, probe := range []*core.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
				if probe != nil && probe.HTTPGet != nil && !hasPort(c, probe.HTTPGet.Port) {
					t.Errorf("%s: a probe of %s goes to %s, which is no port of it", name, c.Name, probe.HTTPGet.Port.String())
				}
			}
		}
	}
}

func hasPort(c core.Container, name intstr.IntOrString) bool {
	return slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool { return p.Name == name.StrVal })
}

// TestServicesReachTheirPods: each selects the pods of one thing and a port that
// they have, and every name in a setting is a service.
func TestServicesReachTheirPods(t *testing.T) {
	c := build(t, "example")
	for name, s := range c.services {
		reached := 0
		for _, pod := range c.pods() {
			if !selects(s.Spec.Selector, pod.Labels) {
				continue
			}
			reached++
			for _, p := range s.Spec.Ports {
				if !hasPort(pod.Spec.Containers[0], p.TargetPort) {
					t.Errorf("%s goes to the port %s, which its pods do not have", name, p.TargetPort.String())
				}
			}
		}
		if reached != 1 {
			t.Errorf("%s selects the pods of %d things, want 1", name, reached)
		}
	}
	for _, name := range []string{"tickets-srv", "orders-srv", "tickets-ops", "orders-ops", "nats-srv", "mongo-srv"} {
		if _, ok := c.services[name]; !ok {
			t.Errorf("there is no service %s", name)
		}
	}
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

// TestBrokerAndDatabaseKeepWhatTheyConfirm: files that are synced, on volumes.
func TestBrokerAndDatabaseKeepWhatTheyConfirm(t *testing.T) {
	c := build(t, "example")
	for name, words := range map[string]string{
		"nats":  "-cid ticketing -st FILE --dir /data --file_sync=true",
		"mongo": "--replSet rs0 --bind_ip_all --setParameter transactionLifetimeLimitSeconds=10",
	} {
		set := c.statefulSets[name]
		container := set.Spec.Template.Spec.Containers[0]
		if line := strings.Join(append(container.Command, container.Args...), " "); !strings.Contains(line, words) {
			t.Errorf("%s runs %q, want %q in it", name, line, words)
		}
		if len(set.Spec.VolumeClaimTemplates) != 1 || set.Spec.VolumeClaimTemplates[0].Name != container.VolumeMounts[0].Name {
			t.Errorf("%s has no volume for its data", name)
		}
		if _, ok := c.services[set.Spec.ServiceName]; !ok {
			t.Errorf("%s names the service %q, which is not there", name, set.Spec.ServiceName)
		}
	}
}
