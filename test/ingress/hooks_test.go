package ingress_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// pod is what is needed of the StatefulSet of the ingresses.
type pod struct {
	Spec struct {
		Template struct {
			Spec struct {
				InitContainers []struct{ Args []string }
				Containers     []struct {
					Lifecycle struct {
						PostStart, PreStop struct{ Exec struct{ Command []string } }
					}
				}
			}
		}
	}
}

// The hooks of the manifests for Kubernetes do what they are for: the one before the end has the relay move everything off
// the ingress, the one after the start returns it to service. Neither fails when the relay is away.
func TestKubernetesHooks(t *testing.T) {
	find(t, "nginx")
	raw, err := os.ReadFile("../../deploy/kubernetes/ingress.yaml")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(raw), "\n---\n")
	var p pod
	if err := yaml.Unmarshal([]byte(first), &p); err != nil {
		t.Fatal(err)
	}
	// The init container puts the program where the hooks look for it.
	hooks := t.TempDir()
	install := p.Spec.Template.Spec.InitContainers[0].Args
	if len(install) != 3 || install[2] != "/hooks/holdfast" {
		t.Fatalf("the init container does %q", install)
	}
	if out, errs, code := output(t, install[0], install[1], hooks+"/holdfast"); code != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	s := newSystem(t)
	s.startAppServer("sample", s.startNginx(goodNginx("a")), s.startNginx(goodNginx("b")))
	run := func(command []string, admin string) {
		t.Helper()
		if len(command) == 0 {
			t.Fatal("no hook")
		}
		args := append([]string(nil), command[1:]...)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "/hooks/", hooks+"/")
		}
		cmd := exec.CommandContext(t.Context(), command[0], args...)
		cmd.Env = append(cleanEnvironment(), "HOSTNAME=a", "HOLDFAST_ADMIN="+admin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", command, err, out)
		}
	}
	lifecycle := p.Spec.Template.Spec.Containers[0].Lifecycle
	start, stop := lifecycle.PostStart.Exec.Command, lifecycle.PreStop.Exec.Command
	for _, step := range []struct {
		command  []string
		draining bool
	}{{start, false}, {stop, true}, {start, false}, {stop, true}} {
		run(step.command, s.admin)
		if draining := s.draining("a"); draining != step.draining {
			t.Errorf("after %q ingress a is draining: %t, want %t", step.command, draining, step.draining)
		}
	}
	nobody := free(t, 1)[0]
	run(start, nobody)
	run(stop, nobody)
}

// draining asks whether an ingress is out of service.
func (s *system) draining(name string) bool {
	s.t.Helper()
	out, errs, code := output(s.t, "holdfast", "--admin", s.admin, "--output", "json", "list", "ingresses")
	var list struct {
		Ingresses []struct {
			Name     string
			Draining bool
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
		s.t.Fatalf("list ingresses: %v\n%s%s", err, out, errs)
	}
	for _, in := range list.Ingresses {
		if in.Name == name {
			return in.Draining
		}
	}
	s.t.Fatalf("ingress %s is not known: %s", name, out)
	return false
}
