package policyfile

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"escrowd/settlement/order"
)

// reader walks a document and the Go value that it fills side by side.
type reader struct {
	file  string
	at    map[string]*yaml.Node // by path: the value's place
	found Mistakes
}

func (r *reader) bad(n *yaml.Node, path order.Path, format string, args ...any) {
	m := Mistake{File: r.file, Line: 1, Column: 1, Field: path.String(), Detail: fmt.Sprintf(format, args...)}
	if n != nil && n.Line > 0 {
		m.Line, m.Column = n.Line, n.Column
	}
	r.found = append(r.found, m)
}

func (r *reader) mistakes() Mistakes {
	slices.SortStableFunc(r.found, func(a, b Mistake) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
	return r.found
}

var (
	secondsType = reflect.TypeFor[order.Seconds]()
	timeType    = reflect.TypeFor[time.Time]()
	dayType     = reflect.TypeFor[order.Day]()
)

// value reads n into dst. path is where n stands.
func (r *reader) value(n *yaml.Node, dst reflect.Value, path order.Path) {
	r.at[path.String()] = n
	if n.Kind == yaml.AliasNode {
		r.bad(n, path, "must be written out: aliases are not read")
		return
	}
	switch t := dst.Type(); {
	case t == secondsType:
		read(r, n, dst, path, parseSeconds)
	case t == timeType:
		read(r, n, dst, path, parseTime)
	case t == dayType:
		read(r, n, dst, path, parseDay)
	case t.Kind() == reflect.Pointer:
		dst.Set(reflect.New(t.Elem()))
		r.value(n, dst.Elem(), path)
	case t.Kind() == reflect.Struct:
		if r.is(n, yaml.MappingNode, "fields with values", path) {
			r.object(n, dst, path)
		}
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		if r.is(n, yaml.MappingNode, "names with values", path) {
			r.dictionary(n, dst, path)
		}
	case t.Kind() == reflect.Slice:
		if r.is(n, yaml.SequenceNode, "a list", path) {
			r.list(n, dst, path)
		}
	case t.Kind() == reflect.String:
		read(r, n, dst, path, parseText)
	case t.Kind() == reflect.Bool:
		read(r, n, dst, path, parseBool)
	case dst.CanInt():
		r.integer(n, dst, path)
	default:
		// A slip in order.Policy, which the package's test finds.
		panic(fmt.Sprintf("policyfile: %s: a %s cannot be read", path, t))
	}
}

var standardTags = map[yaml.Kind]string{yaml.MappingNode: "!!map", yaml.SequenceNode: "!!seq"}

func (r *reader) is(n *yaml.Node, kind yaml.Kind, what string, path order.Path) bool {
	if n.Kind == kind && n.Tag == standardTags[kind] {
		return true
	}
	r.bad(n, path, "must be %s", what)
	return false
}

// pair is a key with its value.
type pair struct {
	name       string
	key, value *yaml.Node
}

// pairs are those of a mapping whose keys are texts that stand once.
func (r *reader) pairs(n *yaml.Node, path order.Path, inner func(name string) order.Path) []pair {
	var list []pair
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			r.bad(key, path, "a name must be a word")
			continue
		}
		if line, twice := first[key.Value]; twice {
			r.bad(key, inner(key.Value), "stands twice, first in line %d", line)
			continue
		}
		first[key.Value] = key.Line
		list = append(list, pair{key.Value, key, n.Content[i+1]})
	}
	return list
}

// missing is said of a field that has to be there, before what is allowed in it.
const missing = "is missing"

// inside is the path of a field or key of what stands at path.
func inside(path order.Path, name string) order.Path {
	return append(slices.Clone(path), name)
}

func (r *reader) object(n *yaml.Node, dst reflect.Value, path order.Path) {
	fields := fieldsOf(dst.Type())
	given := map[string]bool{}
	for _, p := range r.pairs(n, path, func(name string) order.Path { return inside(path, name) }) {
		given[p.name] = true
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == p.name })
		if i < 0 {
			r.bad(p.key, inside(path, p.name), "unknown field%s", suggest(p.name, fields))
			continue
		}
		r.value(p.value, dst.FieldByIndex(fields[i].index), inside(path, p.name))
	}
	for _, f := range fields {
		if f.required && !given[f.name] {
			r.bad(n, inside(path, f.name), missing)
		}
	}
}

func (r *reader) dictionary(n *yaml.Node, dst reflect.Value, path order.Path) {
	m := reflect.MakeMap(dst.Type())
	for _, p := range r.pairs(n, path, func(name string) order.Path { return inside(path, order.Key(name)) }) {
		elem := reflect.New(dst.Type().Elem()).Elem()
		r.value(p.value, elem, inside(path, order.Key(p.name)))
		// What is wrong with an entry as a whole is said at its name.
		r.at[inside(path, order.Key(p.name)).String()] = p.key
		m.SetMapIndex(reflect.ValueOf(p.name).Convert(dst.Type().Key()), elem)
	}
	dst.Set(m)
}

