package chart_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const manifests = "../../deploy/kubernetes"

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// The manifests fit together, and the programs have the flags that they use.
func TestManifests(t *testing.T) {
	var k struct {
		APIVersion, Kind, Namespace string

		Resources []string
		Images    []struct{ Name, NewName, NewTag string }
	}
	if err := yaml.UnmarshalStrict([]byte(read(t, filepath.Join(manifests, "kustomization.yaml"))), &k); err != nil {
		t.Fatal(err)
	}
	var all []document
	for _, name := range k.Resources {
		all = append(all, parse(t, read(t, filepath.Join(manifests, name)))...)
	}
	if len(all) != 15 {
		t.Errorf("%d documents, want 15: %v", len(all), all)
	}
	all = append(all, parse(t, read(t, filepath.Join(manifests, "doctor.yaml")))...)
	for _, problem := range check(t, all) {
		t.Error(problem)
	}
	for _, d := range all {
		if d.Metadata.Namespace != k.Namespace && d.Kind != "Namespace" {
			t.Errorf("%s is in namespace %q, want %q", d, d.Metadata.Namespace, k.Namespace)
		}
	}
	if n := checkFlags(t, all); n < 12 {
		t.Errorf("only %d flags were looked at", n)
	}
	checkHooks(t, all)
	checkPolicies(t, all)
}

// checkHooks looks whether the ingresses are taken out of service before they end, and back into it when they start.
func checkHooks(t *testing.T, all []document) {
	t.Helper()
	i := slices.IndexFunc(all, func(d document) bool { return d.String() == "StatefulSet ingress" })
	if i < 0 {
		t.Fatal("no ingress")
	}
	pod := all[i].Spec.Template.Spec
	stop, begin := pod.Containers[0].Lifecycle.PreStop, pod.Containers[0].Lifecycle.PostStart
	if stop == nil || begin == nil || !strings.Contains(strings.Join(stop.Exec.Command, " "), `/hooks/holdfast reload "$HOSTNAME" --wait 20s`) ||
		!strings.Contains(strings.Join(begin.Exec.Command, " "), `/hooks/holdfast complete "$HOSTNAME"`) {
		t.Errorf("the hooks of the ingress are %+v and %+v", stop, begin)
	}
	if args := strings.Join(pod.InitContainers[0].Args, " "); args != "holdfast install /hooks/holdfast" {
		t.Errorf("the program for the hooks comes by %q", args)
	}
	// The hook, and what nginx gives the streams after it.
	if conf := configuration(t, all); !strings.Contains(conf, "worker_shutdown_timeout 30s;") || pod.TerminationGracePeriodSeconds <= 20+30 {
		t.Errorf("%d s are too few for the hook and worker_shutdown_timeout", pod.TerminationGracePeriodSeconds)
	}
}

func configuration(t *testing.T, all []document) string {
	t.Helper()
	for _, d := range all {
		if d.Kind == "ConfigMap" && d.Metadata.Name == "ingress" {
			return d.Data["nginx.conf"]
		}
	}
	t.Fatal("no configuration of the ingress")
	return ""
}

// checkPolicies looks who may reach the relay: the application port is for the ingresses alone, as it believes x-ingress-id.
func checkPolicies(t *testing.T, all []document) {
	t.Helper()
	who := map[string]string{}
	nobody := false
	for _, d := range all {
		if d.Kind != "NetworkPolicy" {
			continue
		}
		nobody = nobody || len(d.Spec.PodSelector.MatchLabels) == 0 && len(d.Spec.Ingress) == 0 && slices.Equal(d.Spec.PolicyTypes, []string{"Ingress"})
		for _, r := range d.Spec.Ingress {
			var from []string
			for _, f := range r.From {
				from = append(from, string(f))
			}
			for _, p := range r.Ports {
				who[d.Metadata.Name+" "+p.Port.(string)] = strings.Join(from, " ")
			}
		}
	}
	const ingresses = `{"podSelector":{"matchLabels":{"app.kubernetes.io/component":"ingress","app.kubernetes.io/name":"holdfast"}}}`
	const operators = `{"podSelector":{"matchLabels":{"holdfast/operator":"true"}}}`
	if !nobody || who["relay application"] != ingresses || who["relay admin"] != ingresses+" "+operators || who["ingress callers"] != "" || len(who) != 3 {
		t.Errorf("nobody else: %t; %q", nobody, who)
	}
}
