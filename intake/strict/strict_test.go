package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestParseRefuses has what a lenient reader lets pass, with the place that
// the error has to name.
func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)
	for _, c := range []struct{ name, in, pointer, detail string }{
		{"nothing", ``, "", "unexpected end"},
		{"two documents", `{} {}`, "", "unexpected data after the document"},
		{"trailing comma", `{"a":1,}`, "", "expected a key"},
		{"comment", `{"a":1 /* x */}`, "", "expected a comma"},
		{"byte order mark", "\ufeff{}", "", "unexpected character"},
		{"duplicate key", `{"a":1,"a":1}`, "/a", "duplicate key"},
		{"duplicate key by escape", `{"a":1,"\u0061":2}`, "/a", "duplicate key"},
		{"duplicate key below", `{"x":[{"y":1,"y":2}]}`, "/x/0/y", "duplicate key"},
		{"pointer is escaped", `{"a/b~c":{"y":1,"y":2}}`, "/a~1b~0c/y", "duplicate key"},
		{"NUL by escape", `{"a":"x\u0000"}`, "/a", "NUL"},
		{"NUL raw", "{\"a\":\"x\x00\"}", "/a", "control character"},
		{"newline raw", "{\"a\":\"x\n\"}", "/a", "control character"},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", "/a", "not valid UTF-8"},
		{"invalid UTF-8 beside an escape", "{\"a\":\"\\n\xff\"}", "/a", "not valid UTF-8"},
		{"invalid UTF-8 in a key", "{\"\xff\":1}", "", "not valid UTF-8"},
		{"unpaired high surrogate", `{"a":"\ud800"}`, "/a", "surrogate"},
		{"unpaired low surrogate", `{"a":"\udc00"}`, "/a", "surrogate"},
		{"two high surrogates", `{"a":"\ud800\ud800"}`, "/a", "surrogate"},
		{"unknown escape", `{"a":"\x41"}`, "/a", "unknown escape"},
		{"leading zero", `{"a":01}`, "/a", "not a number"},
		{"plus sign", `{"a":+1}`, "/a", "unexpected character"},
		{"NaN", `{"a":NaN}`, "/a", "unexpected character"},
		{"beyond a float", `{"a":1e999}`, "/a", "out of range"},
		{"tiny beyond a numeric", `{"a":1e-99999}`, "/a", "out of range"},
		{"too many digits", `{"a":` + strings.Repeat("9", 41) + `}`, "/a", "too long"},
		{"too deep", deep, strings.Repeat("/0", MaxDepth), "nested deeper"},
		{"open string", `{"a":"x`, "/a", "unexpected end"},
		{"open object", `{"a":1`, "", "unexpected end"},
		{"word", `{"a":tru}`, "/a", "unexpected character"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.in))
			var e *Error
			if !errors.As(err, &e) || !e.Malformed || len(e.Fields) != 1 {
				t.Fatalf("got %v, want it refused as malformed", err)
			}
			if f := e.Fields[0]; f.Pointer != c.pointer || !strings.Contains(f.Detail, c.detail) {
				t.Errorf("got %+v, want %q at %q", f, c.detail, c.pointer)
			}
		})
	}
}

type part struct {
	Code string `json:"code" pattern:"^[a-z]+$"`
}

