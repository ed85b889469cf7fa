package chart_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const chart = "../../deploy/helm/holdfast"

// sets are values, each with what must be among the relay's and the app server's arguments, and how many documents there are.
var sets = []struct {
	name, values string
	documents    int
	relay        []string
	appserver    []string
}{
	{name: "defaults", documents: 5, relay: []string{"--listen=0.0.0.0:7400", "--shutdown-grace=20s"}},
	{
		name: "least", documents: 3, values: `
relay: {podDisruptionBudget: {enabled: false}}
networkPolicy: {enabled: false}
`,
	},
	{
		name: "nobody", documents: 5, values: `
networkPolicy: {ingresses: [], operators: []}
`,
	},
	{
		name: "everything", documents: 9, values: `
nameOverride: hf
image: {repository: registry.test/holdfast, tag: "1.0", pullSecrets: [{name: pull}]}
relay:
  trustedNetworks: [10.1.0.0/16, "fd00::/8"]
  applications: [echo, chat]
  heartbeatInterval: 10s
  parkTime: 1m30s
  windowBytes: 524288
  maxMessageBytes: 16777216
  maxMovesInFlight: 64
  resumeTime: 1m
  resumeTokenTime: 10m
  reconnectWindow: 20s
  logLevel: debug
  pprof: true
  insecure: true
  shutdownGraceSeconds: 60
  extraArgs: [--relay-id=r]
  tls: {secretName: tls}
  adminTls: {secretName: admin-tls}
  adminToken: {secretName: admin}
  serverCA: {secretName: ca}
  serverIdentities: |
    sample-1: echo
  jwt: {jwksUrl: "https://issuer.test/keys", keySecret: {secretName: key}, issuer: "https://issuer.test/", audience: relay}
  resumeKeys: {secretName: resume}
  limits: {maxConnections: 1000000, maxConnectionsPerAddress: 100, maxConnectionsPerIdentity: 10, connectionRate: 0.5, messageRate: 1000}
  env: [{name: GOGC, value: "200"}]
  podAnnotations: {a: b}
  nodeSelector: {kind: large}
  tolerations: [{operator: Exists}]
appserver:
  enabled: true
  relays: ["ingress-a:443", "ingress-b:443"]
  tls: {caSecret: {secretName: ca}, serverName: relay.test, clientSecretName: client}
serviceMonitor: {enabled: true, labels: {release: p}}
`,
		relay: []string{
			"--trusted-networks=10.1.0.0/16,fd00::/8", "--applications=echo,chat", "--heartbeat-interval=10s", "--park-time=1m30s",
			"--window-bytes=524288", "--max-message-bytes=16777216", "--max-moves-in-flight=64", "--log-level=debug", "--pprof", "--insecure",
			"--shutdown-grace=60s", "--relay-id=r", "--tls-cert=/etc/holdfast/tls/tls.crt", "--tls-key=/etc/holdfast/tls/tls.key",
			"--admin-tls-cert=/etc/holdfast/admin-tls/tls.crt", "--admin-tls-key=/etc/holdfast/admin-tls/tls.key",
			"--admin-token-file=/etc/holdfast/admin-token/token", "--server-ca=/etc/holdfast/server-ca/ca.crt",
			"--server-identities=/etc/holdfast/server-identities/identities", "--jwt-jwks=https://issuer.test/keys",
			"--jwt-key=/etc/holdfast/jwt-key/key.pem", "--jwt-issuer=https://issuer.test/", "--jwt-audience=relay",
			"--resume-key-file=/etc/holdfast/resume-keys/keys", "--resume-time=1m", "--resume-token-time=10m", "--reconnect-window=20s",
			"--max-connections=1000000", "--max-connections-per-address=100", "--max-connections-per-identity=10",
			"--connection-rate=0.5", "--message-rate=1000",
		},
		appserver: []string{
			"--relays=ingress-a:443,ingress-b:443", "--tls-ca=/etc/holdfast/ca/ca.crt", "--tls-cert=/etc/holdfast/client/tls.crt",
			"--tls-key=/etc/holdfast/client/tls.key", "--tls-server-name=relay.test", "--application=echo", "--log-level=info",
		},
	},
	{
		name: "app servers by name", documents: 7, values: `
appserver: {enabled: true, relayNames: ["ingress-each:8080"], extraArgs: [--park-time=1m]}
`, appserver: []string{"--relay-names=ingress-each:8080", "--park-time=1m"},
	},
	{
		name: "keys from a secret", documents: 5, values: `
relay: {jwt: {jwksSecret: {secretName: keys}}, adminTls: {secretName: admin-tls}}
`, relay: []string{"--jwt-jwks=/etc/holdfast/jwks/jwks.json"},
	},
}

