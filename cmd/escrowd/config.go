package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	kongyaml "github.com/alecthomas/kong-yaml"
	"gopkg.in/yaml.v3"
)

// loadConfig reads the file of --config. Kong's loader alone would let the file
// win over environment variables; a value in the environment is nearer to the
// one who starts the program, so here it wins. Also, a key that no flag answers
// to is an error: a misspelt key must not leave a default in force unnoticed.
func loadConfig(r io.Reader) (kong.Resolver, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	file, err := kongyaml.Loader(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	keys := map[string]any{}
	if err := yaml.Unmarshal(text, &keys); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return &config{file: file, keys: keys}, nil
}

// dropEmptyEnv makes an empty environment variable the same as none. To kong it
// would be a value: an empty file name, an unknown log level.
func dropEmptyEnv(app *kong.Application) error {
	return kong.Visit(app.Node, func(v kong.Visitable, next kong.Next) error {
		if f, ok := v.(*kong.Flag); ok {
			f.Tag.Envs = slices.DeleteFunc(slices.Clone(f.Tag.Envs), func(name string) bool { return os.Getenv(name) == "" })
		}
		return next(nil)
	})
}

type config struct {
	file kong.Resolver
	keys map[string]any
}

// Resolve answers the file's value for a flag: the one below the command's
// name, else the one at the top; nil if there is none, or if the environment
// has one.
func (c *config) Resolve(ctx *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if os.Getenv(name) != "" {
			return nil, nil
		}
	}
	v, err := c.file.Resolve(ctx, parent, flag)
	if v != nil || err != nil {
		return v, err
	}
	return c.file.Resolve(ctx, ctx.Path[0], flag)
}

// Validate refuses keys that are no flag's name.
func (c *config) Validate(app *kong.Application) error {
	known := map[string]bool{}
	var add func(n *kong.Node, path []string)
	add = func(n *kong.Node, path []string) {
		for _, f := range n.Flags {
			known[f.Name] = true
			known[strings.Join(append(slices.Clone(path), f.Name), "-")] = true
		}
		for _, child := range n.Children {
			add(child, append(slices.Clone(path), child.Name))
		}
	}
	add(app.Node, nil)
	// What cannot come from the file that it names, or is no setting.
	delete(known, "config")
	delete(known, "help")
	return unknownKey(c.keys, nil, known)
}

func unknownKey(keys map[string]any, path []string, known map[string]bool) error {
	for k, v := range keys {
		at := append(slices.Clone(path), k)
		if below, ok := v.(map[string]any); ok {
			if err := unknownKey(below, at, known); err != nil {
				return err
			}
		} else if !known[strings.Join(at, "-")] {
			return fmt.Errorf("configuration: no flag is called %q", strings.Join(at, "."))
		}
	}
	return nil
}