type sample struct {
	Name   string          `json:"name" minLength:"1" maxLength:"5"`
	Amount int64           `json:"amount" minimum:"1" maximum:"9007199254740991"`
	Small  int16           `json:"small,omitempty"`
	Kind   string          `json:"kind,omitempty" enum:"a,b"`
	ID     string          `json:"id,omitempty" format:"uuid"`
	At     time.Time       `json:"at,omitzero"`
	Flag   bool            `json:"flag,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
	List   []string        `json:"list,omitempty" minItems:"1" maxItems:"2" pattern:"^[a-z]+$"`
	Parts  map[string]part `json:"parts,omitempty"`
	part
}

func decode(t *testing.T, in string) (sample, error) {
	t.Helper()
	v, err := Parse([]byte(in))
	if err != nil {
		t.Fatalf("%s: %v", in, err)
	}
	var s sample
	return s, Decode(&v, "", &s)
}

func TestDecode(t *testing.T) {
	v, err := Parse([]byte(` {"name":"\u00e9\ud83d\ude00\n","amount":9007199254740991,"kind":"b","flag":true,"code":"x","small":-7,
		"id":"0190A3C4-5d6e-7f80-9a1b-2c3d4e5f6071","at":"2017-01-02T03:04:05.000006+01:00",
		"data":{"w":1.5,"n":null},"list":["a","b"],"parts":{"k":{"code":"z"}}} `))
	if err != nil {
		t.Fatal(err)
	}
	var got sample
	if err := Decode(&v, "", &got); err != nil {
		t.Fatal(err)
	}
	want := sample{Name: "é😀\n", Amount: math.MaxInt64 >> 10, Kind: "b", Flag: true, Small: -7,
		ID: "0190A3C4-5d6e-7f80-9a1b-2c3d4e5f6071", At: time.Date(2017, 1, 2, 2, 4, 5, 6000, time.UTC),
		Data: json.RawMessage(`{"w":1.5,"n":null}`), List: []string{"a", "b"}, Parts: map[string]part{"k": {"z"}}, part: part{"x"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, pointer, detail string }{
		{"unknown", `{"secret":1}`, "/secret", "unknown field"},
		{"wrong case", `{"Amount":1}`, "/Amount", "case matters: amount"},
		{"unknown below", `{"parts":{"k":{"code":"a","x":1}}}`, "/parts/k/x", "unknown field"},
		{"missing", `{"amount":1,"code":"a"}`, "/name", "is required"},
		{"null", `{"name":null}`, "/name", "must be a string"},
		{"fraction", `{"amount":1.0}`, "/amount", "without point or exponent"},
		{"exponent", `{"amount":1e3}`, "/amount", "without point or exponent"},
		{"negative zero", `{"amount":-0}`, "/amount", "without point or exponent"},
		{"quoted", `{"amount":"1"}`, "/amount", "must be an integer"},
		{"zero", `{"amount":0}`, "/amount", "must be from 1 to 9007199254740991"},
		{"negative", `{"amount":-5}`, "/amount", "must be from 1 to"},
		{"2^53", `{"amount":9007199254740992}`, "/amount", "must be from 1 to"},
		{"2^64", `{"amount":18446744073709551616}`, "/amount", "must be from 1 to"},
		{"16 bits", `{"small":40000}`, "/small", "16 bits"},
		{"empty", `{"name":""}`, "/name", "at least 1 character"},
		{"long in characters", `{"name":"éééééé"}`, "/name", "at most 5 characters"},
		{"enum", `{"kind":"c"}`, "/kind", "one of a, b"},
		{"uuid", `{"id":"0190A3C4-5d6e-7f80-9a1b-2c3d4e5f607g"}`, "/id", "a UUID"},
		{"no zone", `{"at":"2017-01-02T03:04:05"}`, "/at", "RFC 3339"},
		{"no such day", `{"at":"2017-02-29T00:00:00Z"}`, "/at", "RFC 3339"},
		{"short hour", `{"at":"2017-02-28T1:00:00Z"}`, "/at", "RFC 3339"},
		{"nanoseconds", `{"at":"2017-01-02T03:04:05.0000001Z"}`, "/at", "microseconds"},
		{"ages ago", `{"at":"0001-01-01T00:00:00Z"}`, "/at", "from 1971 to 2199"},
		{"number for time", `{"at":1}`, "/at", "must be a string"},
		{"data no object", `{"data":[1]}`, "/data", "must be an object"},
		{"data too long", `{"data":{"x":"` + strings.Repeat("x", 16<<10) + `"}}`, "/data", "at most 16000 bytes"},
		{"empty list", `{"list":[]}`, "/list", "at least 1 item"},
		{"long list", `{"list":["a","b","c"]}`, "/list", "at most 2 items"},
		{"list's element", `{"list":["a","B"]}`, "/list/1", "must match"},
		{"no object", `[]`, "", "must be an object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := decode(t, c.in)
			var e *Error
			if !errors.As(err, &e) || e.Malformed {
				t.Fatalf("got %v, want it refused", err)
			}
			for _, f := range e.Fields {
				if f.Pointer == c.pointer && strings.Contains(f.Detail, c.detail) {
					return
				}
			}
			t.Errorf("got %+v, want %q at %q", e.Fields, c.detail, c.pointer)
		})
	}
}

func TestErrorsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"` + strings.Repeat("k", 5000) + `":1`)
	for i := range 100 {
		b.WriteString(`,"x` + strconv.Itoa(i) + `":1`)
	}
	_, err := decode(t, b.String()+"}")
	var e *Error
	if !errors.As(err, &e) || len(e.Fields) != maxErrors {
		t.Fatalf("got %v, want %d fields", err, maxErrors)
	}
	if n := len(e.Fields[0].Pointer); n > maxPointer+3 {
		t.Errorf("a pointer has %d bytes", n)
	}
}

