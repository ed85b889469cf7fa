package ingress_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// system is a relay, and the addresses of what stands in front of it.
type system struct {
	t                     *testing.T
	relay, admin, sockets string
	log                   *os.File // of the relay
}

// newSystem starts a relay.
func newSystem(t *testing.T, flags ...string) *system {
	t.Helper()
	addresses := free(t, 3)
	s := &system{t: t, relay: addresses[0], admin: addresses[1], sockets: addresses[2]}
	cmd := start(t, nil, program(t, "relay"), append([]string{
		"--listen", s.relay, "--admin-listen", s.admin, "--websocket-listen", s.sockets, "--shutdown-grace", "1s",
	}, flags...)...)
	s.log = cmd.Stdout.(*os.File)
	accepts(t, s.relay)
	return s
}

// startAppServer starts the sample application, and waits until it is attached through each of the ingresses.
func (s *system) startAppServer(id string, relays ...string) {
	s.t.Helper()
	start(s.t, nil, program(s.t, "appserver"), "--server-id", id, "--relays", strings.Join(relays, ","),
		"--listen", free(s.t, 1)[0], "--shutdown-grace", "1s")
	s.waitAttached(id, len(relays))
}

func (s *system) waitAttached(id string, count int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s has %d server connections in service", id, count), func() bool {
		out, _, _ := output(s.t, "holdfast", "--admin", s.admin, "--output", "json", "list", "servers")
		var list struct {
			All []struct {
				ServerID string `json:"server_id"`
				Draining bool   `json:"draining"`
			} `json:"server_connections"`
		}
		if json.Unmarshal([]byte(out), &list) != nil {
			return false
		}
		n := 0
		for _, c := range list.All {
			if c.ServerID == id && !c.Draining {
				n++
			}
		}
		return n == count
	})
}

// nginx is a configuration of nginx for tests, for all that the reference has and a fault takes away.
type nginx struct {
	listen   string // parameters after the address
	server   string // directives of the server block
	location string // directives of the location
	extra    string // more locations
}

// goodNginx is one with no fault. RELAY and ADMIN are replaced.
func goodNginx(name string) nginx {
	return nginx{
		listen:   "http2",
		server:   "client_max_body_size 0; client_body_timeout 1h; send_timeout 1h; grpc_read_timeout 1h; grpc_send_timeout 1h;",
		location: "grpc_pass grpc://RELAY; grpc_set_header x-ingress-id " + name + ";",
	}
}

const nginxText = `daemon off;
USER
worker_processes 1;
pid nginx.pid;
error_log stderr info;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {
    listen ADDRESS LISTEN;
    SERVER
    location / { LOCATION }
    EXTRA
  }
}
`

// startNginx starts it and returns its address.
func (s *system) startNginx(n nginx) string {
	s.t.Helper()
	address := free(s.t, 1)[0]
	text := strings.NewReplacer("LISTEN", n.listen, "SERVER", n.server, "LOCATION", n.location, "EXTRA", n.extra,
		"USER", nginxUser(), "ADDRESS", address).Replace(nginxText)
	s.runNginx(strings.NewReplacer("RELAY", s.relay, "ADMIN", s.admin).Replace(text))
	accepts(s.t, address)
	return address
}

// nginxUser keeps the workers of an nginx that root starts able to read what the test wrote.
func nginxUser() string {
	if os.Geteuid() == 0 {
		return "user root;"
	}
	return ""
}

func (s *system) runNginx(text string) (master int) {
	s.t.Helper()
	home := s.t.TempDir()
	path := filepath.Join(home, "nginx.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return start(s.t, nil, find(s.t, "nginx"), "-p", home, "-e", "stderr", "-c", path).Process.Pid
}

// haproxy is a configuration of HAProxy for tests.
type haproxy struct {
	timeout  string // client and server
	bind     string // parameters after the address
	frontend string // lines of the frontend
	server   string // parameters after the address
}

func goodHAProxy(name string) haproxy {
	return haproxy{timeout: "1h", bind: "proto h2", frontend: "http-request set-header x-ingress-id " + name, server: "proto h2"}
}

// startHAProxy starts it and returns its address.
func (s *system) startHAProxy(h haproxy) string {
	s.t.Helper()
	address := free(s.t, 1)[0]
	s.runHAProxy(nil, fmt.Sprintf(`global
  maxconn 256
defaults
  mode http
  timeout connect 5s
  timeout client %[1]s
  timeout server %[1]s
frontend callers
  bind %s %s
  %s
  default_backend relay
backend relay
  server relay %s %s
`, h.timeout, address, h.bind, h.frontend, s.relay, h.server))
	accepts(s.t, address)
	return address
}

func (s *system) runHAProxy(env []string, text string) (master int) {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return start(s.t, env, find(s.t, "haproxy"), "-W", "-f", path).Process.Pid
}
