package order

import (
	"strconv"
	"strings"
)

// Path is where something stands in a policy: field names, and keys and
// positions as Key and Index write them, from the outside in. Empty is the
// policy as a whole.
type Path []string

// Key is a map's key in a Path.
func Key(k string) string { return "[" + k + "]" }

// Index is a list's position in a Path.
func Index(i int) string { return Key(strconv.Itoa(i)) }

// String is the path as people read it: fees[USD].min.
func (p Path) String() string {
	var b strings.Builder
	for i, part := range p {
		if i > 0 && !strings.HasPrefix(part, "[") {
			b.WriteByte('.')
		}
		b.WriteString(part)
	}
	return b.String()
}

// Pointer is the path as a JSON pointer (RFC 6901): /fees/USD/min.
func (p Path) Pointer() string {
	var b strings.Builder
	for _, part := range p {
		if key, ok := strings.CutPrefix(part, "["); ok {
			part = strings.TrimSuffix(key, "]")
		}
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(part))
	}
	return b.String()
}

// FieldError is what is wrong with one field of a policy.
type FieldError struct {
	Path   Path
	Detail string
}

func (e FieldError) Error() string {
	return strings.TrimPrefix(e.Path.String()+": "+e.Detail, ": ")
}

// FieldErrors is all that is wrong with a policy, as an error.
type FieldErrors []FieldError

func (e FieldErrors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// orNil is e as an error, which nothing wrong is not.
func (e FieldErrors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}
