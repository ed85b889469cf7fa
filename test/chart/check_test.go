package chart_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// versions has the kinds that are used, each with the version in which Kubernetes has it.
var versions = map[string]string{
	"Namespace": "v1", "Service": "v1", "ConfigMap": "v1", "StatefulSet": "apps/v1", "Deployment": "apps/v1", "Job": "batch/v1",
	"PodDisruptionBudget": "policy/v1", "NetworkPolicy": "networking.k8s.io/v1", "ServiceMonitor": "monitoring.coreos.com/v1",
}

// check looks whether documents fit together. The problems are for people.
func check(t *testing.T, all []document) (problems []string) {
	t.Helper()
	refuse := func(wrong bool, format string, values ...any) {
		if wrong {
			problems = append(problems, fmt.Sprintf(format, values...))
		}
	}
	seen := map[string]bool{}
	for _, d := range all {
		refuse(versions[d.Kind] == "" || versions[d.Kind] != d.APIVersion, "%s: apiVersion %q", d, d.APIVersion)
		refuse(d.Metadata.Name == "" || seen[d.String()], "%s: no name, or one that is taken", d)
		refuse(d.Metadata.Namespace == "" && d.Kind != "Namespace", "%s: no namespace", d)
		seen[d.String()] = true
		labels, err := d.labels()
		refuse(err != nil, "%s: %v", d, err)
		problems = append(problems, checkSelection(d, labels, all)...)
		if d.Spec.Template != nil {
			problems = append(problems, checkPod(t, d, d.Spec.Template)...)
		}
	}
	return problems
}

// checkSelection looks whether what a document selects is there, with the ports that it names.
func checkSelection(d document, labels map[string]string, all []document) (problems []string) {
	if d.Kind == "NetworkPolicy" {
		for _, r := range d.Spec.Ingress {
			if len(r.Ports) == 0 {
				problems = append(problems, fmt.Sprintf("%s: a rule for every port", d))
			}
		}
	}
	if labels == nil {
		return problems
	}
	ports := map[string]bool{}
	found := false
	for _, other := range all {
		if d.Kind == "ServiceMonitor" && other.Kind == "Service" && selects(labels, other.Metadata.Labels) {
			found = true
		}
		if other.Spec.Template == nil || !selects(labels, other.Spec.Template.Metadata.Labels) {
			continue
		}
		found = true
		for _, c := range other.Spec.Template.Spec.Containers {
			for _, p := range c.Ports {
				ports[p.Name], ports[strconv.Itoa(p.ContainerPort)] = true, true
			}
		}
	}
	if !found {
		problems = append(problems, fmt.Sprintf("%s: selects nothing by %v", d, labels))
	}
	for _, p := range d.Spec.Ports {
		if d.Kind == "Service" && !ports[fmt.Sprint(p.TargetPort)] {
			problems = append(problems, fmt.Sprintf("%s: no pod has the port %v", d, p.TargetPort))
		}
	}
	for _, r := range d.Spec.Ingress {
		for _, p := range r.Ports {
			if !ports[fmt.Sprint(p.Port)] {
				problems = append(problems, fmt.Sprintf("%s: no pod has the port %v", d, p.Port))
			}
		}
	}
	return problems
}

func checkPod(t *testing.T, d document, pod *podTemplate) (problems []string) {
	t.Helper()
	refuse := func(wrong bool, format string, values ...any) {
		if wrong {
			problems = append(problems, d.String()+": "+fmt.Sprintf(format, values...))
		}
	}
	s := pod.Spec
	refuse(!s.SecurityContext.RunAsNonRoot || s.SecurityContext.RunAsUser == 0, "may run as root")
	refuse(s.SecurityContext.SeccompProfile.Type != "RuntimeDefault", "no seccomp profile")
	refuse(s.AutomountServiceAccountToken == nil || *s.AutomountServiceAccountToken, "has a token for the cluster that it does not need")
	volumes := map[string]int{}
	for _, v := range s.Volumes {
		volumes[v.Name] = 0
	}
	for _, c := range slices.Concat(s.InitContainers, s.Containers) {
		for _, p := range checkContainer(c) {
			refuse(true, "container %s: %s", c.Name, p)
		}
		for _, m := range c.VolumeMounts {
			_, there := volumes[m.Name]
			refuse(!there, "container %s mounts %s, which is no volume", c.Name, m.Name)
			volumes[m.Name]++
		}
	}
	for name, n := range volumes {
		refuse(n == 0, "volume %s is mounted nowhere", name)
	}
	if d.Kind == "Job" {
		return problems
	}
	for _, c := range s.Containers {
		refuse(c.ReadinessProbe == nil || c.LivenessProbe == nil, "container %s: a probe is missing", c.Name)
		grace := seconds(t, c.Args, "--shutdown-grace")
		if c.Lifecycle.PreStop != nil {
			grace += c.Lifecycle.PreStop.Sleep.Seconds
			for _, word := range strings.Fields(strings.Join(c.Lifecycle.PreStop.Exec.Command, " ")) {
				if wait, err := strconv.Atoi(strings.TrimSuffix(word, "s")); err == nil {
					grace += wait // of holdfast reload --wait
				}
			}
		}
		refuse(grace == 0 || s.TerminationGracePeriodSeconds <= grace, "container %s: the pod is given %d s to end, and may need %d s",
			c.Name, s.TerminationGracePeriodSeconds, grace)
	}
	return problems
}

