package doctor

// What to change, for the faults that lie in the configuration of an ingress. RELAY stands for the relay's address,
// NAME for the name of the ingress.
var (
	adviseListenHTTP2 = Change{
		What:    "have the ingress speak HTTP/2 on this address",
		Nginx:   "listen 8080 http2; (from nginx 1.25.1: listen 8080; http2 on;)",
		HAProxy: "bind :8080 proto h2",
		Envoy:   "codec_type: HTTP2 in the HttpConnectionManager",
	}
	adviseALPN = Change{
		What:    "offer h2 by ALPN on the TLS listener of the ingress",
		Nginx:   "listen 443 ssl http2; (from nginx 1.25.1: listen 443 ssl; http2 on;)",
		HAProxy: "bind :443 ssl crt FILE alpn h2",
		Envoy:   "alpn_protocols: [h2] in the common_tls_context",
	}
	adviseTLS = Change{
		What:    "have the ingress speak TLS on this address, or leave --tls out where plaintext is meant",
		Nginx:   "listen 443 ssl http2; ssl_certificate FILE; ssl_certificate_key FILE;",
		HAProxy: "bind :443 ssl crt FILE alpn h2",
		Envoy:   "transport_socket of type DownstreamTlsContext in the filter chain",
	}
	adviseUpstream = Change{
		What:    "have the ingress pass calls on to the relay by HTTP/2, to an address at which the relay listens",
		Nginx:   "grpc_pass grpc://RELAY:7400; (grpcs:// when the relay has --tls-cert; not proxy_pass, which speaks HTTP/1)",
		HAProxy: "server relay RELAY:7400 proto h2 (with ssl alpn h2 when the relay has --tls-cert)",
		Envoy:   "explicit_http_config: {http2_protocol_options: {}} in the cluster's HttpProtocolOptions",
	}
	adviseRoute = Change{
		What:    "have the ingress pass the paths of gRPC on to the relay: /holdfast.v1.* and /grpc.health.v1.*",
		Nginx:   "location / { grpc_pass grpc://RELAY:7400; }",
		HAProxy: "default_backend relay",
		Envoy:   `routes: [{match: {prefix: "/"}, route: {cluster: relay, timeout: 0s}}]`,
	}
	adviseHeader = Change{
		What:    "have the ingress set x-ingress-id to its own name, and have the relay believe it: its --trusted-networks must have the ingress's address",
		Nginx:   "grpc_set_header x-ingress-id NAME; (in the block of grpc_pass: a block with a grpc_set_header of its own inherits none)",
		HAProxy: "http-request set-header x-ingress-id NAME",
		Envoy:   "request_headers_to_add: [{header: {key: x-ingress-id, value: NAME}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]",
	}
	adviseReplace = Change{
		What:    "have the ingress replace x-ingress-id, not pass it on or add to it: what the caller sends must not reach the relay",
		Nginx:   "grpc_set_header x-ingress-id NAME;",
		HAProxy: "http-request set-header x-ingress-id NAME (not add-header)",
		Envoy:   "append_action: OVERWRITE_IF_EXISTS_OR_ADD (not APPEND_IF_EXISTS_OR_ADD) in request_headers_to_add",
	}
	adviseNames = Change{
		What:    "give each ingress an x-ingress-id of its own, and each address of --addresses an ingress of its own: only then has an app server a path left when one ingress reloads",
		Nginx:   "grpc_set_header x-ingress-id NAME;",
		HAProxy: "http-request set-header x-ingress-id NAME",
		Envoy:   "request_headers_to_add: [{header: {key: x-ingress-id, value: NAME}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]",
	}
	adviseBody = Change{
		What:    "take the limit on the body of a request away: a whole stream counts as one body",
		Nginx:   "client_max_body_size 0; (the default, 1m, ends a stream after 1 MiB)",
		HAProxy: "no http-request deny by the size of the body, no option http-buffer-request",
		Envoy:   "no buffer filter (max_request_bytes) on the route",
	}
	adviseMessage = Change{
		What:  "let messages as large as the relay's --max-message-bytes pass, or lower that",
		Nginx: "client_max_body_size 0;",
		Envoy: "no buffer filter (max_request_bytes) on the route",
	}
	adviseIdle = Change{
		What:    "let streams be silent for longer: the time-outs of the ingress are gaps between two messages",
		Nginx:   "grpc_read_timeout 1h; grpc_send_timeout 1h; client_body_timeout 1h; send_timeout 1h; (60s each by default)",
		HAProxy: "timeout client 1h, timeout server 1h, timeout tunnel 1h",
		Envoy:   "stream_idle_timeout: 0s in the HttpConnectionManager (5m by default); timeout: 0s and idle_timeout: 0s on the route",
	}
	adviseHeartbeat = Change{
		What:    "keep the relay's --heartbeat-interval (15s by default) under the shortest time-out of the ingresses, or raise that",
		Nginx:   "grpc_read_timeout 1h; client_body_timeout 1h;",
		HAProxy: "timeout client 1h, timeout server 1h",
		Envoy:   "stream_idle_timeout: 0s in the HttpConnectionManager",
	}
	adviseAdmin = Change{
		What:    "do not lead callers from outside to the relay's admin listener; it is for operators and the reload hooks of the ingresses",
		Nginx:   "grpc_pass grpc://RELAY:7400; (not the admin port, 7401)",
		HAProxy: "server relay RELAY:7400 proto h2",
		Envoy:   "port_value: 7400 in the cluster's endpoint",
	}
)

// certificateAt returns the change for the certificate of an ingress.
func certificateAt(what string) Change {
	return Change{
		What:    what,
		Nginx:   "ssl_certificate FILE; ssl_certificate_key FILE; (FILE with the whole chain; then nginx -s reload)",
		HAProxy: "bind :443 ssl crt FILE alpn h2 (FILE with chain and key; then reload)",
		Envoy:   "tls_certificates in the common_tls_context",
	}
}

// asIs is a change that has nothing to do with the kind of the ingress.
func asIs(what string) Change { return Change{What: what} }

// adviseBuffer is for an ingress that keeps a stream back until it ends.
var adviseBuffer = Change{
	What:    "have the ingress pass streams on as they come, with no buffering of requests or answers",
	Nginx:   "grpc_pass grpc://RELAY:7400; (not proxy_pass)",
	HAProxy: "no option http-buffer-request",
	Envoy:   "no buffer filter on the route",
}