// helm returns the path of helm; the test set-up builds it.
func helm(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/tools/helm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if path, err = exec.LookPath("helm"); err != nil {
		t.Skip("SKIPPED: helm is not installed, so that the chart was NOT rendered; make setup builds it")
	}
	return path
}

// run runs helm on the chart with the values.
func run(t *testing.T, values string, args ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), helm(t), append(args, "--values", file)...)
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return out.String() + errs.String(), err
}

// Every set of values passes the linter and renders to documents that fit together, with flags that the programs have.
func TestChart(t *testing.T) {
	for _, set := range sets {
		t.Run(set.name, func(t *testing.T) {
			if out, err := run(t, set.values, "lint", "--strict", chart); err != nil {
				t.Fatalf("lint: %v\n%s", err, out)
			}
			out, err := run(t, set.values, "template", "test", chart, "--namespace", "there")
			if err != nil {
				t.Fatalf("template: %v\n%s", err, out)
			}
			all := parse(t, out)
			if len(all) != set.documents {
				t.Errorf("%d documents, want %d: %v", len(all), set.documents, all)
			}
			for _, problem := range check(t, all) {
				t.Error(problem)
			}
			checkFlags(t, all)
			checkArguments(t, all, "relay", set.relay)
			checkArguments(t, all, "appserver", set.appserver)
		})
	}
}

func checkArguments(t *testing.T, all []document, name string, want []string) {
	t.Helper()
	var args []string
	for _, d := range all {
		if d.Spec.Template != nil && d.Spec.Template.Spec.Containers[0].Name == name {
			args = d.Spec.Template.Spec.Containers[0].Args
		}
	}
	for _, arg := range want {
		if !slices.Contains(args, arg) {
			t.Errorf("%s is not among the arguments of %s: %q", arg, name, args)
		}
	}
}

// With nobody named, a policy lets nobody through: a rule with an empty list of peers would let everybody through.
func TestPolicyForNobody(t *testing.T) {
	out, err := run(t, "networkPolicy: {ingresses: [], operators: []}", "template", "test", chart)
	if err != nil {
		t.Fatal(out)
	}
	for _, d := range parse(t, out) {
		if d.Kind == "NetworkPolicy" && len(d.Spec.Ingress) != 0 {
			t.Errorf("%+v", d.Spec.Ingress)
		}
	}
}

// Values that cannot work are refused, by the schema or by the templates, with words that name them.
func TestChartRefuses(t *testing.T) {
	for values, want := range map[string]string{
		"relay: {colour: red}":                                                    "colour",
		"relay: {heartbeatInterval: soon}":                                        "heartbeatInterval",
		"relay: {windowBytes: 12}":                                                "windowBytes",
		"relay: {trustedNetworks: [everybody]}":                                   "trustedNetworks",
		"relay: {logLevel: loud}":                                                 "logLevel",
		"relay: {extraArgs: [listen]}":                                            "extraArgs",
		"appserver: {enabled: true}":                                              "relays",
		"appserver: {replicas: 0}":                                                "replicas",
		"relay: {serverCA: {secretName: ca}}":                                     "needs relay.tls.secretName",
		"relay: {jwt: {jwksUrl: \"http://x/\"}}":                                  "jwksUrl",
		"relay: {jwt: {jwksUrl: \"https://x/\", jwksSecret: {secretName: keys}}}": "both set",
	} {
		if out, err := run(t, values, "template", "test", chart); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, want %q in\n%s", values, err, want, out)
		}
	}
}

// The notes say where the relay is, and what is left open.
func TestNotes(t *testing.T) {
	out, err := run(t, "", "install", "test", chart, "--dry-run=client")
	if err != nil {
		t.Fatal(out)
	}
	for _, want := range []string{"test-holdfast-relay.default:7400", "holdfast doctor --addresses", "relay.trustedNetworks is empty", "No relay.jwt is set"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in the notes:\n%s", want, out)
		}
	}
}
