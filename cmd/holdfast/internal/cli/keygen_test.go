package cli

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

func TestKeygen(t *testing.T) {
	text, again := call(t, "keygen"), call(t, "keygen")
	line, ended := strings.CutSuffix(text.out, "\n")
	if key, err := base64.StdEncoding.DecodeString(line); text.code != 0 || text.errs != "" || !ended || err != nil || len(key) != keySize {
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
