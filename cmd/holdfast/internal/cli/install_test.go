package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "holdfast")
	for range 2 { // The second time takes the place of the first.
		call(t, "install", path).expect(t, 0, "installed "+path+"\n", "")
	}
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d: %v", len(got), len(want), err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if got := call(t, "install", filepath.Join(dir, "nowhere", "holdfast")); got.code != 1 || !strings.Contains(got.errs, "nowhere") {
		t.Errorf("%+v", got)
	}
	if got := call(t, "install", dir); got.code != 1 || !strings.Contains(got.errs, dir) { // A folder is there.
		t.Errorf("%+v", got)
	}
}
