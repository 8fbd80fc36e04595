package notify

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"pec-ingest/internal/safetext"
)

//go:embed all:templates
var builtin embed.FS

// Langs are the languages with built-in texts; the first is the default.
var Langs = []string{"it", "en"}

var (
	// ErrTemplate: a template file is wrong. The error names file and line.
	ErrTemplate = errors.New("notify: template")
	// ErrUnknownKind: there is no such message.
	ErrUnknownKind = errors.New("notify: no such kind of message")
)

// partials is the file of each language that holds what its templates share.
const partials = "_shared"

// maxTemplate bounds a template file, in bytes.
const maxTemplate = 64 << 10

// Templates are the texts of all messages, checked. They are safe for
// concurrent use.
type Templates struct {
	byLang map[string]*template.Template
}

// LoadTemplates reads the built-in texts and puts those in dir ("" = none)
// over them. A file there is called LANG/KIND.txt, such as it/expiring.txt, or
// LANG/_shared.txt for the parts that all share; those not there stay built in.
//
// A template's first line is "Subject: …", then an empty line, then the body:
// paragraphs separated by empty lines, "1. " and "- " begin list items, "! "
// the sentence that matters most.
//
// Everything is tried with sample data, and every field named anywhere must
// exist, also in branches not taken: a mistake is found here and not at
// sending. Errors wrap ErrTemplate. Files with other names are errors too: a
// text that nobody ever sees was not meant.
func LoadTemplates(dir string) (*Templates, error) {
	t := &Templates{byLang: map[string]*template.Template{}}
	for _, lang := range Langs {
		set := template.New(lang).Option("missingkey=error").Funcs(functions(lang))
		for _, name := range templateNames() {
			file := path.Join("templates", lang, name+".txt")
			b, err := builtin.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
			}
			if err := parseInto(set, name, file, string(b)); err != nil {
				return nil, err
			}
		}
		t.byLang[lang] = set
	}
	if dir != "" {
		if err := t.override(dir); err != nil {
			return nil, err
		}
	}
	return t, t.check()
}

func templateNames() []string {
	names := []string{partials}
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return names
}

// override reads the studio's own files over the built-in ones.
func (t *Templates) override(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	known := map[string]bool{}
	for _, n := range templateNames() {
		known[n+".txt"] = true
	}
	for _, lang := range Langs {
		entries, err := os.ReadDir(filepath.Join(dir, lang))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrTemplate, err)
		}
		for _, e := range entries {
			file := filepath.Join(dir, lang, e.Name())
			if strings.HasPrefix(e.Name(), ".") || strings.HasSuffix(e.Name(), "~") {
				continue // an editor's
			}
			if !known[e.Name()] {
				return fmt.Errorf("%w: %s: no message has this name; there are %s", ErrTemplate, file, strings.Join(templateNames(), ".txt, ")+".txt")
			}
			b, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrTemplate, err)
			}
			if len(b) > maxTemplate {
				return fmt.Errorf("%w: %s: larger than %d bytes", ErrTemplate, file, maxTemplate)
			}
			if err := parseInto(t.byLang[lang], strings.TrimSuffix(e.Name(), ".txt"), file, string(b)); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseInto adds a file to a language's set, and checks the fields it names.
func parseInto(set *template.Template, name, file, text string) error {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	one, err := set.New(name).Parse(text)
	if err != nil {
		return fmt.Errorf("%w: %s: %s", ErrTemplate, file, strings.TrimPrefix(err.Error(), "template: "))
	}
	if err := checkFields(one); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrTemplate, file, err)
	}
	return nil
}

// check renders every message with sample data.
func (t *Templates) check() error {
	for _, lang := range Langs {
		for _, d := range samples(lang) {
			for _, k := range Kinds() {
				if _, err := t.Render(k, d); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Render makes the message of a kind. Errors wrap ErrUnknownKind or
// ErrTemplate; after LoadTemplates the latter can only come from data that no
// sample has.
func (t *Templates) Render(k Kind, d Data) (Rendered, error) {
	lang := d.Lang
	if t.byLang[lang] == nil {
		lang = Langs[0]
	}
	if !slices.Contains(Kinds(), k) {
		return Rendered{}, fmt.Errorf("%w: %q", ErrUnknownKind, safetext.LineN(string(k), 40))
	}
	var b bytes.Buffer
	if err := t.byLang[lang].ExecuteTemplate(&b, string(k), clean(d)); err != nil {
		return Rendered{}, fmt.Errorf("%w: %s/%s: %s", ErrTemplate, lang, k, strings.TrimPrefix(err.Error(), "template: "))
	}
	first, body, _ := strings.Cut(b.String(), "\n")
	subject, ok := strings.CutPrefix(first, "Subject:")
	subject = safetext.LineN(strings.TrimSpace(subject), 200)
	if !ok || subject == "" {
		return Rendered{}, fmt.Errorf("%w: %s/%s: the first line is not \"Subject: …\"", ErrTemplate, lang, k)
	}
	blocks := parseBlocks(body)
	if len(blocks) == 0 {
		return Rendered{}, fmt.Errorf("%w: %s/%s: no text below the subject", ErrTemplate, lang, k)
	}
	return Rendered{Subject: subject, Text: plainText(blocks), HTML: htmlText(blocks, subject, lang)}, nil
}
