package chart_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// document is one object of Kubernetes, with the fields that are looked at.
type document struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
	Spec       struct {
		Replicas    *int              `json:"replicas"`
		ServiceName string            `json:"serviceName"`
		Selector    json.RawMessage   `json:"selector"`
		PodSelector *selector         `json:"podSelector"`
		PolicyTypes []string          `json:"policyTypes"`
		Ingress     []rule            `json:"ingress"`
		Template    *podTemplate      `json:"template"`
		Ports       []servicePort     `json:"ports"`
		Endpoints   []json.RawMessage `json:"endpoints"`
	} `json:"spec"`
	Data map[string]string `json:"data"`
}

type metadata struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Labels    map[string]string `json:"labels"`
}

type selector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

type rule struct {
	From  []json.RawMessage `json:"from"`
	Ports []struct {
		Port any `json:"port"`
	} `json:"ports"`
}

type servicePort struct {
	Name       string `json:"name"`
	Port       int    `json:"port"`
	TargetPort any    `json:"targetPort"`
}

type podTemplate struct {
	Metadata metadata `json:"metadata"`
	Spec     podSpec  `json:"spec"`
}

type podSpec struct {
	AutomountServiceAccountToken  *bool       `json:"automountServiceAccountToken"`
	TerminationGracePeriodSeconds int         `json:"terminationGracePeriodSeconds"`
	InitContainers                []container `json:"initContainers"`
	Containers                    []container `json:"containers"`
	Volumes                       []struct {
		Name string `json:"name"`
	} `json:"volumes"`
	SecurityContext struct {
		RunAsNonRoot   bool `json:"runAsNonRoot"`
		RunAsUser      int  `json:"runAsUser"`
		SeccompProfile struct {
			Type string `json:"type"`
		} `json:"seccompProfile"`
	} `json:"securityContext"`
}

type container struct {
	Name         string   `json:"name"`
	Image        string   `json:"image"`
	Args         []string `json:"args"`
	VolumeMounts []struct {
		Name      string `json:"name"`
		MountPath string `json:"mountPath"`
	} `json:"volumeMounts"`
	Ports []struct {
		Name          string `json:"name"`
		ContainerPort int    `json:"containerPort"`
	} `json:"ports"`
	StartupProbe, ReadinessProbe, LivenessProbe *probe
	Lifecycle                                   struct {
		PreStop, PostStart *hook
	} `json:"lifecycle"`
	Resources struct {
		Limits map[string]any `json:"limits"`
	} `json:"resources"`
	SecurityContext struct {
		AllowPrivilegeEscalation *bool `json:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool  `json:"readOnlyRootFilesystem"`
		Capabilities             struct {
			Drop []string `json:"drop"`
		} `json:"capabilities"`
	} `json:"securityContext"`
}

type hook struct {
	Exec struct {
		Command []string `json:"command"`
	} `json:"exec"`
	Sleep struct {
		Seconds int `json:"seconds"`
	} `json:"sleep"`
}

type probe struct {
	GRPC *struct {
		Port int `json:"port"`
	} `json:"grpc"`
	TCPSocket *struct {
		Port any `json:"port"`
	} `json:"tcpSocket"`
	HTTPGet *struct {
		Port any `json:"port"`
	} `json:"httpGet"`
}

func (d document) String() string { return d.Kind + " " + d.Metadata.Name }

var separator = regexp.MustCompile(`(?m)^---\s*$`)

// parse reads all documents of a text. A key that is there twice is an error, and so is a document that is no object.
func parse(t *testing.T, text string) []document {
	t.Helper()
	var all []document
	for i, part := range separator.Split(text, -1) {
		raw, err := yaml.YAMLToJSONStrict([]byte(part))
		if err != nil {
			t.Fatalf("document %d: %v\n%s", i+1, err, part)
		}
		if bytes.Equal(raw, []byte("null")) {
			continue // Nothing but comments.
		}
		var d document
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatalf("document %d: %v\n%s", i+1, err, part)
		}
		all = append(all, d)
	}
	return all
}

// labels returns the labels that a document selects by, none for one that does not select.
func (d document) labels() (map[string]string, error) {
	switch d.Kind {
	case "NetworkPolicy":
		if d.Spec.PodSelector == nil {
			return nil, fmt.Errorf("%s: no podSelector", d)
		}
		return d.Spec.PodSelector.MatchLabels, nil
	case "Service":
		var m map[string]string
		return m, json.Unmarshal(d.Spec.Selector, &m)
	case "StatefulSet", "Deployment", "PodDisruptionBudget", "ServiceMonitor":
		var s selector
		err := json.Unmarshal(d.Spec.Selector, &s)
		return s.MatchLabels, err
	}
	return nil, nil
}

func selects(labels, of map[string]string) bool {
	for k, v := range labels {
		if of[k] != v {
			return false
		}
	}
	return true
}

// seconds reads the flag of a grace, such as --shutdown-grace=20s.
func seconds(t *testing.T, args []string, flag string) (n int) {
	t.Helper()
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, flag+"="); ok {
			if _, err := fmt.Sscanf(value, "%ds", &n); err != nil {
				t.Errorf("%s: %v", arg, err)
			}
		}
	}
	return n
}
