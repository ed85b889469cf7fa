package clients_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// streamGrace is for how long nginx lets streams run on after a reload, before it cuts them.
const streamGrace = 3 * time.Second

// nginx is one real ingress.
type nginx struct {
	id string
	// clients and sockets are where clients come in over gRPC and over WebSocket, balanced over the relays.
	clients, sockets string
	// servers is where app servers come in, an address for each relay.
	servers []string

	path    string
	args    []string
	process *process
}

// relayHeader is the header in which nginx says to which relay a socket leads.
const relayHeader = "x-test-relay"

const nginxConfig = `daemon off;
USER
worker_processes 2;
worker_rlimit_nofile 20000;
worker_shutdown_timeout GRACE;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 16384; }
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
  keepalive_time 24h;
  keepalive_requests 1000000;
  http2_max_concurrent_streams 1024;
  grpc_read_timeout 1h;
  grpc_send_timeout 1h;
  grpc_set_header x-ingress-id ID;
  upstream clients { CLIENTS }
  upstream sockets { SOCKETS }
  server {
    listen LISTEN_CLIENTS http2;
    location / { grpc_pass grpc://clients; }
  }
  server {
    listen LISTEN_SOCKETS;
    location / {
      proxy_pass http://sockets;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_set_header x-ingress-id ID;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
      add_header HEADER $upstream_addr always;
    }
  }
  SERVERS
}
`

// newNginx starts an ingress in front of the relays.
func newNginx(t *testing.T, id string, relays []*relay) *nginx {
	t.Helper()
	path := findNginx(t)
	free := freeAddresses(t, 2+len(relays))
	home := t.TempDir()
	file := filepath.Join(home, "nginx.conf")
	n := &nginx{
		id: id, clients: free[0], sockets: free[1], servers: free[2:],
		path: path, args: []string{"-p", home, "-e", "stderr", "-c", file},
	}
	var clients, sockets, servers strings.Builder
	for i, r := range relays {
		// A relay that refuses is asked again the next time: one that was restarted is to be found at once.
		clients.WriteString("server " + r.listen + " max_fails=0; ")
		sockets.WriteString("server " + r.sockets + " max_fails=0; ")
		servers.WriteString("server { listen " + n.servers[i] + " http2; location / { grpc_pass grpc://" + r.listen + "; } }\n")
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	text := strings.NewReplacer("USER", user, "GRACE", streamGrace.String(), "HEADER", relayHeader, "LISTEN_CLIENTS", n.clients,
		"LISTEN_SOCKETS", n.sockets, "CLIENTS", clients.String(), "SOCKETS", sockets.String(), "SERVERS", servers.String(), " ID;", " "+id+";",
	).Replace(nginxConfig)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n.process = start(t, nil, "nginx-"+id, n.path, n.args...)
	return n
}

// reload does what an operator does.
func (n *nginx) reload(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), n.path, append(n.args, "-s", "reload")...).CombinedOutput(); err != nil {
		t.Fatalf("nginx -s reload of ingress %s: %v\n%s", n.id, err, out)
	}
}

func findNginx(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("SKIPPED: nginx is not installed, so that no client lost a real ingress; make setup installs it")
	return ""
}
