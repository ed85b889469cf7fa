package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/process"
)

// The proxies are set up as well as a plain configuration allows: nothing that this load needs is left at a limit.
// The defaults do not suit long streams: client_max_body_size counts a whole stream, and the timeouts are gaps
// between two messages. nginx opens one upstream connection for each stream.
var nginxTemplate = template.Must(template.New("nginx.conf").Parse(`daemon off;
{{- if .Root}}
user root;
{{- end}}
worker_processes auto;
worker_rlimit_nofile {{.Files}};
pid nginx.pid;
error_log stderr warn;
events {
  worker_connections {{.NginxConnections}};
}
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
  keepalive_requests 1000000000;
  http2_max_concurrent_streams 100000;
  upstream echo {
    server {{.Upstream}};
    keepalive 256;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    keepalive_time 24h;
  }
  server {
    listen {{.Listen}} http2;
    location / {
      grpc_pass grpc://echo;
      grpc_read_timeout 1h;
      grpc_send_timeout 1h;
      grpc_socket_keepalive on;
    }
  }
}
`))

var haproxyTemplate = template.Must(template.New("haproxy.cfg").Parse(`global
  maxconn {{.Connections}}
  nbthread 2
  tune.h2.max-concurrent-streams 100000
defaults
  mode http
  maxconn {{.Connections}}
  http-reuse always
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
  timeout http-request 1h
  timeout http-keep-alive 1h
frontend clients
  bind {{.Listen}} proto h2
  default_backend echo
backend echo
  server echo {{.Upstream}} proto h2
`))

type proxyConfig struct {
	Listen, Upstream string
	Files            uint64
	// NginxConnections counts both sides of each worker, Connections the clients' side only.
	NginxConnections, Connections uint64
	Root                          bool
}

// proxy starts an echo server and writes the configuration of a proxy in front of it.
func (t *theatre) proxy(s *subject, configuration *template.Template) (path string, err error) {
	files, err := fileLimit()
	if err != nil {
		return "", err
	}
	addresses, err := process.FreeAddresses(1)
	if err != nil {
		return "", err
	}
	upstream, err := t.echo(s)
	if err != nil {
		return "", err
	}
	s.address = addresses[0]
	var b strings.Builder
	most := max(min(files, 1<<17), 1000) - 200 // Some files are needed for other things.
	err = configuration.Execute(&b, proxyConfig{
		Listen: s.address, Upstream: upstream, Files: files, NginxConnections: most, Connections: most / 2, Root: os.Geteuid() == 0,
	})
	if err != nil {
		return "", err
	}
	home := filepath.Join(t.dir, s.name)
	if err := os.MkdirAll(home, 0o755); err != nil {
		return "", fmt.Errorf("folder for %s: %w", s.name, err)
	}
	path = filepath.Join(home, configuration.Name())
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return "", fmt.Errorf("configuration for %s: %w", s.name, err)
	}
	return path, nil
}

// buildNginx starts nginx in front of an echo server.
func (t *theatre) buildNginx(s *subject) error {
	program, err := find("nginx")
	if err != nil {
		return err
	}
	path, err := t.proxy(s, nginxTemplate)
	if err != nil {
		return err
	}
	return t.run(s, "nginx", program, "-p", filepath.Dir(path), "-e", "stderr", "-c", path)
}

// buildHAProxy starts haproxy in front of an echo server.
func (t *theatre) buildHAProxy(s *subject) error {
	program, err := find("haproxy")
	if err != nil {
		return err
	}
	path, err := t.proxy(s, haproxyTemplate)
	if err != nil {
		return err
	}
	return t.run(s, "haproxy", program, "-db", "-f", path)
}
