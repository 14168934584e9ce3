package kubernetes

import (
	"path/filepath"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// cluster is what a kustomization makes.
type cluster struct {
	deployments  map[string]apps.Deployment
	statefulSets map[string]apps.StatefulSet
	services     map[string]core.Service
	secrets      map[string]core.Secret
}

// build builds deploy/k8s/name as kubectl does, and decodes every resource
// strictly: a key that the API does not know fails.
func build(t *testing.T, name string) *cluster {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join("..", "..", "deploy", "k8s", name))
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{map[string]apps.Deployment{}, map[string]apps.StatefulSet{}, map[string]core.Service{}, map[string]core.Secret{}}
	for _, r := range made.Resources() {
		data, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		switch kind := r.GetApiVersion() + " " + r.GetKind(); kind {
		case "apps/v1 Deployment":
			c.deployments[r.GetName()] = strict[apps.Deployment](t, data)
		case "apps/v1 StatefulSet":
			c.statefulSets[r.GetName()] = strict[apps.StatefulSet](t, data)
		case "v1 Service":
			c.services[r.GetName()] = strict[core.Service](t, data)
		case "v1 Secret":
			c.secrets[r.GetName()] = strict[core.Secret](t, data)
		default:
			t.Errorf("%s: %s is not looked at", r.GetName(), kind)
		}
	}
	return c
}

func strict[T any](t *testing.T, data []byte) T {
	t.Helper()
	var v T
	if err := yaml.UnmarshalStrict(data, &v); err != nil {
		t.Errorf("%v in\n%s", err, data)
	}
	return v
}

// pods returns the pods of everything that makes some, by its name.
func (c *cluster) pods() map[string]core.PodTemplateSpec {
	all := map[string]core.PodTemplateSpec{}
	for name, d := range c.deployments {
		all[name] = d.Spec.Template
	}
	for name, s := range c.statefulSets {
		all[name] = s.Spec.Template
	}
	return all
}
