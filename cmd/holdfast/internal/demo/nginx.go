package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// The defaults of nginx do not suit long streams: client_max_body_size counts a whole stream, and the
// timeouts are gaps between two messages.
var nginxTemplate = template.Must(template.New("nginx.conf").Parse(`daemon off;
{{- if .Root}}
user root;
{{- end}}
worker_processes 1;
worker_shutdown_timeout {{.Grace}}s;
pid nginx.pid;
error_log stderr warn;
events { worker_connections {{.Connections}}; }
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
  http2_max_concurrent_streams 100000;
  grpc_set_header x-ingress-id {{.ID}};
  grpc_set_header x-forwarded-for $remote_addr;
  grpc_set_header x-holdfast-identity "";
  grpc_read_timeout 1h;
  grpc_send_timeout 1h;
  grpc_socket_keepalive on;
  upstream relays {
{{- range .Upstreams}}
    server {{.}} fail_timeout=1s;
{{- end}}
  }
  server {
    listen {{.Listen}} http2;
    location / { grpc_pass grpc://relays; }
  }
{{- range $n, $listen := .Forwards}}
  server {
    listen {{$listen}} http2;
    location / { grpc_pass grpc://{{index $.Upstreams $n}}; }
  }
{{- end}}
}
`))

type nginxConfig struct {
	ID, Listen string
	// Forwards are the ports for one relay each: the nth is for the nth of Upstreams.
	Forwards, Upstreams []string
	Grace               int
	Connections         int
	Root                bool
}

// writeNginx makes the folder of one nginx, with its configuration, and returns the arguments to start it
// with.
func writeNginx(dir string, in *ingress, upstreams []string, grace time.Duration, clients int) ([]string, error) {
	home := filepath.Join(dir, "nginx-"+in.id)
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, fmt.Errorf("folder for nginx: %w", err)
	}
	var b strings.Builder
	err := nginxTemplate.Execute(&b, nginxConfig{
		ID: in.id, Listen: in.address, Forwards: in.forwards, Upstreams: upstreams, Grace: int(grace / time.Second),
		// A stream takes two: one from the client, one to the relay. A reload doubles that for a while.
		Connections: 1024 + 4*clients, Root: os.Geteuid() == 0,
	})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(home, "nginx.conf")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return nil, fmt.Errorf("configuration for nginx: %w", err)
	}
	return []string{"-p", home, "-e", "stderr", "-c", path}, nil
}