func checkContainer(c container) (problems []string) {
	x := c.SecurityContext
	if !x.ReadOnlyRootFilesystem {
		problems = append(problems, "may write to its root file system")
	}
	if x.AllowPrivilegeEscalation == nil || *x.AllowPrivilegeEscalation || !slices.Equal(x.Capabilities.Drop, []string{"ALL"}) {
		problems = append(problems, "has more privileges than it needs")
	}
	if c.Image == "" {
		problems = append(problems, "no image")
	}
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name], ports[strconv.Itoa(p.ContainerPort)] = true, true
	}
	for _, p := range []*probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
		if port := p.port(); p != nil && !ports[port] {
			problems = append(problems, "a probe of the port "+port+", which it does not have")
		}
	}
	return problems
}

func (p *probe) port() string {
	switch {
	case p == nil:
		return ""
	case p.GRPC != nil:
		return strconv.Itoa(p.GRPC.Port)
	case p.TCPSocket != nil:
		return fmt.Sprint(p.TCPSocket.Port)
	case p.HTTPGet != nil:
		return fmt.Sprint(p.HTTPGet.Port)
	}
	return "none"
}

// Documents that do not fit together are found out: a check that cannot fail proves nothing.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	const good = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: x, namespace: there}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 30
      securityContext: {runAsNonRoot: true, runAsUser: 1, seccompProfile: {type: RuntimeDefault}}
      volumes: [{name: v}]
      containers:
        - name: c
          image: i
          args: [relay, --shutdown-grace=20s]
          ports: [{name: p, containerPort: 1}]
          readinessProbe: {grpc: {port: 1}}
          livenessProbe: {tcpSocket: {port: p}}
          volumeMounts: [{name: v, mountPath: /v}]
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: x, namespace: there}
spec: {selector: {a: b}, ports: [{name: p, port: 1, targetPort: p}]}
`
	if problems := check(t, parse(t, good)); len(problems) > 0 {
		t.Fatalf("%q", problems)
	}
	for old, change := range map[string][2]string{
		"apps/v1":                            {"apps/v2", "apiVersion"},
		"runAsNonRoot: true":                 {"runAsNonRoot: false", "root"},
		"readOnlyRootFilesystem: true":       {"readOnlyRootFilesystem: false", "write"},
		"drop: [ALL]":                        {"drop: []", "privileges"},
		"terminationGracePeriodSeconds: 30":  {"terminationGracePeriodSeconds: 20", "may need 20 s"},
		"grpc: {port: 1}":                    {"grpc: {port: 2}", "a probe of the port 2"},
		"volumes: [{name: v}]":               {"volumes: [{name: w}]", "mounts v"},
		"matchLabels: {a: b}":                {"matchLabels: {a: c}", "selects nothing"},
		"targetPort: p":                      {"targetPort: q", "no pod has the port q"},
		"RuntimeDefault":                     {"Unconfined", "seccomp"},
		"livenessProbe":                      {"livenessProbes", "a probe is missing"},
		"image: i":                           {"imagine: i", "no image"},
		"automountServiceAccountToken: fals": {"automountServiceAccountToken: tru", "token"},
	} {
		problems := strings.Join(check(t, parse(t, strings.Replace(good, old, change[0], 1))), "\n")
		if !strings.Contains(problems, change[1]) {
			t.Errorf("%s instead of %s: %q, want %q", change[0], old, problems, change[1])
		}
	}
}
