package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: ${enum}."`
}

func (completionCmd) Help() string {
	return `Put it where the shell finds it, once:

    escrowd completion bash > /etc/bash_completion.d/escrowd
    escrowd completion zsh  > "${fpath[1]}/_escrowd"
    escrowd completion fish > ~/.config/fish/completions/escrowd.fish

or for this session only:

    source <(escrowd completion bash)`
}

// The scripts ask the binary itself for candidates, one a line with a tab
// before the description; so they never fall behind its flags. Where there is
// no candidate the shell completes file names.
var completionScripts = map[string]string{
	"bash": `_escrowd() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${line%%$'\t'*}")
    done < <(escrowd __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _escrowd escrowd
`,
	"zsh": `#compdef escrowd
_escrowd() {
    local -a found
    local line
    while IFS= read -r line; do
        # _describe takes "candidate:description".
        found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done < <(escrowd __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( ${#found} )); then
        _describe escrowd found
    else
        _files
    fi
}
if [[ "${funcstack[1]}" == _escrowd ]]; then
    _escrowd "$@"
else
    compdef _escrowd escrowd
fi
`,
	"fish": `function __escrowd_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found (escrowd __complete -- $words[2..-1] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c escrowd -f -a '(__escrowd_complete)'
`,
}

// Run prints the script.
func (c *completionCmd) Run(g *Globals) error {
	_, err := fmt.Fprint(g.Stdout, completionScripts[c.Shell])
	return err
}

type completeCmd struct {
	Words []string `arg:"" optional:""`
}

// Run prints what the last word could become, after the words before it.
func (c *completeCmd) Run(g *Globals, k *kong.Kong) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		words = []string{""}
	}
	for _, candidate := range candidates(k.Model, words) {
		if _, err := fmt.Fprintln(g.Stdout, candidate); err != nil {
			return err
		}
	}
	return nil
}

// candidates answers "word\tdescription" for each command, flag or enumerated
// value that the last of words could become.
func candidates(app *kong.Application, words []string) []string {
	node := app.Node
	flags := visibleFlags(app.HelpFlag, node)
	var wants *kong.Flag // the flag whose value comes next
	for _, w := range words[:len(words)-1] {
		switch {
		case wants != nil:
			wants = nil
		case strings.HasPrefix(w, "-"):
			if f := flagNamed(flags, w); f != nil && !f.IsBool() && !strings.Contains(w, "=") {
				wants = f
			}
		default:
			if child := childNamed(node, w); child != nil {
				node = child
				flags = append(flags, visibleFlags(nil, node)...)
			}
		}
	}
	last := words[len(words)-1]
	var found []string
	offer := func(word, help string) {
		if strings.HasPrefix(word, last) {
			found = append(found, word+"\t"+help)
		}
	}
	switch {
	case wants != nil:
		for _, v := range enumOf(wants.Value) {
			offer(v, "")
		}
	case strings.HasPrefix(last, "-"):
		for _, f := range flags {
			offer("--"+f.Name, f.Help)
		}
	default:
		for _, child := range node.Children {
			if !child.Hidden {
				offer(child.Name, child.Help)
			}
		}
		for _, p := range node.Positional {
			for _, v := range enumOf(p) {
				offer(v, "")
			}
		}
	}
	return found
}

func enumOf(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return v.EnumSlice()
}

func visibleFlags(help *kong.Flag, n *kong.Node) []*kong.Flag {
	var flags []*kong.Flag
	if help != nil {
		flags = append(flags, help)
	}
	for _, f := range n.Flags {
		if !f.Hidden && f != help {
			flags = append(flags, f)
		}
	}
	return flags
}

func flagNamed(flags []*kong.Flag, word string) *kong.Flag {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	i := slices.IndexFunc(flags, func(f *kong.Flag) bool {
		return f.Name == name || f.Short != 0 && string(f.Short) == name
	})
	if i < 0 {
		return nil
	}
	return flags[i]
}

func childNamed(n *kong.Node, name string) *kong.Node {
	for _, c := range n.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}
