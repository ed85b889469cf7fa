package ingress_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// reference reads a file of deploy/ and replaces what differs on this machine. Each replacement must be found once, so that
// the file that is run is the one that is there.
func reference(t *testing.T, path string, pairs ...string) string {
	t.Helper()
	raw, err := os.ReadFile("../../deploy/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return replace(t, path, string(raw), pairs...)
}

func replace(t *testing.T, path, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if n := strings.Count(text, pairs[i]); n != 1 {
			t.Fatalf("%s has %q %d times, want once", path, pairs[i], n)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// ingress is one that runs by a reference configuration.
type ingress struct {
	name, address string
	// of nginx: the ports for each relay, and for clients over WebSocket
	forwards []string
	sockets  string
	master   int
	// reload is the signal that makes it read its configuration anew.
	reload syscall.Signal
}

// referenceNginx runs nginx in front of the relay and of another one, which may be the same. The name that has the addresses of both is
// an upstream here.
func (s *system) referenceNginx(other *system) ingress {
	s.t.Helper()
	host, err := os.Hostname()
	if err != nil {
		s.t.Fatal(err)
	}
	addresses := free(s.t, 5)
	const resolver = "resolver 127.0.0.11 valid=5s ipv6=off;"
	both := func(name, one, two string) string {
		return "upstream " + name + " { server " + one + "; server " + two + "; }\n"
	}
	master := s.runNginx("daemon off;\n" + nginxUser() + "\n" + reference(s.t, "nginx/nginx.conf",
		"ingress-a a;", host+" a;", "pid /tmp/nginx.pid;", "pid nginx.pid;",
		"client_body_temp_path /tmp/client_body;", "client_body_temp_path body;", "/tmp/proxy;", "proxy;", "/tmp/fastcgi;", "fastcgi;",
		"/tmp/uwsgi;", "uwsgi;", "/tmp/scgi;", "scgi;", "access_log /dev/stdout;", "access_log off;",
		"listen 8080 http2", "listen "+addresses[0]+" http2", "listen 8081;", "listen "+addresses[1]+";",
		"listen 9001 http2", "listen "+addresses[2]+" http2", "listen 9002 http2", "listen "+addresses[3]+" http2",
		"listen 8082 so", "listen "+addresses[4]+" so",
		resolver, both("relays", s.relay, other.relay)+both("sockets", s.sockets, other.sockets),
		"set $relay relay:7400;", "set $relay relays;", "set $relay relay:7402;", "set $relay sockets;",
		"set $relay relay-1:7400;", "set $relay "+s.relay+";", "set $relay relay-2:7400;", "set $relay "+other.relay+";"))
	for _, address := range addresses {
		accepts(s.t, address)
	}
	return ingress{"a", addresses[0], addresses[2:4], addresses[4], master, syscall.SIGHUP}
}

func (s *system) referenceHAProxy() ingress {
	s.t.Helper()
	addresses := free(s.t, 2)
	master := s.runHAProxy([]string{"HOLDFAST_INGRESS_ID=b", "HOLDFAST_RELAY=" + s.relay}, reference(s.t, "haproxy/haproxy.cfg",
		"bind :8080 proto h2", "bind "+addresses[0]+" proto h2", "bind :8081", "bind "+addresses[1]))
	accepts(s.t, addresses[0])
	accepts(s.t, addresses[1])
	return ingress{name: "b", address: addresses[0], master: master, reload: syscall.SIGUSR2}
}

// The reference configurations have no fault, and a reload of either under traffic loses nothing: no client of the other is
// disconnected.
func TestReferences(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	find(t, "nginx")
	find(t, "haproxy")
	s := newSystem(t)
	a, b := s.referenceNginx(s), s.referenceHAProxy()
	s.startAppServer("sample-1", a.address, b.address)
	s.startAppServer("sample-2", a.address, b.address)
	r := s.examine([]string{a.address, b.address}, "--wait", "2s")
	for _, outcome := range []string{"warning", "failed", "skipped"} {
		if _, told := r.with(outcome); len(told) > 0 {
			t.Errorf("%s: %q", outcome, told)
		}
	}
	for _, announced := range []bool{true, false} {
		s.reloadUnderTraffic(a, b, announced)
		s.reloadUnderTraffic(b, a, announced)
	}
}

// The configuration of the manifests for Kubernetes has no fault either. The name of the pod is that of this machine here.
func TestKubernetesNginx(t *testing.T) {
	find(t, "nginx")
	s := newSystem(t)
	raw, err := os.ReadFile("../../deploy/kubernetes/ingress.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var text string
	for part := range strings.SplitSeq(string(raw), "\n---\n") {
		var d struct{ Data map[string]string }
		if err := yaml.Unmarshal([]byte(part), &d); err != nil {
			t.Fatal(err)
		}
		text += d.Data["nginx.conf"]
	}
	addresses := free(t, 2)
	text = replace(t, "ingress.yaml", text, "pid /tmp/nginx.pid;", "pid nginx.pid;", "/tmp/client_body;", "body;",
		"/tmp/proxy_temp;", "proxy;", "/tmp/fastcgi;", "fastcgi;", "/tmp/uwsgi;", "uwsgi;", "/tmp/scgi;", "scgi;",
		"listen 8080 http2", "listen "+addresses[0]+" http2", "listen 8081;", "listen "+addresses[1]+";", "grpc://relay:7400;", "grpc://"+s.relay+";")
	s.runNginx("daemon off;\n" + nginxUser() + "\n" + text)
	accepts(t, addresses[0])
	both := []string{addresses[0], s.startNginx(goodNginx("b"))}
	s.startAppServer("sample", both...)
	r := s.examine(both, "--wait", "1s")
	for _, outcome := range []string{"warning", "failed", "skipped"} {
		if _, told := r.with(outcome); len(told) > 0 {
			t.Errorf("%s: %q", outcome, told)
		}
	}
}

const trafficClients = 20

// reloadUnderTraffic reloads one ingress as the documents say, while clients of the other send and receive. With no
// announcement the GOAWAY has to be notice enough.
func (s *system) reloadUnderTraffic(reloaded, other ingress, announced bool) {
	s.t.Helper()
	stop := s.traffic(other.address)
	before, over := children(s.t, reloaded.master), len(s.sent("--server-ingress", reloaded.name))
	if announced {
		if moved := s.takeOut(reloaded.name); moved != over {
			s.t.Errorf("%d were moved off ingress %s, which carried %d", moved, reloaded.name, over)
		}
	}
	if err := syscall.Kill(reloaded.master, reloaded.reload); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "the old worker of ingress "+reloaded.name+" is gone and a new one there", func() bool {
		now := children(s.t, reloaded.master)
		return len(now) > 0 && !slices.ContainsFunc(before, func(pid string) bool { return slices.Contains(now, pid) })
	})
	if announced {
		if out, errs, code := output(s.t, "holdfast", "--admin", s.admin, "complete", reloaded.name); code != 0 {
			s.t.Fatalf("complete %s: %d\n%s%s", reloaded.name, code, out, errs)
		}
	}
	s.waitAttached("sample-1", 2)
	s.waitAttached("sample-2", 2)
	afterwards := s.sent()
	eventually(s.t, "every client has got more messages than before", func() bool {
		now := s.sent()
		for id, n := range afterwards {
			if now[id] <= n {
				return false
			}
		}
		return len(now) == trafficClients
	})
	x := stop()
	if x.Sent < trafficClients || x.Received < 2*trafficClients || over == 0 {
		s.t.Errorf("reload of %s: too little happened: %d sent, %d received, %d over it", reloaded.name, x.Sent, x.Received, over)
	}
	if x.Lost+x.Doubled+x.Reordered+x.Corrupted+x.Unfinished != 0 {
		s.t.Errorf("reload of %s: the guarantee was broken: %+v", reloaded.name, x)
	}
	if len(x.ByIngress) != 1 || x.ByIngress[0].Ingress != other.name || x.ByIngress[0].Clients != trafficClients || x.ByIngress[0].Disconnected != 0 {
		s.t.Errorf("reload of %s: clients of ingress %s were disconnected: %+v", reloaded.name, other.name, x.ByIngress)
	}
	s.t.Logf("reload of %s, announced: %t; it carried %d; %d sent, %d received", reloaded.name, announced, over, x.Sent, x.Received)
}

// sent returns how many messages each client was sent, by its id. The flags say which clients.
func (s *system) sent(flags ...string) map[string]int {
	s.t.Helper()
	out, errs, code := output(s.t, "holdfast", append([]string{"--admin", s.admin, "--output", "json", "list", "clients"}, flags...)...)
	var list struct {
		All []struct {
			ID   string `json:"connection_id"`
			Sent int    `json:"messages_sent,string"`
		} `json:"client_connections"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
		s.t.Fatalf("list clients: %v\n%s%s", err, out, errs)
	}
	sent := make(map[string]int)
	for _, c := range list.All {
		sent[c.ID] = c.Sent
	}
	return sent
}

// takeOut moves the connections off an ingress and returns how many there were.
func (s *system) takeOut(name string) (moved int) {
	s.t.Helper()
	out, errs, code := output(s.t, "holdfast", "--admin", s.admin, "--output", "json", "reload", name, "--wait", "10s")
	if code != 0 {
		s.t.Fatalf("reload %s: %d\n%s%s", name, code, out, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var last struct{ Moved int }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		s.t.Fatal(err)
	}
	return last.Moved
}

// traffic is what the clients report at their end.
type traffic struct {
	Sent, Received, Lost, Doubled, Reordered, Corrupted, Unfinished int

	ByIngress []struct {
		Ingress               string
		Clients, Disconnected int
	} `json:"by_ingress"`
}

// traffic starts clients, waits until they run, and returns how to stop them.
func (s *system) traffic(address string) (stop func() traffic) {
	s.t.Helper()
	stop = s.startTraffic(address)
	eventually(s.t, "all clients send and receive", func() bool {
		sent := s.sent()
		for _, n := range sent {
			if n == 0 {
				return false
			}
		}
		return len(sent) == trafficClients
	})
	return stop
}

// startTraffic starts clients and returns how to stop them.
func (s *system) startTraffic(address string) (stop func() traffic) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), program(s.t, "holdfast"), "traffic", "--addresses", address,
		"--clients", strconv.Itoa(trafficClients), "--rate", "100", "--output", "json", "--report", "0s")
	cmd.Env = cleanEnvironment()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return func() traffic {
		s.t.Helper()
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("traffic: %v\n%s", err, errs.String())
		}
		eventually(s.t, "all clients are gone", func() bool { return len(s.sent()) == 0 })
		var x traffic
		if err := json.Unmarshal(out.Bytes(), &x); err != nil {
			s.t.Fatalf("the report of the traffic: %v\n%s", err, out.String())
		}
		return x
	}
}
