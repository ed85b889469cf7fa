package cli

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeygen(t *testing.T) {
	text, again := call(t, "keygen"), call(t, "keygen")
	line, ended := strings.CutSuffix(text.out, "\n")
	if key, err := base64.StdEncoding.DecodeString(line); text.code != 0 || text.errs != "" || !ended || err != nil || len(key) != 32 {
		t.Errorf("%+v: %d bytes, %v", text, len(key), err)
	}
	if text.out == again.out {
		t.Errorf("the same key twice: %q", text.out)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(call(t, "--output=json", "keygen").out), &got); err != nil || len(got["key"]) != len(line) {
		t.Errorf("as JSON: %v, %v", got, err)
	}
}

func TestKeygenToAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	call(t, "keygen", path).expect(t, 0, "wrote a fresh key to "+path+"\n", "")
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	call(t, "keygen", path).expect(t, 0, path+" is there; it is left as it is\n", "")
	if now, err := os.ReadFile(path); err != nil || string(now) != string(first) {
		t.Errorf("it was changed: %v", err)
	}
	if got := call(t, "keygen", filepath.Join(path, "keys")); got.code != 1 || !strings.Contains(got.errs, "keygen "+path) {
		t.Errorf("%+v", got)
	}
}
