package strict

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// MaxRaw is how many bytes of free JSON a json.RawMessage takes. What is kept
// of an event, the free JSON and its key, has to stay within 16 KiB.
const MaxRaw = 16_000

// maxErrors is how many wrong fields one answer lists.
const maxErrors = 20

// The times that requests may name. Outside of them are slips, and moments
// that the ledger's 64-bit microseconds or a deadline's arithmetic may not hold.
var (
	minTime = time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC)
	maxTime = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Decode puts v, found at the JSON pointer at ("" for a document), into dst, a
// pointer to a struct. All that is wrong, up to 20 fields, is one *Error.
func Decode(v *Value, at string, dst any) error {
	target := reflect.ValueOf(dst).Elem()
	d := decoder{base: at}
	if planOf(target.Type()).kind != asStruct {
		panic(fmt.Sprintf("strict: %s is not a struct", target.Type()))
	}
	d.value(v, target, planOf(target.Type()), nil)
	if len(d.fields) > 0 {
		return &Error{Fields: d.fields}
	}
	return nil
}

// Check panics where a type cannot be decoded or its tags are wrong, so that
// a slip shows when the program starts and not at a request.
func Check(t reflect.Type) { planOf(t) }

type shape uint8

const (
	asStruct shape = iota
	asString
	asInt
	asBool
	asTime
	asRaw
	asSlice
	asMap
)

// wants is the JSON that each shape is read from.
var wants = [...]struct {
	kind Kind
	word string
}{
	asStruct: {Object, "an object"},
	asString: {String, "a string"},
	asInt:    {Number, "an integer"},
	asBool:   {Bool, "true or false"},
	asTime:   {String, "a string"},
	asRaw:    {Object, "an object"},
	asSlice:  {Array, "an array"},
	asMap:    {Object, "an object"},
}

// plan is how values of a type, or of a field, are read.
type plan struct {
	kind   shape
	fields map[string]*field // asStruct
	order  []*field          // asStruct, as declared
	elem   *plan             // asSlice, asMap

	enum               []string
	pattern            *regexp.Regexp
	format             string
	minLen, maxLen     int // characters, or items
	minimum, maximum   int64
	hasMaxLen, hasMaxi bool
	hasMini            bool

	// why is what a value of less than the least, or none where one is required,
	// would bring about; in words that go with the refusal.
	why string
}

type field struct {
	name     string
	index    []int
	required bool
	plan     *plan
}

var plans sync.Map // reflect.Type -> *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := makePlan(t)
	plans.Store(t, p)
	return p
}

var (
	timeType = reflect.TypeFor[time.Time]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

func makePlan(t reflect.Type) *plan {
	switch {
	case t == timeType:
		return &plan{kind: asTime}
	case t == rawType:
		return &plan{kind: asRaw, maxLen: MaxRaw, hasMaxLen: true}
	}
	switch t.Kind() {
	case reflect.Struct:
		p := &plan{kind: asStruct, fields: map[string]*field{}}
		p.collect(t, nil)
		return p
	case reflect.String:
		return &plan{kind: asString}
	case reflect.Bool:
		return &plan{kind: asBool}
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		return &plan{kind: asInt}
	case reflect.Slice:
		return &plan{kind: asSlice, elem: planOf(t.Elem())}
	case reflect.Map:
		return &plan{kind: asMap, elem: planOf(t.Elem())}
	}
	panic(fmt.Sprintf("strict: %s cannot be decoded", t))
}

// collect adds the fields of t, those of embedded structs as its own.
func (p *plan) collect(t reflect.Type, index []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			p.collect(f.Type, at)
			continue
		}
		if name == "" || p.fields[name] != nil {
			panic(fmt.Sprintf("strict: %s.%s has no JSON name of its own", t, f.Name))
		}
		fp := *planOf(f.Type)
		fp.tags(f.Tag)
		fd := &field{name: name, index: at, plan: &fp,
			required: !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero")}
		p.fields[name] = fd
		p.order = append(p.order, fd)
	}
}

func (p *plan) tags(tag reflect.StructTag) {
	number := func(name string) (int64, bool) {
		s, ok := tag.Lookup(name)
		if !ok {
			return 0, false
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			panic(fmt.Sprintf("strict: tag %s: %v", name, err))
		}
		return n, true
	}
	length := func(name string, to *int) bool {
		n, ok := number(name)
		if ok {
			*to = int(n)
		}
		return ok
	}
	p.minimum, p.hasMini = number("minimum")
	p.maximum, p.hasMaxi = number("maximum")
	_ = length("minLength", &p.minLen) || length("minItems", &p.minLen)
	p.hasMaxLen = length("maxLength", &p.maxLen) || length("maxItems", &p.maxLen) || p.hasMaxLen
	if s := tag.Get("pattern"); s != "" {
		p.pattern = regexp.MustCompile(s)
	}
	if s := tag.Get("enum"); s != "" {
		p.enum = strings.Split(s, ",")
	}
	p.format = tag.Get("format")
	if s := tag.Get("least"); s != "" {
		p.why = ": " + s
	}
}

type decoder struct {
	base   string
	fields []Field
}

func (d *decoder) bad(path []string, format string, args ...any) {
	if len(d.fields) < maxErrors {
		d.fields = append(d.fields, Field{d.base + pointer(path), fmt.Sprintf(format, args...)})
	}
}

