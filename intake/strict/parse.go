// Package strict reads JSON the way requests about money want it read: what
// is doubtful is refused instead of being guessed at. encoding/json, and with
// it every framework on top, takes the last of two equal keys, takes "Amount"
// for "amount", puts U+FFFD for bytes that are no UTF-8, and reads 1e3 into a
// float; each of those can make two readers of one request see two amounts.
//
// Refused, at every depth: duplicate keys, keys that the type does not have
// (also in another case), anything after the document, invalid UTF-8, NUL and
// unpaired surrogates in strings (Postgres can store neither, and one such
// string would fail a whole batch of other people's events), nesting beyond
// MaxDepth, and numbers that a Postgres numeric cannot hold.
//
// Decode then checks the values by the struct tags that the OpenAPI document
// is generated from. Errors say where and what, and never repeat a value.
package strict

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may be nested.
const MaxDepth = 32

// Field is one thing that is wrong: where, as a JSON pointer (RFC 6901, ""
// for the whole document), and what.
type Field struct {
	Pointer string
	Detail  string
}

// Error is all that is wrong with a document. Malformed: it is not acceptable
// as JSON at all; otherwise it is JSON, and values in it are wrong.
type Error struct {
	Malformed bool
	Fields    []Field
}

func (e *Error) Error() string {
	words := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		words[i] = strings.TrimPrefix(f.Pointer+": "+f.Detail, ": ")
	}
	return strings.Join(words, "; ")
}

// Kind is what a JSON value is.
type Kind uint8

// The kinds of value.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// Value is a parsed value.
type Value struct {
	Kind  Kind
	Raw   []byte   // as it was sent
	Text  string   // a string's characters, a number's or a bool's literal
	Names []string // an object's keys, in the order sent
	Items []Value  // an array's elements, or the values of Names
}

// Parse reads one document. Raw shares data's memory.
func Parse(data []byte) (Value, error) {
	p := parser{data: data}
	p.space()
	v, err := p.value(0)
	if err == nil {
		p.space()
		if p.at < len(p.data) {
			err = p.fail("unexpected data after the document")
		}
	}
	if err != nil {
		return Value{}, err
	}
	return v, nil
}

// Get is an object's member, and whether there is one.
func (v *Value) Get(name string) (Value, bool) {
	if i := slices.Index(v.Names, name); i >= 0 {
		return v.Items[i], true
	}
	return Value{}, false
}

// Without is an object less one member.
func (v Value) Without(name string) Value {
	if i := slices.Index(v.Names, name); i >= 0 {
		v.Names = slices.Delete(slices.Clone(v.Names), i, i+1)
		v.Items = slices.Delete(slices.Clone(v.Items), i, i+1)
	}
	return v
}

// AppendCanonical appends v with keys sorted and no space between tokens: the
// same bytes for documents that differ in nothing but spelling. Numbers keep
// their literal.
func (v *Value) AppendCanonical(b []byte) []byte {
	switch v.Kind {
	case Object:
		order := make([]int, len(v.Names))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(i, j int) int { return strings.Compare(v.Names[i], v.Names[j]) })
		b = append(b, '{')
		for n, i := range order {
			if n > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, v.Names[i]), ':')
			b = v.Items[i].AppendCanonical(b)
		}
		return append(b, '}')
	case Array:
		b = append(b, '[')
		for i := range v.Items {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.Items[i].AppendCanonical(b)
		}
		return append(b, ']')
	case String:
		return appendString(b, v.Text)
	}
	return append(b, v.Raw...)
}

func appendString(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // a string always has a JSON form
		panic(err)
	}
	return append(b, quoted...)
}

type parser struct {
	data []byte
	at   int
	path []string // keys and indexes that lead to the value being read
}

func (p *parser) fail(format string, args ...any) error {
	detail := fmt.Sprintf(format, args...) + " (at byte " + strconv.Itoa(p.at) + ")"
	return &Error{Malformed: true, Fields: []Field{{pointer(p.path), detail}}}
}

// maxPointer bounds what of a caller's key names comes back in an error.
const maxPointer = 200

func pointer(path []string) string {
	var b strings.Builder
	for _, s := range path {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(s))
	}
	s := b.String()
	if len(s) > maxPointer {
		s = strings.ToValidUTF8(s[:maxPointer], "") + "..."
	}
	return s
}

func (p *parser) space() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

func (p *parser) value(depth int) (v Value, err error) {
	if p.at >= len(p.data) {
		return v, p.fail("unexpected end")
	}
	start := p.at
	switch c := p.data[p.at]; {
	case c == '{' || c == '[':
		if depth >= MaxDepth {
			return v, p.fail("nested deeper than %d", MaxDepth)
		}
		if c == '{' {
			v, err = p.object(depth)
		} else {
			v, err = p.array(depth)
		}
	case c == '"':
		v.Kind = String
		v.Text, err = p.string()
	case c == '-' || c >= '0' && c <= '9':
		v.Kind = Number
		v.Text, err = p.number()
	default:
		v, err = p.literal()
	}
	v.Raw = p.data[start:p.at]
	return v, err
}

func (p *parser) literal() (Value, error) {
	for _, l := range []struct {
		text string
		kind Kind
	}{{"true", Bool}, {"false", Bool}, {"null", Null}} {
		if strings.HasPrefix(string(p.data[p.at:min(len(p.data), p.at+len(l.text))]), l.text) {
			p.at += len(l.text)
			return Value{Kind: l.kind, Text: l.text}, nil
		}
	}
	return Value{}, p.fail("unexpected character")
}

