package page

import (
	"bytes"
	"errors"
	"image"
	_ "image/gif" // decoded, never written
	"image/jpeg"
	"image/png"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // decoded, never written

	"pec-ingest/internal/safetext"
)

// How many pixels are decoded at most, since a few kB may claim to be
// gigabytes: a JPEG takes 1.5 to 3 bytes a pixel, the others up to 8.
const (
	maxJPEG   = 50 << 20 // a telephone's largest
	maxPixels = 12 << 20
)

// redrawing is held while a picture is drawn: one at a time, for the memory.
var redrawing sync.Mutex

// maxSide is how large a picture is shown.
const maxSide = 1600

var errNoPicture = errors.New("page: not a picture that can be shown")

// redraw decodes a foreign picture and draws it anew, turned as its camera
// says and made smaller: no byte of the file reaches the browser. Errors
// are errNoPicture or the decoder's.
func redraw(data []byte) (out []byte, contentType string, err error) {
	defer func() {
		if recover() != nil { // a decoder that trips over a foreign file
			out, contentType, err = nil, "", errNoPicture
		}
	}()
	c, kind, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, "", err
	}
	most := maxPixels
	if kind == "jpeg" {
		most = maxJPEG
	}
	if c.Width < 1 || c.Height < 1 || c.Width > most/c.Height {
		return nil, "", errNoPicture
	}
	redrawing.Lock()
	defer redrawing.Unlock()
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, "", err
	}
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	if most := max(w, h); most > maxSide {
		w, h = max(1, w*maxSide/most), max(1, h*maxSide/most)
	}
	canvas := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(canvas, canvas.Bounds(), image.White, image.Point{}, draw.Src)
	draw.ApproxBiLinear.Scale(canvas, canvas.Bounds(), img, b, draw.Over, nil)
	var buf bytes.Buffer
	if kind == "jpeg" {
		err = jpeg.Encode(&buf, turn(canvas, orientation(data)), &jpeg.Options{Quality: 88})
		return buf.Bytes(), "image/jpeg", err
	}
	err = png.Encode(&buf, canvas)
	return buf.Bytes(), "image/png", err
}

// turn applies an EXIF orientation, 1 to 8.
func turn(src *image.RGBA, o int) image.Image {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	if o < 2 || o > 8 {
		return src
	}
	dw, dh := w, h
	if o >= 5 {
		dw, dh = h, w
	}
	dst := image.NewRGBA(image.Rect(0, 0, dw, dh))
	for y := range h {
		for x := range w {
			dx, dy := x, y
			switch o {
			case 2:
				dx = w - 1 - x
			case 3:
				dx, dy = w-1-x, h-1-y
			case 4:
				dy = h - 1 - y
			case 5:
				dx, dy = y, x
			case 6:
				dx, dy = h-1-y, x
			case 7:
				dx, dy = h-1-y, w-1-x
			case 8:
				dx, dy = y, w-1-x
			}
			dst.SetRGBA(dx, dy, src.RGBAAt(x, y))
		}
	}
	return dst
}

// isPicture tells whether a type is one that redraw reads.
func isPicture(mediaType string) bool {
	switch mediaType {
	case "image/png", "image/jpeg", "image/jpg", "image/pjpeg", "image/gif", "image/webp":
		return true
	}
	return false
}

// IsPicture tells templates whether a file can be shown.
func (frame) IsPicture(f FileInfo) bool { return isPicture(strings.ToLower(f.Type)) }

// reviewFile gives a file of an item: a picture drawn anew, or with ?scarica,
// and for anything else, the file itself to be saved, never to be opened here.
func (p *Page) reviewFile(w http.ResponseWriter, r *http.Request, who Person) error {
	n, err := number(r, "n")
	if err != nil {
		return err
	}
	file, err := number(r, "file")
	if err != nil {
		return err
	}
	// Shown or saved from the page itself: a browser says so (Fetch Metadata).
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return &Problem{Kind: kindNotAllowed}
	}
	info, data, err := p.o.Source.ReviewFile(r.Context(), who.actor(), n, file)
	if err != nil {
		return err
	}
	defer clear(data)
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	if !r.URL.Query().Has("scarica") {
		out, contentType, err := redraw(data)
		if err != nil {
			return &Problem{Kind: KindNotFound, Detail: "this file is no picture that can be shown"}
		}
		h.Set("Content-Type", contentType)
		h.Set("Content-Length", strconv.Itoa(len(out)))
		_, _ = w.Write(out)
		return nil
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": fileName(info.Name, file)}))
	h.Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
	return nil
}

// fileName is a name for a foreign file that no system reads as a path or as
// something hidden.
func fileName(name string, n int) string {
	name = path.Base(strings.ReplaceAll(safetext.LineN(name, 80), `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/:*?"<>|`, r) {
			return '_'
		}
		return r
	}, name)
	if name = strings.TrimLeft(name, ". "); name == "" {
		return "file-" + strconv.Itoa(n)
	}
	return name
}
