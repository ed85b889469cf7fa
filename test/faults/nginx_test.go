package faults_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// nginx is one real ingress.
type nginx struct {
	id, address string
	path        string
	args        []string
	process     *process
}

const nginxConfig = `daemon off;
%s
worker_processes 2;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  client_max_body_size 0;
  client_body_timeout 1h;
  send_timeout 1h;
  keepalive_timeout 1h;
  keepalive_requests 1000000;
  http2_max_concurrent_streams 100000;
  server {
    listen %s http2;
    location / {
      grpc_pass grpc://%s;
      grpc_set_header x-ingress-id %s;
      grpc_read_timeout 1h;
      grpc_send_timeout 1h;
    }
  }
}
`

// newNginx writes the configuration of an ingress and starts it.
func newNginx(t *testing.T, path, id, address, upstream string) *nginx {
	t.Helper()
	home, user := t.TempDir(), ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	file := filepath.Join(home, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, user, address, upstream, id), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &nginx{id: id, address: address, path: path, args: []string{"-p", home, "-e", "stderr", "-c", file}}
	n.start(t)
	return n
}

func (n *nginx) start(t *testing.T) {
	t.Helper()
	n.process = start(t, nil, "nginx-"+n.id, n.path, n.args...)
}

// carried is the number of logical connections whose server connection came in through the ingress.
func (n *nginx) carried(s *system) int {
	return s.load(func(c *holdfastv1.ServerConnection) bool { return c.GetIngress() == n.id })
}

func findNginx(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("SKIPPED: nginx is not installed, so that no real ingress was killed; make setup installs it")
	return ""
}

// One of two ingresses is killed and restarted again and again, in good times and in the middle of handoffs. Clients that
// come in another way do not notice; those of its own are cut, and lose nothing but what was under way.
func testNginx(t *testing.T) {
	path := findNginx(t)
	s := startSystem(t, fast, nil, nil, "--max-moves-in-flight", "8") // Few, so that a kill finds handoffs open and others to come.
	free := freeAddresses(t, 2)
	a, b := newNginx(t, path, "a", free[0], s.address), newNginx(t, path, "b", free[1], s.address)
	s.startAppServer(nil, free)
	each := size(t, 100, 20)
	direct := s.startFleet("clients-direct", each, small, s.address)
	through := s.startFleet("clients-through-b", each, small, b.address)
	own := s.startFleet("clients-through-a", each/5, small, a.address)
	s.waitClients(2*each + each/5)
	for round := range size(t, 6, 2) {
		s.waitProgress()
		sleep(t, time.Second+500*time.Millisecond) // so that the path has proved itself, and is regained at once
		resumed, begin := s.events.resumes(), time.Now()
		carried := s.kill(a, b, round%2 == 1)
		a.start(t)
		s.waitPaths(2, regainTimeout)
		s.waitClients(2*each + each/5)
		t.Logf("kill %d: it carried %d at least, %d were resumed, all stood again after %v", round+1, carried,
			s.events.resumes()-resumed, time.Since(begin).Round(time.Millisecond))
		if carried == 0 {
			t.Errorf("kill %d hit nothing", round+1)
		}
	}
	if s.events.resumes() == 0 {
		t.Error("nothing was resumed, so that nothing was proved")
	}
	s.waitProgress()
	direct.unharmed()
	through.unharmed()
	r := own.stop()
	for _, problem := range r.faults() {
		t.Errorf("the killed ingress's own clients: %s", problem)
	}
	if len(r.disconnected()) == 0 {
		t.Error("the killed ingress's own clients were not disconnected: it was not killed")
	}
}

// kill has connections moved to ingress a, by taking b out of service, kills a, and returns what a carried. With
// middle it does not wait until they are there, and knows of one only.
func (s *system) kill(a, b *nginx, middle bool) (carried int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), askTimeout)
	defer cancel()
	moved := s.events.nextMove()
	stream, err := s.admin.ReloadIngress(ctx, &holdfastv1.ReloadIngressRequest{Ingress: b.id})
	if err != nil {
		s.t.Fatalf("reload ingress %s: %v", b.id, err)
	}
	if middle {
		select {
		case <-moved:
		case <-ctx.Done():
			s.t.Fatalf("nothing was moved to ingress %s", a.id)
		}
		a.process.kill()
		carried = 1
	} else {
		for done := false; !done; {
			p, err := stream.Recv()
			if err != nil {
				s.t.Fatalf("reload ingress %s: %v", b.id, err)
			}
			done = p.GetDone()
		}
		carried = a.carried(s)
		a.process.kill()
	}
	if _, err := s.admin.CompleteReload(ctx, &holdfastv1.CompleteReloadRequest{Ingress: b.id}); err != nil {
		s.t.Fatalf("return ingress %s to service: %v", b.id, err)
	}
	waitFor(s.t, "ingress a carries nothing", readyTimeout, func() bool { return a.carried(s) == 0 })
	return carried
}
