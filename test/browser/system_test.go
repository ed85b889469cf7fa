package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/template"
)

// relay is one that runs.
type relay struct {
	*process
	id string
	// servers is where app servers come in, sockets where clients do, and admin where operators do.
	servers, sockets, admin string
}

// ingress is an nginx in front of all relays.
type ingress struct {
	*process
	id string
	// servers is where app servers come in, by relay; sockets is where clients do, of whichever relay.
	servers map[string]string
	sockets string
}

// system is two relays that share their keys, two ingresses in front of both, and an app server that reaches each relay through
// each ingress.
type system struct {
	t   *testing.T
	bin string
	// flags are those that the relays have in common.
	flags     []string
	relays    map[string]*relay
	ingresses map[string]*ingress
}

func newSystem(t *testing.T, origin string) *system {
	t.Helper()
	nginx := find(t, "nginx", "/usr/sbin/nginx")
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	s := &system{t: t, bin: bin, relays: make(map[string]*relay), ingresses: make(map[string]*ingress)}
	keys := filepath.Join(t.TempDir(), "resume-keys")
	if err := os.WriteFile(keys, []byte(s.holdfast("keygen")), 0o600); err != nil {
		t.Fatal(err)
	}
	s.flags = []string{"--resume-key-file", keys, "--websocket-origins", origin, "--reconnect-window", "500ms", "--shutdown-grace", "2s"}
	for _, id := range []string{"relay-1", "relay-2"} {
		free := freeAddresses(t, 3)
		s.startRelay(&relay{id: id, servers: free[0], sockets: free[1], admin: free[2]})
	}
	var through []string
	for _, id := range []string{"a", "b"} {
		in := s.startIngress(nginx, id)
		for _, address := range in.servers {
			through = append(through, address)
		}
	}
	start(t, "app-1", filepath.Join(bin, "appserver"), "--relays", strings.Join(through, ","), "--server-id", "app-1",
		"--listen", "127.0.0.1:0", "--shutdown-grace", "1s")
	for _, r := range s.relays {
		s.awaitServers(r)
	}
	return s
}

func (s *system) startRelay(r *relay) {
	s.t.Helper()
	r.process = start(s.t, r.id, filepath.Join(s.bin, "relay"), append([]string{
		"--listen", r.servers, "--websocket-listen", r.sockets, "--admin-listen", r.admin, "--relay-id", r.id,
	}, s.flags...)...)
	for _, address := range []string{r.servers, r.sockets, r.admin} {
		waitFor(s.t, r.id+" listens", func() bool { return listens(address) })
	}
	s.relays[r.id] = r
}

// awaitServers waits until the app server has come in at the relay, through each ingress.
func (s *system) awaitServers(r *relay) {
	s.t.Helper()
	waitFor(s.t, "two server connections at "+r.id, func() bool { return s.serverConnections(r) == 2 })
}

// An old worker of nginx lives for a second: what it still carries then is cut.
var nginxTemplate = template.Must(template.New("nginx.conf").Parse(`daemon off;
{{- if .Root}}
user root;
{{- end}}
worker_processes 1;
worker_shutdown_timeout 1s;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  client_max_body_size 0;
  client_body_timeout 1h;
  upstream sockets {
    {{- range .Relays}}
    server {{.Sockets}};
    {{- end}}
  }
  server {
    listen {{.Listen}};
    location / {
      proxy_pass http://sockets;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_set_header x-ingress-id {{.ID}};
      proxy_set_header x-forwarded-for $remote_addr;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
      proxy_connect_timeout 2s;
    }
  }
  {{- range .Relays}}
  server {
    listen {{.Listen}} http2;
    location / {
      grpc_pass grpc://{{.Servers}};
      grpc_set_header x-ingress-id {{$.ID}};
      grpc_set_header x-forwarded-for $remote_addr;
      grpc_set_header x-holdfast-identity "";
      grpc_read_timeout 1h;
      grpc_send_timeout 1h;
    }
  }
  {{- end}}
}
`))

func (s *system) startIngress(nginx, id string) *ingress {
	s.t.Helper()
	free := freeAddresses(s.t, 1+len(s.relays))
	in := &ingress{id: id, sockets: free[0], servers: make(map[string]string)}
	type front struct{ Listen, Servers, Sockets string }
	var fronts []front
	for _, r := range s.relays {
		address := free[1+len(fronts)]
		in.servers[r.id] = address
		fronts = append(fronts, front{address, r.servers, r.sockets})
	}
	home := s.t.TempDir()
	var b strings.Builder
	if err := nginxTemplate.Execute(&b, struct {
		ID, Listen string
		Root       bool
		Relays     []front
	}{id, in.sockets, os.Geteuid() == 0, fronts}); err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(home, "nginx.conf")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	in.process = start(s.t, "nginx-"+id, nginx, "-p", home, "-e", "stderr", "-c", path)
	for _, address := range free {
		waitFor(s.t, "ingress "+id+" listens", func() bool { return listens(address) })
	}
	s.ingresses[id] = in
	return in
}

// reload has the nginx read its configuration anew, and waits until its old worker is gone.
func (s *system) reload(in *ingress) {
	s.t.Helper()
	before := in.children(s.t)
	if err := in.command.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
	waitFor(s.t, "the old worker of ingress "+in.id+" is gone and a new one there", func() bool {
		now := in.children(s.t)
		return len(now) > 0 && !slices.ContainsFunc(before, func(pid int) bool { return slices.Contains(now, pid) })
	})
}

// killWorkers kills what carries the sockets of the ingress. Its master starts others.
func (s *system) killWorkers(in *ingress) {
	s.t.Helper()
	for _, pid := range in.children(s.t) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			s.t.Fatal(err)
		}
	}
}

// holdfast runs the tool to its end and returns what it printed.
func (s *system) holdfast(args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "holdfast"), args...)
	cmd.Env = cleanEnvironment()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("holdfast %q: %v\n%s%s", args, err, out, stderr.String())
	}
	return string(out)
}

func (s *system) serverConnections(r *relay) int {
	s.t.Helper()
	var list struct {
		All []json.RawMessage `json:"server_connections"`
	}
	out := s.holdfast("--admin", r.admin, "--output", "json", "list", "servers")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		s.t.Fatalf("list servers: %v\n%s", err, out)
	}
	return len(list.All)
}

// takeOut asks every relay to take the ingress out of service, and returns when all of them say that it can be reloaded.
func (s *system) takeOut(in *ingress) {
	s.t.Helper()
	for _, r := range s.relays {
		s.holdfast("--admin", r.admin, "reload", in.id, "--wait", fmt.Sprint(patience/2))
	}
}

func (s *system) complete(in *ingress) {
	s.t.Helper()
	for _, r := range s.relays {
		s.holdfast("--admin", r.admin, "complete", in.id)
	}
	for _, r := range s.relays {
		s.awaitServers(r)
	}
}

// restart starts the relay that has ended once more, at the same addresses.
func (s *system) restart(id string) {
	s.t.Helper()
	r := *s.relays[id]
	s.startRelay(&r)
	s.awaitServers(&r)
}
