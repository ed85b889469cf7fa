package console_test

import (
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
)

// No page of another site acts through the console or takes the place of a stream.
func TestOtherSites(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", "a")
		const reload, jsonType = `{"ingress":"a"}`, "application/json"
		for _, c := range []struct {
			method, path string
			headers      []string
			want         string
		}{
			{"POST", "/api/reload", []string{"Sec-Fetch-Site", "cross-site"}, "403 CROSS_SITE"},
			{"POST", "/api/reload", []string{"Sec-Fetch-Site", "same-site"}, "403 CROSS_SITE"},
			{"POST", "/api/reload", []string{"Origin", "http://evil.example"}, "403 CROSS_SITE"},
			{"POST", "/api/reload", []string{"Origin", "http://127.0.0.1:8080"}, "403 CROSS_SITE"},
			{"POST", "/api/reload", []string{"Origin", "null"}, "403 CROSS_SITE"},
			{"GET", "/api/state", []string{"Sec-Fetch-Site", "cross-site"}, "403 CROSS_SITE"},
			{"GET", "/api/stream", []string{"Sec-Fetch-Site", "cross-site"}, "403 CROSS_SITE"},
			{"GET", "/api/state", []string{"Sec-Fetch-Site", "same-origin"}, "200 "},
			{"GET", "/api/state", []string{"Sec-Fetch-Site", "none"}, "200 "},
			{"POST", "/api/reload", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:7401"}, "200 "},
		} {
			a := s.do(c.method, c.path, reload, append(c.headers, "Content-Type", jsonType)...)
			if got := fmt.Sprint(a.status, " ", a.reason()); got != c.want {
				t.Errorf("%s %s %v: %s, want %s", c.method, c.path, c.headers, got, c.want)
			}
			if draining := s.state().Ingresses[0].Draining; draining != (c.method == "POST" && c.want == "200 ") {
				t.Fatalf("%s %s %v: draining is %v", c.method, c.path, c.headers, draining)
			}
		}
	})
}

// A name of another site that resolves to the loopback leads nowhere.
func TestRebinding(t *testing.T) {
	foreign := []string{"evil.example", "evil.example:7401", "127.0.0.1.evil.example", "localhost.evil.example:7401", "[::1].evil.example", "127.1", "::ffff.example"}
	own := []string{"localhost", "localhost:7401", "LOCALHOST:7401", "localhost.", "127.0.0.1", "127.0.0.1:7401", "[::1]:7401", "[::1]", "192.0.2.1:7401"}
	for _, c := range []struct {
		local string
		hosts []string
		want  string
	}{
		{"127.0.0.1", own, "200 "},
		{"::1", own, "200 "},
		{"127.0.0.1", foreign, "403 HOST_NOT_ALLOWED"},
		{"::1", foreign, "403 HOST_NOT_ALLOWED"},
		{"192.0.2.1", append(own, foreign...), "200 "}, // the name is whatever the network calls the relay
	} {
		onStageAt(t, c.local, nil, func(t *testing.T, s *stage) {
			for _, host := range c.hosts {
				for _, path := range []string{"/api/state", "/"} {
					a := s.do(http.MethodGet, path, "", "Host", host)
					reason := ""
					if a.status != http.StatusOK {
						reason = a.reason()
					}
					if got := fmt.Sprint(a.status, " ", reason); got != c.want {
						t.Errorf("%s as %q on %s: %s, want %s", path, host, c.local, got, c.want)
					}
				}
			}
		})
	}
}

// The page is whole, loads nothing from elsewhere, and runs no script or style that stands in it.
func TestPage(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		index := s.get("/")
		text := string(index.body)
		if index.status != http.StatusOK || index.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Fatalf("%d %v", index.status, index.header)
		}
		for header, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if got := index.header.Get(header); got != want {
				t.Errorf("%s is %q, want %q", header, got, want)
			}
		}
		policy := index.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("the policy lacks %s: %s", want, policy)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("the policy is weak: %s", policy)
		}
		if bad := regexp.MustCompile(`(?i)<style|\sstyle=|\son\w+=|<script[^>]*>[^<]|javascript:|https?://`).FindString(text); bad != "" {
			t.Errorf("the page has %q", bad)
		}
		s.follow(t, "/", text, map[string]bool{})
	})
}

var references = regexp.MustCompile(`(?:src|href)="([^#"][^"]*)"|from "\./([^"]+)"`)

// follow gets every file that a file refers to.
func (s *stage) follow(t *testing.T, from, text string, seen map[string]bool) {
	kinds := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
	for _, m := range references.FindAllStringSubmatch(text, -1) {
		name := "/" + strings.TrimPrefix(m[1]+m[2], "/")
		if seen[name] {
			continue
		}
		seen[name] = true
		a := s.get(name)
		if a.status != http.StatusOK || a.header.Get("Content-Type") != kinds[path.Ext(name)] || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s refers to %s: %d %v", from, name, a.status, a.header)
		}
		s.follow(t, name, string(a.body), seen)
	}
	if from == "/" && len(seen) < 10 {
		t.Errorf("only %d files were followed: %v", len(seen), seen)
	}
}

func TestNoOtherPage(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		for _, path := range []string{"/index.html", "/page/index.html", "/../relay.go", "/app.js/x", "/debug/pprof/"} {
			if a := s.get(path); a.status != http.StatusNotFound {
				t.Errorf("%s: %d", path, a.status)
			}
		}
		if a := s.do(http.MethodHead, "/", ""); a.status != http.StatusOK || len(a.body) != 0 {
			t.Errorf("HEAD: %d, %d bytes", a.status, len(a.body))
		}
		if a := s.do(http.MethodPost, "/", "{}"); a.status != http.StatusMethodNotAllowed {
			t.Errorf("POST of the page: %d", a.status)
		}
	})
}