func (r *reader) list(n *yaml.Node, dst reflect.Value, path order.Path) {
	s := reflect.MakeSlice(dst.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		r.value(item, s.Index(i), inside(path, order.Index(i)))
	}
	dst.Set(s)
}

// field is a field that a document can have.
type field struct {
	name     string
	index    []int
	required bool
}

// fieldsOf are the fields of a struct by their json tags, those of embedded
// structs as its own. A field is optional if it is marked omitempty or
// omitzero; so is the version, which the store counts.
func fieldsOf(t reflect.Type) []field {
	var list []field
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || name == "" && f.Anonymous {
			continue
		}
		optional := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero") || f.Name == "Version"
		list = append(list, field{name, f.Index, !optional})
	}
	return list
}

// read reads one scalar by parse, which says what is allowed if it cannot.
func read[T any](r *reader, n *yaml.Node, dst reflect.Value, path order.Path, parse func(n *yaml.Node) (v T, allowed string)) {
	if n.Kind == yaml.ScalarNode {
		v, allowed := parse(n)
		if allowed != "" {
			r.bad(n, path, "must be %s", allowed)
			return
		}
		dst.Set(reflect.ValueOf(v).Convert(dst.Type()))
		return
	}
	_, allowed := parse(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"})
	r.bad(n, path, "must be %s", allowed)
}

func parseText(n *yaml.Node) (string, string) {
	switch n.Tag {
	case "!!str":
		return n.Value, ""
	case "!!int", "!!float", "!!bool", "!!timestamp":
		return "", "text: put it in quotes"
	}
	return "", "text"
}

func parseBool(n *yaml.Node) (bool, string) {
	if n.Tag == "!!bool" && (n.Value == "true" || n.Value == "false") {
		return n.Value == "true", ""
	}
	return false, "true or false"
}

// parseDay reads a day, which YAML takes for a moment.
func parseDay(n *yaml.Node) (order.Day, string) {
	if _, err := time.Parse(time.DateOnly, n.Value); err != nil || n.Tag != "!!timestamp" && n.Tag != "!!str" {
		return "", "a day like 2026-10-01"
	}
	return order.Day(n.Value), ""
}

var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// integer takes what is written as one: 1.0, 1e3, 0x10, 1_000 and "1" are
// refused, because readers differ over what they are.
func (r *reader) integer(n *yaml.Node, dst reflect.Value, path order.Path) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || !decimal.MatchString(n.Value) {
		r.bad(n, path, "must be an integer, in decimal digits alone")
		return
	}
	v, err := strconv.ParseInt(n.Value, 10, dst.Type().Bits())
	if err != nil {
		r.bad(n, path, "must fit a signed integer of %d bits", dst.Type().Bits())
		return
	}
	dst.SetInt(v)
}

const durations = "a duration like 5d, 96h, 30m, 1d12h, or an integer of seconds"

var duration = regexp.MustCompile(`^(?:(\d{1,12})d)?(?:(\d{1,12})h)?(?:(\d{1,12})m)?(?:(\d{1,12})s)?$`)

func parseSeconds(n *yaml.Node) (order.Seconds, string) {
	if n.Tag == "!!int" || n.Tag == "!!str" && !decimal.MatchString(n.Value) {
		if s, err := ParseSeconds(n.Value); err == nil {
			return s, ""
		}
	}
	return 0, durations
}

// ParseSeconds reads a duration as a document has it: 5d, 96h, 1d12h, or seconds.
func ParseSeconds(text string) (order.Seconds, error) {
	bad := errors.New("must be " + durations)
	if decimal.MatchString(text) {
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, bad
		}
		return order.Seconds(v), nil
	}
	m := duration.FindStringSubmatch(text)
	if m == nil || text == "" {
		return 0, bad
	}
	var sum int64
	for i, size := range []int64{24 * 60 * 60, 60 * 60, 60, 1} {
		if m[i+1] == "" {
			continue
		}
		v, err := strconv.ParseInt(m[i+1], 10, 64)
		if err != nil || v > (math.MaxInt64-sum)/size {
			return 0, bad
		}
		sum += v * size
	}
	return order.Seconds(sum), nil
}

var instant = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)

// parseTime reads a day, which begins at midnight UTC, or an instant.
func parseTime(n *yaml.Node) (time.Time, string) {
	const times = "a date like 2026-12-01 (from midnight UTC) or an instant by RFC 3339 like 2026-12-01T09:00:00Z"
	if n.Tag != "!!timestamp" && n.Tag != "!!str" {
		return time.Time{}, times
	}
	if t, err := time.Parse(time.DateOnly, n.Value); err == nil {
		return t, ""
	}
	// time.Parse alone takes one-digit hours and a comma for a point.
	t, err := time.Parse(time.RFC3339Nano, n.Value)
	if err != nil || !instant.MatchString(n.Value) {
		return time.Time{}, times
	}
	return t.UTC(), ""
}