func TestCanonical(t *testing.T) {
	canonical := func(in string) string {
		v, err := Parse([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		return string(v.AppendCanonical(nil))
	}
	want := canonical(`{"a":"A","b":[1,{"c":true,"d":null}]}`)
	if got := canonical(" {\"b\" : [1, {\"d\":null,\n\"c\":true}], \"a\":\"\\u0041\"}"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, other := range []string{`{"a":"a","b":[1,{"c":true,"d":null}]}`, `{"a":"A","b":[1.0,{"c":true,"d":null}]}`,
		`{"a":"A","b":[{"c":true,"d":null},1]}`, `{"a":"A"}`} {
		if canonical(other) == want {
			t.Errorf("%s has the same canonical form as another document", other)
		}
	}
	v, _ := Parse([]byte(`{"key":"k","a":1}`))
	w := v.Without("key")
	if got := string(w.AppendCanonical(nil)); got != `{"a":1}` || len(v.Names) != 2 {
		t.Errorf("Without: got %s, and %v left", got, v.Names)
	}
}

// FuzzParse holds Parse against encoding/json: whatever Parse accepts is JSON
// and means the same there, whatever is no JSON Parse refuses, and the
// canonical form is a fixed point that means the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{}`, `[]`, `"x"`, `0`, `-1.5e3`, `true`, `null`, ` {"a":[1,"\u00e9\ud83d\ude00",{"b":false}]} `,
		`{"a":1,"a":2}`, `{"A":1,"a":2}`, `"\u0000"`, `"\ud800"`, "\"\xff\"", `1e999`, `{"a":1}x`, `[[[[[[[]]]]]]]`, `"\\\"\/\b\f\n\r\t"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := Parse(in)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || !e.Malformed || !utf8.ValidString(e.Error()) {
				t.Fatalf("%q: odd error %v", in, err)
			}
			return
		}
		if !json.Valid(in) {
			t.Fatalf("%q was accepted and is not JSON", in)
		}
		var want, got any
		if err := json.Unmarshal(in, &want); err != nil {
			t.Fatal(err)
		}
		canonical := v.AppendCanonical(nil)
		if err := json.Unmarshal(canonical, &got); err != nil {
			t.Fatalf("%q: canonical form %q: %v", in, canonical, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q means %v, its canonical form %q means %v", in, want, canonical, got)
		}
		again, err := Parse(canonical)
		if err != nil || !bytes.Equal(again.AppendCanonical(nil), canonical) {
			t.Fatalf("%q: canonical form %q is no fixed point (%v)", in, canonical, err)
		}
		if bytes.Contains(canonical, []byte{0}) || bytes.Contains(canonical, []byte(`\u0000`)) && !bytes.Contains(in, []byte(`\\u0000`)) {
			t.Fatalf("%q: a NUL got through", in)
		}
	})
}

// FuzzDecode: whatever the bytes, Decode gives a value within its bounds or an
// error of bounded size; it never panics.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"name":"a","amount":1,"code":"x","list":["a"],"data":{},"at":"2017-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"name":1,"amount":1.5,"parts":{"k":{"code":1}},"list":[1,null]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := Parse(in)
		if err != nil {
			return
		}
		var s sample
		if err := Decode(&v, "", &s); err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Malformed || len(e.Fields) == 0 || len(e.Fields) > maxErrors {
				t.Fatalf("%q: odd error %v", in, err)
			}
			return
		}
		if s.Name == "" || s.Amount < 1 || s.Amount > 1<<53-1 || s.Code == "" || !s.At.IsZero() && s.At.Year() < 1970 {
			t.Fatalf("%q: decoded out of bounds: %+v", in, s)
		}
		out, err := json.Marshal(s)
		if err != nil || !json.Valid(out) {
			t.Fatalf("%q: does not encode: %v", in, err)
		}
	})
}
