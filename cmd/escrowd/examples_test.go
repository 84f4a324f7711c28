package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// words takes a line apart as a shell would, as far as examples need it: quotes,
// and what stands before a redirection, a pipe or a remark. ok is false for a line
// that a shell fills in.
func words(line string) (list []string, ok bool) {
	var word strings.Builder
	quote, any := rune(0), false
	end := func() {
		if any {
			list = append(list, word.String())
		}
		word.Reset()
		any = false
	}
	for _, r := range line {
		switch {
		case r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, any = r, true
		case r == '#' && !any, r == '>', r == '|', r == '<':
			end()
			return list, true
		case r == '$' || r == '`':
			return nil, false
		case r == ' ':
			end()
		default:
			word.WriteRune(r)
			any = true
		}
	}
	end()
	return list, quote == 0
}

// forgetter answers a function that puts a parser back to what it is now: parsing
// leaves marks in the model, such as which flags were given.
func forgetter(t *testing.T, k *kong.Kong) func() {
	t.Helper()
	var undo []func()
	err := kong.Visit(k.Model, func(v kong.Visitable, next kong.Next) error {
		switch v := v.(type) {
		case *kong.Application:
			was := *v.Node
			undo = append(undo, func() { *v.Node = was })
		case *kong.Node:
			was := *v
			undo = append(undo, func() { *v = was })
		case *kong.Flag:
			was := *v
			undo = append(undo, func() { *v = was })
		case *kong.Value:
			was := *v
			undo = append(undo, func() { *v = was })
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		for _, f := range undo {
			f()
		}
	}
}

// Every example that a command's help gives, and every command in the README and
// the runbook, is one that escrowd takes.
func TestExamplesParse(t *testing.T) {
	for _, name := range []string{"ESCROWD_CONFIG", "ESCROWD_DATA", "ESCROWD_DATABASE_URL"} {
		t.Setenv(name, "")
	}
	parser, err := newParser(&cli{}, kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	// Making a parser takes far longer than parsing, so one takes all the lines.
	forget := forgetter(t, parser)
	parse := func(args []string) error {
		defer forget()
		_, err := parser.Parse(args)
		return err
	}
	tried := 0
	try := func(where, line string, whole bool) {
		if strings.HasPrefix(line, "ESCROWD_") { // its environment first
			_, line, _ = strings.Cut(line, " ")
		}
		line, ok := strings.CutPrefix(strings.TrimPrefix(line, "bin/"), "escrowd ")
		if !ok {
			return
		}
		args, ok := words(line)
		if !ok || len(args) == 0 || args[len(args)-1] == "--help" {
			return
		}
		tried++
		err := parse(args)
		if err != nil && !whole && (strings.HasPrefix(err.Error(), "missing ") || strings.HasPrefix(err.Error(), "expected ")) {
			return // a command that a sentence names
		}
		if err != nil {
			t.Errorf("%s: escrowd %s: %v", where, line, err)
		}
	}
	var walk func(n *kong.Node, path string)
	walk = func(n *kong.Node, path string) {
		for line := range strings.Lines(n.Detail) {
			if line, ok := strings.CutPrefix(line, "    "); ok {
				try(path+" --help", strings.TrimRight(line, "\n"), true)
			}
		}
		for _, child := range n.Children {
			walk(child, path+" "+child.Name)
		}
	}
	walk(parser.Model.Node, "escrowd")
	for _, file := range []string{"../../README.md", "../../docs/RUNBOOK.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if line, ok := strings.CutPrefix(line, "    "); ok {
				try(file, strings.TrimRight(line, "\n"), true)
				continue
			}
			for i, piece := range strings.Split(line, "`") {
				if i%2 == 1 {
					try(file, piece, false)
				}
			}
		}
	}
	if tried < 80 {
		t.Errorf("only %d examples were found", tried)
	}

	// A line that lent its flags to the next one would hide what that one lacks.
	full, _ := words("order preview-payment 17 --method=card")
	if err := parse(full); err != nil {
		t.Error(err)
	}
	if err := parse(full[:len(full)-1]); err == nil || !strings.Contains(err.Error(), "--method") {
		t.Errorf("without its --method: %v", err)
	}
}
