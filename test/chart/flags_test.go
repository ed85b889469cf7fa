package chart_test

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"testing"
)

// toCome are flags that the chart can set and the programs do not have yet. One that has come is to be taken off this list.
var toCome = map[string][]string{
	"relay": {
		"--tls-cert", "--tls-key", "--admin-tls-cert", "--admin-tls-key", "--admin-token-file", "--server-ca", "--server-identities",
		"--jwt-jwks", "--jwt-key", "--jwt-issuer", "--jwt-audience", "--insecure",
		"--max-connections", "--max-connections-per-address", "--max-connections-per-identity", "--connection-rate", "--message-rate",
	},
	"appserver": {"--tls-ca", "--tls-cert", "--tls-key", "--tls-server-name"},
}

var flagName = regexp.MustCompile(`--[a-z][a-z0-9-]*`)

// helps has what each program says of itself, by its name.
var helps = sync.OnceValues(func() (map[string]map[string]bool, error) {
	flags := map[string]map[string]bool{}
	for name, args := range map[string][]string{
		"relay": {"./services/relay", "--help"}, "appserver": {"./services/appserver", "--help"}, "doctor": {"./cmd/holdfast", "doctor", "--help"},
	} {
		run := exec.Command("go", append([]string{"run"}, args...)...)
		run.Dir = "../.."
		out, err := run.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", name, err, out)
		}
		flags[name] = map[string]bool{}
		for _, flag := range flagName.FindAllString(string(out), -1) {
			flags[name][flag] = true
		}
	}
	return flags, nil
})

// checkFlags looks whether the programs have the flags that the containers give them.
func checkFlags(t *testing.T, all []document) (checked int) {
	t.Helper()
	flags, err := helps()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if d.Spec.Template == nil {
			continue
		}
		for _, c := range d.Spec.Template.Spec.Containers {
			if len(c.Args) == 0 {
				continue
			}
			name, args := c.Args[0], c.Args[1:]
			if name == "holdfast" {
				name, args = args[0], args[1:]
			}
			for _, arg := range args {
				flag := flagName.FindString(arg)
				checked++
				if !flags[name][flag] && !slices.Contains(toCome[name], flag) {
					t.Errorf("%s: %s has no flag %s (in %q)", d, name, flag, arg)
				}
			}
		}
	}
	return checked
}

// A flag that has come to exist is not one to come.
func TestFlagsToCome(t *testing.T) {
	flags, err := helps()
	if err != nil {
		t.Fatal(err)
	}
	for name, list := range toCome {
		if len(flags[name]) < 10 {
			t.Errorf("%s --help shows %d flags; too few to be true", name, len(flags[name]))
		}
		for _, flag := range list {
			if flags[name][flag] {
				t.Errorf("%s has %s now: take it off the list of flags to come", name, flag)
			}
		}
	}
}
