// Package policyfile reads policies as people write them: YAML, of which JSON
// is a part, with comments, durations like 5d or 96h, and dates.
//
//	name: standard
//	effective: 2026-12-01     # or 2026-12-01T09:00:00Z; left out: at once
//	pay_within: 5d            # or 120h, 7200m, 432000
//	calendar: {name: cn, days: [2026-10-01, 2026-10-02]}
//	fees:
//	  "*": {bps: 500}
//	  USD: {bps: 500, min: 100} # amounts are minor units: 1.00
//
// What a document may say is read off the json tags of order.Policy, so a field
// that is added there is known here. Nothing is guessed at: an unknown field, a
// key that stands twice, a number with a point, an alias are mistakes, and all
// mistakes of a document are found at once, each with its line.
package policyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"escrowd/settlement/order"
)

// MaxSize is how many bytes a document may have: as many as a request.
const MaxSize = 64 << 10

// Mistake is one thing that is wrong with a document. Line and Column count
// from 1, the column in characters.
type Mistake struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Field  string `json:"field,omitempty"` // "" for the document as a whole
	Detail string `json:"detail"`
}

func (m Mistake) String() string {
	s := fmt.Sprintf("%s:%d:%d: ", m.File, m.Line, m.Column)
	if m.Field != "" {
		s += m.Field + ": "
	}
	return s + m.Detail
}

// Mistakes is all that is wrong with a document, from the top down.
type Mistakes []Mistake

func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

// Parse reads a document; file is what mistakes call it. A version in it is
// passed over, so that a policy that was listed can be edited and read: the
// store counts versions. The error is Mistakes.
func Parse(file string, text []byte) (order.Policy, error) {
	r := reader{file: file, at: map[string]*yaml.Node{}}
	var p order.Policy
	if root := r.document(text); root != nil {
		r.value(root, reflect.ValueOf(&p).Elem(), nil)
		r.validate(&p)
	}
	if len(r.found) > 0 {
		return order.Policy{}, r.mistakes()
	}
	p.Version = 0
	return p, nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// document is the one value of the text, nil if there is none.
func (r *reader) document(text []byte) *yaml.Node {
	if len(text) > MaxSize {
		r.bad(nil, nil, "the document is larger than %d bytes", MaxSize)
		return nil
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, next yaml.Node
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && doc.Kind != yaml.DocumentNode {
		r.bad(nil, nil, "the document is empty")
		return nil
	}
	if err == nil {
		if err = d.Decode(&next); errors.Is(err, io.EOF) {
			return doc.Content[0]
		}
		if err == nil {
			r.bad(&next, nil, "a second document begins: a file has one policy")
			return nil
		}
	}
	node := &yaml.Node{Line: 1, Column: 1}
	words := err.Error()
	if m := yamlLine.FindStringSubmatch(words); m != nil {
		words = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			node.Line = n
		}
	}
	// The library names the line in which what it was reading began.
	r.bad(node, nil, "not YAML, here or below: %s", words)
	return nil
}

// validate says what the policy's own rules say, at the field that they name,
// but for fields that could not be read: their values are not what was written.
func (r *reader) validate(p *order.Policy) {
	unread := slices.Clone(r.found)
	err := p.Validate()
	var fields order.FieldErrors
	if err != nil && !errors.As(err, &fields) {
		r.bad(nil, nil, "%v", err)
	}
	for _, f := range fields {
		path := f.Path.String()
		if i := slices.IndexFunc(unread, func(m Mistake) bool { return m.Field == path && m.Detail == missing }); i >= 0 {
			r.found[i].Detail += ": " + f.Detail
		} else if !slices.ContainsFunc(unread, func(m Mistake) bool { return within(m.Field, path) || within(path, m.Field) }) {
			r.bad(r.nearest(f.Path), f.Path, "%s", f.Detail)
		}
	}
}

// within reports whether the path inner is that of outer or of something in it.
func within(outer, inner string) bool {
	rest, ok := strings.CutPrefix(inner, outer)
	return ok && (outer == "" || rest == "" || rest[0] == '[' || rest[0] == '.')
}

// nearest is where a path stands in the document, or the nearest that is there
// of what it stands in.
func (r *reader) nearest(path order.Path) *yaml.Node {
	for {
		if n := r.at[path.String()]; n != nil || len(path) == 0 {
			return n
		}
		path = path[:len(path)-1]
	}
}
