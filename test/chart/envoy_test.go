package chart_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// The configuration of Envoy is YAML, and the fields that long streams and the ingress's name need have their values. Envoy
// itself is not run.
func TestEnvoy(t *testing.T) {
	raw, err := yaml.YAMLToJSONStrict([]byte(read(t, "../../deploy/envoy/envoy.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	var root any
	if err := json.Unmarshal(raw, &root); err != nil {
		t.Fatal(err)
	}
	const (
		chain   = "static_resources.listeners.0.filter_chains.0.filters.0.typed_config."
		host    = chain + "route_config.virtual_hosts.0."
		cluster = "static_resources.clusters.0."
		options = cluster + "typed_extension_protocol_options.envoy/extensions/upstreams/http/v3/HttpProtocolOptions."
	)
	for path, want := range map[string]string{
		chain + "codec_type":                                            "HTTP2",
		chain + "stream_idle_timeout":                                   "0s",
		chain + "request_timeout":                                       "0s",
		chain + "common_http_protocol_options.idle_timeout":             "600s",
		host + "request_headers_to_add.0.header.key":                    "x-ingress-id",
		host + "request_headers_to_add.0.append_action":                 "OVERWRITE_IF_EXISTS_OR_ADD",
		host + "routes.0.route.timeout":                                 "0s",
		host + "routes.0.route.idle_timeout":                            "0s",
		host + "routes.0.route.cluster":                                 "relay",
		host + "routes.0.match.prefix":                                  "/",
		host + "routes.0.route.max_stream_duration.max_stream_duration": "0s",
		chain + "http_filters.0.name":                                   "envoy.filters.http.router",
		chain + "http_filters.1.name":                                   "nothing", // No buffer filter before the router.
		options + "explicit_http_config.http2_protocol_options.connection_keepalive.interval": "15s",
		cluster + "circuit_breakers.thresholds.0.max_requests":                                "1e+06",
		cluster + "name": "relay",
		cluster + "load_assignment.endpoints.0.lb_endpoints.0.endpoint.address.socket_address.port_value": "7400",
		"admin.address.socket_address.address": "127.0.0.1",
	} {
		if got := at(root, path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

// at returns the value at a path of keys and indexes, "nothing" when there is none. A dot in a key is written as a slash.
func at(value any, path string) string {
	for _, key := range strings.Split(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[strings.ReplaceAll(key, "/", ".")]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(v) {
				return "nothing"
			}
			value = v[i]
		default:
			return "nothing"
		}
	}
	if value == nil {
		return "nothing"
	}
	return fmt.Sprint(value)
}
