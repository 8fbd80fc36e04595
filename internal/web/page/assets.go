package page

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// AssetPrefix is where style, script and pictures lie.
const AssetPrefix = "/assets/"

//go:embed assets templates
var files embed.FS

// An asset's address carries a hash of its content, so that it may be kept
// for ever and is never the one of another release.
type asset struct {
	contentType string
	body        []byte
}

var assetPaths, assetsByName = readAssets()

func readAssets() (paths map[string]string, byName map[string]asset) {
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	paths, byName = map[string]string{}, map[string]asset{}
	list, err := fs.ReadDir(files, "assets")
	if err != nil {
		panic(err) // embedded: can't fail in a program that was built
	}
	for _, f := range list {
		body, err := files.ReadFile("assets/" + f.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		ext := path.Ext(f.Name())
		name := strings.TrimSuffix(f.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext
		paths[f.Name()], byName[name] = AssetPrefix+name, asset{types[ext], body}
	}
	return paths, byName
}

// AssetPath is the address of an asset: "style.css", "page.js", "icon.svg".
// It is "" for one that is not there.
func AssetPath(name string) string { return assetPaths[name] }

func serveAsset(w http.ResponseWriter, r *http.Request) {
	a, ok := assetsByName[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.body)
}
