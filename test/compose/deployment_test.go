package compose_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	project = "holdfast-compose-test"
	// Not the subnet of docker-compose.yml, so that a deployment that runs here already is left alone.
	subnet = "172.30.75.0/24"
	// What stand-ins.sh exits with when base images can be had in no way.
	exitCannot = 77

	wholeTimeout   = 20 * time.Minute
	waitTimeout    = 2 * time.Minute
	cleanupTimeout = time.Minute
)

// deployment is docker-compose.yml under a project name of its own.
type deployment struct {
	t       *testing.T
	root    string   // of the repository
	compose []string // the command, its files and its project
}

// bounded ends soon enough for the cleanup to come before the deadline of the test binary.
func bounded(t *testing.T) context.Context {
	t.Helper()
	end := time.Now().Add(wholeTimeout)
	if deadline, ok := t.Deadline(); ok && deadline.Add(-cleanupTimeout).Before(end) {
		end = deadline.Add(-cleanupTimeout)
	}
	ctx, cancel := context.WithDeadline(t.Context(), end)
	t.Cleanup(cancel)
	return ctx
}

// newDeployment skips the test where there is nothing to deploy on.
func newDeployment(ctx context.Context, t *testing.T) *deployment {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	d := &deployment{t: t, root: root}
	if _, err := d.run(ctx, "docker", "version"); err != nil {
		t.Skipf("SKIPPED: the compose deployment was NOT tested: no Docker engine answers: %v", err)
	}
	for _, command := range [][]string{{"docker", "compose"}, {"docker-compose"}} {
		if _, err := d.run(ctx, append(slices.Clone(command), "version")...); err == nil {
			d.compose = append(command, "--project-name", project,
				"--file", filepath.Join(root, "docker-compose.yml"),
				"--file", filepath.Join(root, "test/compose/report-json.yml"))
			break
		}
	}
	if d.compose == nil {
		t.Skip("SKIPPED: the compose deployment was NOT tested: neither docker compose nor docker-compose is installed")
	}
	d.lock(ctx)
	return d
}

// lock keeps two runs of this test on one machine apart: they share the project name and the image.
func (d *deployment) lock(ctx context.Context) {
	d.t.Helper()
	f, err := os.OpenFile(filepath.Join(os.TempDir(), project+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = f.Close() })
	for syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		select {
		case <-ctx.Done():
			d.t.Fatalf("another run of this test holds %s", f.Name())
		case <-time.After(time.Second):
		}
	}
}

// prepareImages makes sure of the base images, by pulling or by stand-ins.
func (d *deployment) prepareImages(ctx context.Context) {
	d.t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	out, err := d.run(ctx, filepath.Join(d.root, "test/compose/stand-ins.sh"), filepath.Join(cache, "holdfast-stand-ins"))
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == exitCannot {
		d.t.Skipf("SKIPPED: the compose deployment was NOT tested: no base images: %v", err)
	}
	if err != nil {
		d.t.Fatalf("base images: %v\n%s", err, out)
	}
}

// up takes away what a killed run may have left, builds and starts; it is all taken down at the end.
func (d *deployment) up(ctx context.Context) {
	d.t.Helper()
	d.mustCompose(ctx, "down", "--volumes", "--remove-orphans")
	d.t.Cleanup(d.down)
	d.mustCompose(ctx, "build")
	d.mustCompose(ctx, "up", "--detach")
}

func (d *deployment) down() {
	// The test's own context is over by now.
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if d.t.Failed() {
		ps, _ := d.run(ctx, append(slices.Clone(d.compose), "ps")...)
		logs, _ := d.run(ctx, append(slices.Clone(d.compose), "logs", "--no-color", "--tail=40")...)
		d.t.Logf("at the failure:\n%s\n%s", ps, logs)
	}
	if _, err := d.run(ctx, append(slices.Clone(d.compose), "down", "--volumes", "--remove-orphans", "--timeout=5")...); err != nil {
		d.t.Errorf("down: %v", err)
	}
}

// watching are the services of the profile observability, which is not started here. The older docker-compose lists them all
// the same. The service keys ends by itself.
var unwatched = []string{"otel-collector", "jaeger", "prometheus", "grafana", "keys"}

// waitHealthy waits for the healthchecks of all services.
func (d *deployment) waitHealthy(ctx context.Context) {
	d.t.Helper()
	for _, service := range strings.Fields(d.mustCompose(ctx, "config", "--services")) {
		if slices.Contains(unwatched, service) {
			continue
		}
		id := d.container(ctx, service)
		d.eventually(ctx, service+" is healthy", func() (bool, string) {
			health := d.must(ctx, "docker", "inspect", "--format", "{{.State.Health.Status}}", id)
			return health == "healthy", health
		})
	}
}

// nginxWorkers are the process ids of an ingress's workers, those that are shutting down included.
func (d *deployment) nginxWorkers(ctx context.Context, service string) []string {
	d.t.Helper()
	var pids []string
	for line := range strings.Lines(d.must(ctx, "docker", "top", d.container(ctx, service), "-eo", "pid,args")) {
		if pid, args, _ := strings.Cut(strings.TrimSpace(line), " "); strings.Contains(args, "worker process") {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (d *deployment) container(ctx context.Context, service string) string {
	d.t.Helper()
	id := d.mustCompose(ctx, "ps", "--quiet", service)
	if id == "" {
		d.t.Fatalf("%s has no container", service)
	}
	return id
}

// eventually asks again until the answer is yes; the state is for the error.
func (d *deployment) eventually(ctx context.Context, what string, ask func() (bool, string)) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	for {
		ok, state := ask()
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			d.t.Fatalf("waited in vain until %s: %s", what, state)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (d *deployment) mustCompose(ctx context.Context, args ...string) string {
	d.t.Helper()
	return d.must(ctx, append(slices.Clone(d.compose), args...)...)
}

func (d *deployment) must(ctx context.Context, command ...string) string {
	d.t.Helper()
	out, err := d.run(ctx, command...)
	if err != nil {
		d.t.Fatalf("%v\n%s", err, tail(out, 40))
	}
	return out
}

// run returns the command's standard output; the error has the end of its standard error.
func (d *deployment) run(ctx context.Context, command ...string) (string, error) {
	d.t.Helper()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = d.root
	cmd.Env = append(os.Environ(),
		// Any free port on the host will do.
		"INGRESS_A_PORT=", "INGRESS_B_PORT=", "ADMIN_PORT=", "ADMIN_2_PORT=",
		"WEBSOCKET_A_PORT=", "WEBSOCKET_B_PORT=", "CORE_SUBNET="+subnet)
	// What the command started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	if took := time.Since(start); took > 2*time.Second {
		d.t.Logf("%s: %v", strings.Join(command[max(0, len(command)-3):], " "), took.Round(100*time.Millisecond))
	}
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, tail(stderr.String(), 40))
	}
	return strings.TrimSpace(stdout.String()), err
}
