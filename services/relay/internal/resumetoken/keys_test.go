package resumetoken

import (
	"encoding/base64"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// reason signs with one and verifies with the other.
func reason(t *testing.T, signer, verifier *Keys) string {
	t.Helper()
	token, err := signer.Sign(some())
	if err != nil {
		t.Fatal(err)
	}
	_, err = verifier.Verify(token, noon)
	return wire.ErrorReasonOf(err)
}

// A key is replaced in three steps, one relay after the other, and at no time does a token of one not do at another.
func TestRotation(t *testing.T) {
	t.Parallel()
	steps := []string{
		line('a'),
		"# the next one verifies first\n" + line('a') + "\n\n  " + line('b') + "\r\n",
		line('b') + "\n" + line('a'),
		line('b') + "\n",
	}
	one, first := open(t, steps[0])
	two, second := open(t, steps[0])
	early, err := one.Sign(some())
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range steps {
		for _, file := range []string{first, second} {
			write(t, file, step)
			if a, b := reason(t, one, two), reason(t, two, one); a != "" || b != "" {
				t.Errorf("step %d: %q, %q", i, a, b)
			}
		}
	}
	if _, err := one.Verify(early, noon); wire.ErrorReasonOf(err) != "RESUME_TOKEN_INVALID" {
		t.Errorf("a token of the key that was taken out: %v", err)
	}
}

// The first key signs, and its name is the same wherever it is read.
func TestFirstKeySigns(t *testing.T) {
	t.Parallel()
	both, _ := open(t, line('b')+"\n"+line('a'))
	a, _ := open(t, line('a'))
	b, _ := open(t, line('b'))
	if got := []string{reason(t, both, a), reason(t, both, b), reason(t, a, both), reason(t, b, both)}; got[0] != "RESUME_TOKEN_INVALID" ||
		got[1] != "" || got[2] != "" || got[3] != "" {
		t.Errorf("got %q", got)
	}
}

// Without a file each relay has a key of its own.
func TestNoFile(t *testing.T) {
	t.Parallel()
	var all [2]*Keys
	for i := range all {
		keys, err := New(&config.Security{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = keys
	}
	if own, other := reason(t, all[0], all[0]), reason(t, all[0], all[1]); own != "" || other != "RESUME_TOKEN_INVALID" {
		t.Errorf("at home %q, elsewhere %q", own, other)
	}
}

// badFiles are by what is said of them.
var badFiles = map[string]string{
	"no key in it":                   "",
	"no key in it: want at":          "# " + line('a') + "\n\n",
	"line 2 is not base64":           line('a') + "\nsecret, very secret\n",
	"line 1 is not base64":           strings.TrimRight(line('s'), "="),
	"line 3: a key of 31 bytes":      "#\n\n" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", minSecret-1))),
	"line 4: the same key as on lin": line('a') + "\n#\n" + line('s') + "\n" + line('a'),
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "keys")
	for want, content := range badFiles {
		write(t, name, content)
		_, err := New(&config.Security{ResumeKeyFile: name}, nil)
		if err == nil {
			t.Errorf("%q was taken", content)
			continue
		}
		for _, part := range []string{"--resume-key-file", name, want} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %v does not say %q", content, err, part)
			}
		}
		for secret := range strings.Lines(content) {
			if secret = strings.TrimSpace(secret); len(secret) > 5 && strings.Contains(err.Error(), secret) {
				t.Errorf("the error says the key: %v", err)
			}
		}
	}
	if _, err := New(&config.Security{ResumeKeyFile: "/nowhere"}, nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
}

// A file that turns bad changes nothing, and the log says why, but not the key.
func TestFileTurnsBad(t *testing.T) {
	t.Parallel()
	for want, content := range badFiles {
		name := filepath.Join(t.TempDir(), "keys")
		write(t, name, line('a'))
		var log strings.Builder
		keys, err := New(&config.Security{ResumeKeyFile: name}, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		old, _ := open(t, line('a'))
		write(t, name, content)
		if there, back := reason(t, keys, old), reason(t, old, keys); there != "" || back != "" {
			t.Errorf("%q: %q, %q", content, there, back)
		}
		if !strings.Contains(log.String(), want) || strings.Contains(log.String(), "very secret") {
			t.Errorf("the log should say %q, and no key: %s", want, log.String())
		}
	}
}

// Whatever the file says, it is taken with keys that are long enough, or refused.
func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(line('a') + "\r\n# \n" + line('b')))
	for _, content := range badFiles {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := parse(content)
		if (err == nil) != (len(r) > 0) {
			t.Fatalf("%d keys, %v", len(r), err)
		}
		for i, k := range r {
			if len(k.secret) < minSecret || len(r.find(k.id)) == 0 || string(r[:i].find(k.id)) != "" {
				t.Errorf("taken: a key of %d bytes, %q", len(k.secret), k.id)
			}
		}
	})
}
