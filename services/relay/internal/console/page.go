package console

import (
	"bytes"
	"embed"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed page
var files embed.FS

// kinds are the types of the files. Those of the machine may say something else, and the page forbids guessing.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// addPage serves the files of the page, index.html as "/".
func addPage(mux *http.ServeMux) {
	for name, content := range pageFiles() {
		pattern := "GET /" + name
		if name == "index.html" {
			pattern = "GET /{$}"
		}
		kind := kinds[path.Ext(name)]
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			if name == "icon.svg" { // a browser asks for it again whenever it likes, also while the relay is away
				w.Header().Set("Cache-Control", "max-age=86400")
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		})
	}
}

// pageFiles returns the files by their name. They are part of the program, so that reading them does not fail.
func pageFiles() map[string][]byte {
	all := make(map[string][]byte)
	entries, err := fs.ReadDir(files, "page")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		content, err := files.ReadFile("page/" + e.Name())
		if err != nil {
			panic(err)
		}
		all[e.Name()] = content
	}
	return all
}