func (p *parser) object(depth int) (Value, error) {
	v := Value{Kind: Object}
	seen := map[string]bool{}
	p.at++
	p.space()
	if p.at < len(p.data) && p.data[p.at] == '}' {
		p.at++
		return v, nil
	}
	for {
		p.space()
		if p.at >= len(p.data) || p.data[p.at] != '"' {
			return v, p.fail("expected a key in double quotes")
		}
		name, err := p.string()
		if err != nil {
			return v, err
		}
		p.path = append(p.path, name)
		if seen[name] {
			return v, p.fail("duplicate key")
		}
		seen[name] = true
		p.space()
		if p.at >= len(p.data) || p.data[p.at] != ':' {
			return v, p.fail("expected a colon")
		}
		p.at++
		p.space()
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		p.path = p.path[:len(p.path)-1]
		v.Names, v.Items = append(v.Names, name), append(v.Items, item)
		if done, err := p.next('}'); done || err != nil {
			return v, err
		}
	}
}

func (p *parser) array(depth int) (Value, error) {
	v := Value{Kind: Array}
	p.at++
	p.space()
	if p.at < len(p.data) && p.data[p.at] == ']' {
		p.at++
		return v, nil
	}
	for {
		p.space()
		p.path = append(p.path, strconv.Itoa(len(v.Items)))
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		p.path = p.path[:len(p.path)-1]
		v.Items = append(v.Items, item)
		if done, err := p.next(']'); done || err != nil {
			return v, err
		}
	}
}

// next reads a comma, or the end of an array or object.
func (p *parser) next(end byte) (done bool, err error) {
	p.space()
	if p.at >= len(p.data) {
		return false, p.fail("unexpected end")
	}
	switch p.data[p.at] {
	case ',':
		p.at++
		return false, nil
	case end:
		p.at++
		return true, nil
	}
	return false, p.fail("expected a comma or %q", end)
}

// maxNumber bounds a number's literal; the longest that round-trips a float64
// has 24 characters.
const maxNumber = 40

func (p *parser) number() (string, error) {
	start := p.at
	digits := func() int {
		from := p.at
		for p.at < len(p.data) && p.data[p.at] >= '0' && p.data[p.at] <= '9' {
			p.at++
		}
		return p.at - from
	}
	is := func(chars string) bool {
		return p.at < len(p.data) && strings.IndexByte(chars, p.data[p.at]) >= 0
	}
	if is("-") {
		p.at++
	}
	whole := p.at
	if digits() == 0 || p.data[whole] == '0' && p.at-whole > 1 {
		return "", p.fail("not a number")
	}
	if is(".") {
		p.at++
		if digits() == 0 {
			return "", p.fail("not a number")
		}
	}
	exponent := 0
	if is("eE") {
		p.at++
		if is("+-") {
			p.at++
		}
		if exponent = digits(); exponent == 0 {
			return "", p.fail("not a number")
		}
	}
	text := string(p.data[start:p.at])
	// Postgres reads numbers in free-form data as numeric, whose range is not
	// a float's; what is in both is enough for goods.
	if _, err := strconv.ParseFloat(text, 64); err != nil || len(text) > maxNumber || exponent > 3 {
		return "", p.fail("number too long or out of range")
	}
	return text, nil
}

// string reads a string in quotes.
func (p *parser) string() (string, error) {
	p.at++
	start := p.at
	for p.at < len(p.data) { // the usual case needs no copy but one
		switch c := p.data[p.at]; {
		case c == '"':
			s := string(p.data[start:p.at])
			if !utf8.ValidString(s) {
				return "", p.fail("string is not valid UTF-8")
			}
			p.at++
			return s, nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.fail("control character in a string")
		}
		p.at++
	}
	return "", p.fail("unexpected end in a string")
}

var escapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escaped reads on at a string's first backslash.
func (p *parser) escaped(start int) (string, error) {
	s := slices.Clone(p.data[start:p.at])
	for p.at < len(p.data) {
		switch c := p.data[p.at]; {
		case c == '"':
			if !utf8.Valid(s) {
				return "", p.fail("string is not valid UTF-8")
			}
			p.at++
			return string(s), nil
		case c < ' ':
			return "", p.fail("control character in a string")
		case c != '\\':
			s = append(s, c)
			p.at++
		default:
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			s = utf8.AppendRune(s, r)
		}
	}
	return "", p.fail("unexpected end in a string")
}

func (p *parser) escape() (rune, error) {
	if p.at+1 >= len(p.data) {
		return 0, p.fail("unexpected end in a string")
	}
	if c, ok := escapes[p.data[p.at+1]]; ok {
		p.at += 2
		return rune(c), nil
	}
	r, ok := p.unicode()
	if !ok {
		return 0, p.fail("unknown escape in a string")
	}
	switch {
	case r == 0:
		return 0, p.fail("NUL in a string")
	case utf16.IsSurrogate(r):
		low, ok := p.unicode()
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return 0, p.fail("unpaired surrogate in a string")
		}
	}
	return r, nil
}

// unicode reads \uXXXX.
func (p *parser) unicode() (rune, bool) {
	if p.at+6 > len(p.data) || p.data[p.at] != '\\' || p.data[p.at+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range p.data[p.at+2 : p.at+6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	p.at += 6
	return r, true
}