func (d *decoder) value(v *Value, dst reflect.Value, p *plan, path []string) {
	if want := wants[p.kind]; v.Kind != want.kind {
		d.bad(path, "must be %s", want.word)
		return
	}
	switch p.kind {
	case asStruct:
		d.object(v, dst, p, path)
	case asString:
		if d.text(v.Text, p, path) {
			dst.SetString(v.Text)
		}
	case asInt:
		if n, ok := d.integer(v.Text, p, path, dst.Type().Bits()); ok {
			dst.SetInt(n)
		}
	case asBool:
		dst.SetBool(v.Text == "true")
	case asTime:
		if t, ok := d.time(v.Text, path); ok {
			dst.Set(reflect.ValueOf(t))
		}
	case asRaw:
		if len(v.Raw) > p.maxLen {
			d.bad(path, "must have at most %d bytes", p.maxLen)
			return
		}
		dst.SetBytes(slices.Clone(v.Raw))
	case asSlice:
		if !d.length(len(v.Items), "item", p, path) {
			return
		}
		s := reflect.MakeSlice(dst.Type(), len(v.Items), len(v.Items))
		elem := *p.elem
		elem.pattern, elem.enum, elem.format = p.pattern, p.enum, p.format
		for i := range v.Items {
			d.value(&v.Items[i], s.Index(i), &elem, append(path, strconv.Itoa(i)))
		}
		dst.Set(s)
	case asMap:
		m := reflect.MakeMapWithSize(dst.Type(), len(v.Items))
		for i, name := range v.Names {
			elem := reflect.New(dst.Type().Elem()).Elem()
			d.value(&v.Items[i], elem, p.elem, append(path, name))
			m.SetMapIndex(reflect.ValueOf(name), elem)
		}
		dst.Set(m)
	}
}

func (d *decoder) object(v *Value, dst reflect.Value, p *plan, path []string) {
	for i, name := range v.Names {
		at := append(path, name)
		f := p.fields[name]
		if f == nil {
			d.unknown(name, p, at)
			continue
		}
		d.value(&v.Items[i], dst.FieldByIndex(f.index), f.plan, at)
	}
	for _, f := range p.order {
		if f.required && !slices.Contains(v.Names, f.name) {
			d.bad(append(path, f.name), "is required%s", f.plan.why)
		}
	}
}

func (d *decoder) unknown(name string, p *plan, at []string) {
	for _, f := range p.order {
		if strings.EqualFold(f.name, name) {
			d.bad(at, "unknown field; case matters: %s", f.name)
			return
		}
	}
	d.bad(at, "unknown field")
}

func (d *decoder) length(n int, what string, p *plan, path []string) bool {
	if n < p.minLen {
		d.bad(path, "must have at least %d %s%s%s", p.minLen, what, plural(p.minLen), p.why)
		return false
	}
	if p.hasMaxLen && n > p.maxLen {
		d.bad(path, "must have at most %d %s%s", p.maxLen, what, plural(p.maxLen))
		return false
	}
	return true
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func (d *decoder) text(s string, p *plan, path []string) bool {
	switch {
	case !d.length(utf8.RuneCountInString(s), "character", p, path):
	case p.pattern != nil && !p.pattern.MatchString(s):
		d.bad(path, "must match %s", p.pattern)
	case p.enum != nil && !slices.Contains(p.enum, s):
		d.bad(path, "must be one of %s", strings.Join(p.enum, ", "))
	case p.format == "uuid" && !isUUID(s):
		d.bad(path, "must be a UUID")
	default:
		return true
	}
	return false
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if hex := c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'; dash != (c == '-') || !dash && !hex {
			return false
		}
	}
	return true
}

// integer reads an integer that is written as one: 1.0 and 1e3 are refused,
// because what they are in another reader's float is anyone's guess.
func (d *decoder) integer(s string, p *plan, path []string, bits int) (int64, bool) {
	if strings.ContainsAny(s, ".eE") || s == "-0" {
		d.bad(path, "must be an integer, written without point or exponent")
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, bits)
	switch {
	case p.hasMini && p.hasMaxi && (err != nil || n < p.minimum || n > p.maximum):
		why := ""
		if err == nil && n < p.minimum {
			why = p.why
		}
		d.bad(path, "must be from %d to %d%s", p.minimum, p.maximum, why)
	case err != nil:
		d.bad(path, "must fit a signed integer of %d bits", bits)
	case p.hasMini && n < p.minimum:
		d.bad(path, "must be at least %d%s", p.minimum, p.why)
	case p.hasMaxi && n > p.maximum:
		d.bad(path, "must be at most %d", p.maximum)
	default:
		return n, true
	}
	return 0, false
}

var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)

// time reads RFC 3339 with a zone. The schema and the ledger keep
// microseconds; a finer time would come back as another one.
func (d *decoder) time(s string, path []string) (time.Time, bool) {
	// time.Parse alone takes one-digit hours and a comma for a point.
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || !rfc3339.MatchString(s) {
		d.bad(path, "must be a time by RFC 3339 with a zone, like 2017-05-16T09:30:00Z")
		return t, false
	}
	if t.Nanosecond()%1000 != 0 {
		d.bad(path, "must not be finer than microseconds")
		return t, false
	}
	if t.Before(minTime) || !t.Before(maxTime) {
		d.bad(path, "must be from %d to %d", minTime.Year(), maxTime.Year()-1)
		return t, false
	}
	return t.UTC(), true
}
