// Package readme_test runs the grpcurl calls of the README with the real grpcurl against the real programs.
package readme_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// answers says what the answer to each call of the README must have, in the order of the calls.
var answers = []string{
	`"text": "hello"`,
	`"binary": "AAEC"`,
	`"name": "b"`,
	`"serverConnectionId": "readme/`,
	`"connectionId":`,
	`"safeToReload": true`,
	`{}`,
}

func TestGrpcurlCalls(t *testing.T) {
	grpcurl := find(t)
	calls := readCalls(t)
	if len(calls) != len(answers) {
		t.Fatalf("the README has %d grpcurl calls, the test knows %d: %q", len(calls), len(answers), calls)
	}
	ports := start(t)
	hold(t, ports["127.0.0.1:8090"])
	for i, call := range calls {
		for documented, actual := range ports {
			call = strings.ReplaceAll(call, documented, actual)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := exec.CommandContext(ctx, "bash", "-c", call)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(grpcurl)+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil || !strings.Contains(string(out), answers[i]) {
			t.Errorf("%s: %v, want %s in the answer:\n%s", calls[i], err, answers[i], out)
		}
	}
}

// find returns the real grpcurl. The test set-up builds it.
func find(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("grpcurl"); err == nil {
		return path
	}
	path, err := filepath.Abs("../../bin/tools/grpcurl")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("SKIPPED: grpcurl is not installed, so that the calls of the README are not tried; make setup builds it")
	}
	return path
}

func readCalls(t *testing.T) []string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^grpcurl .+$`).FindAllString(string(readme), -1)
}

// start builds and starts what the README says, on free ports, and returns the documented addresses with the actual
// ones.
func start(t *testing.T) map[string]string {
	t.Helper()
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./services/relay", "./services/appserver", "./cmd/holdfast")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	ports := map[string]string{
		"127.0.0.1:7400": freeAddress(t), "127.0.0.1:7401": freeAddress(t), "127.0.0.1:8080": freeAddress(t), "127.0.0.1:8090": freeAddress(t),
	}
	run(t, bin, "relay", "--listen", ports["127.0.0.1:7400"], "--admin-listen", ports["127.0.0.1:7401"])
	for id, address := range map[string]string{"a": ports["127.0.0.1:8080"], "b": ports["127.0.0.1:8090"]} {
		run(t, bin, "holdfast", "ingress", "--id", id, "--listen", address, "--upstream", ports["127.0.0.1:7400"])
	}
	health := freeAddress(t)
	run(t, bin, "appserver", "--server-id", "readme", "--listen", health,
		"--relays", ports["127.0.0.1:8080"]+","+ports["127.0.0.1:8090"])
	servers := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, filepath.Join(bin, "holdfast"), "--admin", ports["127.0.0.1:7401"], "list", "servers").Output()
		return err == nil && strings.Count(string(out), "readme/") == 2
	}
	for deadline := time.Now().Add(20 * time.Second); !servers(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the app server did not attach through both ingresses")
		}
	}
	return ports
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// run starts a program and ends it, and waits for it, at the end of the test.
func run(t *testing.T, bin, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, name), args...)
	log, err := os.CreateTemp(t.TempDir(), name)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(15*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		err := cmd.Wait()
		_ = log.Close()
		if err != nil || t.Failed() {
			out, _ := os.ReadFile(log.Name())
			t.Logf("%s ended: %v\n%s", name, err, out)
		}
	})
}

// hold keeps a client connected through the address, so that there is one to list.
func hold(t *testing.T, address string) {
	t.Helper()
	grpcurl := find(t)
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, grpcurl, "-plaintext", "-d", "@", address, "holdfast.v1.ClientConnectionService/Connect")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	if _, err := in.Write([]byte(`{"text":"held"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(make([]byte, 256)); n == 0 { // the echo: it is connected
		t.Fatalf("no echo: %v", err)
	}
}
