package kubernetes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
)

// binary is lockstep, built once.
var binary string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "lockstep-manifests-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(folder, "lockstep")
	command := exec.Command("go", "build", "-o", binary, "./cmd/lockstep")
	command.Dir = filepath.Join("..", "..")
	if out, err := command.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build lockstep: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(folder) // in the folder for what is temporary
	os.Exit(code)
}

// stopLimit is how long a stop may take after the drain delay, as promised.
const stopLimit = 10 * time.Second

// environment returns what a container finds, as its kubelet fills it in.
func (c *cluster) environment(container core.Container) ([]string, error) {
	var env []string
	for _, e := range container.Env {
		value := e.Value
		if from := e.ValueFrom; from != nil {
			switch {
			case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.name":
				value = container.Name + "-depl-5f7c9d-x2x4z"
			case from.SecretKeyRef != nil:
				secret, made := c.secrets[from.SecretKeyRef.Name]
				data, ok := secret.Data[from.SecretKeyRef.Key]
				if !made || !ok {
					return nil, fmt.Errorf("%s: no secret %s has a %s", e.Name, from.SecretKeyRef.Name, from.SecretKeyRef.Key)
				}
				value = string(data)
			default:
				return nil, fmt.Errorf("%s comes from where this test does not look", e.Name)
			}
		}
		env = append(env, e.Name+"="+value)
	}
	return env, nil
}

// settings runs the container's command line and environment through the
// program, which must lack nothing and know every variable. It returns what is
// in force.
func settings(container core.Container, env []string) (map[string]string, error) {
	command := exec.Command(binary, append([]string{"config", "--check", "--json"}, container.Args...)...)
	command.Env = env
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, &errs)
	}
	var all []struct{ Name, Value, Source string }
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		return nil, err
	}
	known := map[string]string{}
	for _, s := range all {
		known[s.Name] = s.Value
	}
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if _, ok := known[strings.TrimSuffix(name, "_FILE")]; !ok {
			return nil, fmt.Errorf("%s is no setting of %s", name, container.Args[0])
		}
	}
	return known, nil
}

// TestTheSettingsOfEachContainerAreRight runs them through the real command
// line. Case 9.13.
func TestTheSettingsOfEachContainerAreRight(t *testing.T) {
	c := build(t, "example")
	for _, name := range []string{"tickets", "orders"} {
		pod := c.deployments[name+"-depl"].Spec.Template.Spec
		container := pod.Containers[0]
		env, err := c.environment(container)
		if err != nil {
			t.Fatal(err)
		}
		got, err := settings(container, env)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for setting, want := range map[string]string{
			"NATS_URL": "http://nats-srv:4222", "NATS_CLUSTER_ID": "ticketing", "NATS_CLIENT_ID": name + "-depl-5f7c9d-x2x4z",
			"OPS_ADDR": ":9464", "MONGO_URI": "mongodb://mongo-0.mongo-srv:27017/" + name + "?replicaSet=rs0", "TICKET_DELETE": "off",
			"DRAIN_DELAY": "10s",
		} {
			if value, ok := got[setting]; ok && value != want || !ok && setting != "TICKET_DELETE" {
				t.Errorf("%s: %s is %q, want %q", name, setting, value, want)
			}
		}
		if delay, err := time.ParseDuration(got["DRAIN_DELAY"]); err != nil || delay+stopLimit > time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second {
			t.Errorf("%s is killed after %d s, while it may stop for %v and %v", name, *pod.TerminationGracePeriodSeconds, delay, stopLimit)
		}
	}
}

// TestAManifestThatIsWrongFails: without any one of its variables, or with one
// whose name is not quite right.
func TestAManifestThatIsWrongFails(t *testing.T) {
	c := build(t, "example")
	container := c.deployments["tickets-depl"].Spec.Template.Spec.Containers[0]
	env, err := c.environment(container)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range env {
		name, value, _ := strings.Cut(e, "=")
		misspelt := slices.Clone(env)
		misspelt[i] = name + "S=" + value
		if _, err := settings(container, misspelt); err == nil {
			t.Errorf("%sS instead of %s passes", name, name)
		}
		if name == "NATS_MONITOR_URL" || name == "CANONICAL_URL" || name == "OPS_ADDR" || name == "OPS_HOSTS" || name == "DRAIN_DELAY" {
			continue // these may be left out
		}
		without := slices.Delete(slices.Clone(env), i, i+1)
		if _, err := settings(container, without); err == nil {
			t.Errorf("without %s it passes", name)
		}
	}
	delete(c.secrets, slices.Collect(func(yield func(string) bool) {
		for name := range c.secrets {
			if strings.HasPrefix(name, "jwt-secret") && !yield(name) {
				return
			}
		}
	})[0])
	if _, err := c.environment(container); err == nil {
		t.Error("a secret that is not there passes")
	}
}
