// Package pgrows writes many rows to Postgres in one statement: as one array a
// column, to be taken apart by unnest, or as the lines of a COPY. A row is
// written once, by a function that puts its fields in the order of the table's
// columns; whether that makes arrays or lines is not its business.
//
// lib/pq sends parameters as text, so everything here is text that Postgres
// reads fast: ids without dashes, numbers as digits, times as ISO 8601.
package pgrows

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"escrowd/ledger"
)

// Column is one column of a table and its Postgres type.
type Column struct{ Name, Kind string }

// Table is what rows are written to: columns in the order in which a Putter
// fills them.
type Table struct {
	Name    string
	Columns []Column
}

// Putter writes the fields of row i.
type Putter func(f *Fields, i int)

// Names lists the table's columns, each after prefix ("" or "t.").
func (t Table) Names(prefix string) string {
	var b strings.Builder
	for i, c := range t.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(prefix + c.Name)
	}
	return b.String()
}

// Unnest is rows as a FROM item u whose columns are the table's; the arrays
// are the parameters from $first on, or what param answers for the i-th.
func (t Table) Unnest(param func(i int) string) string {
	var b strings.Builder
	for i, c := range t.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(param(i) + "::" + c.Kind + "[]")
	}
	return "unnest(" + b.String() + ") AS u (" + t.Names("") + ")"
}

// From numbers the parameters of Unnest from $first on.
func From(first int) func(i int) string {
	return func(i int) string { return "$" + strconv.Itoa(first+i) }
}

// Insert is the statement that adds rows given as arrays from $first on.
func (t Table) Insert(first int) string {
	return "INSERT INTO " + t.Name + " (" + t.Names("") + ") SELECT * FROM " + t.Unnest(From(first))
}

// Fields takes the fields of rows, one after the other.
type Fields struct {
	buffers [][]byte // one a column for arrays, a single one for lines
	at      int
	lines   bool
}

// What separates the fields of a line, and what stands for NULL there: bytes
// that no text has which Text may be given.
const (
	separator = '\x1f'
	null      = "\x1e"
)

func (f *Fields) next() *[]byte {
	b := &f.buffers[f.at]
	if f.at++; f.at == len(f.buffers) {
		f.at = 0
	}
	return b
}

func (f *Fields) end(b *[]byte) {
	if f.lines {
		*b = append(*b, separator)
	} else {
		*b = append(*b, ',')
	}
}

const hexDigits = "0123456789abcdef"

// ID writes a 128-bit id as uuid; dashes are not needed to be read as one.
func (f *Fields) ID(v ledger.ID) {
	b := f.next()
	for _, c := range v.Bytes() {
		*b = append(*b, hexDigits[c>>4], hexDigits[c&15])
	}
	f.end(b)
}

// IDOrNull is ID, and NULL for zero.
func (f *Fields) IDOrNull(v ledger.ID) {
	if v.IsZero() {
		f.Null()
		return
	}
	f.ID(v)
}

// Number writes an unsigned number.
func (f *Fields) Number(v uint64) {
	b := f.next()
	*b = strconv.AppendUint(*b, v, 10)
	f.end(b)
}

// Int writes a signed number.
func (f *Fields) Int(v int64) {
	b := f.next()
	*b = strconv.AppendInt(*b, v, 10)
	f.end(b)
}

// Bits writes v as the bigint with the same bit pattern.
func (f *Fields) Bits(v uint64) { f.Int(int64(v)) }

// Amount writes a 128-bit number.
func (f *Fields) Amount(v ledger.Amount) {
	if v.Hi == 0 {
		f.Number(v.Lo)
		return
	}
	b := f.next()
	*b = v.Big().Append(*b, 10)
	f.end(b)
}

// Bool writes a boolean.
func (f *Fields) Bool(v bool) {
	b := f.next()
	if v {
		*b = append(*b, 't')
	} else {
		*b = append(*b, 'f')
	}
	f.end(b)
}

// Time writes a moment with its microseconds, and NULL for the zero time.
func (f *Fields) Time(v time.Time) {
	if v.IsZero() {
		f.Null()
		return
	}
	b := f.next()
	*b = v.UTC().AppendFormat(*b, "2006-01-02T15:04:05.999999Z")
	f.end(b)
}

// Word writes text that consists of letters, digits, "_" and "-" alone and is
// not the word null.
func (f *Fields) Word(v string) {
	b := f.next()
	*b = append(*b, v...)
	f.end(b)
}

// WordOrNull is Word, and NULL for "".
func (f *Fields) WordOrNull(v string) {
	if v == "" {
		f.Null()
		return
	}
	f.Word(v)
}

// Text writes any text; for lines it must be LineSafe.
func (f *Fields) Text(v string) {
	b := f.next()
	if f.lines {
		*b = append(*b, v...) // lib/pq escapes what COPY needs escaped
		f.end(b)
		return
	}
	*b = append(*b, '"')
	for i := range len(v) {
		if c := v[i]; c == '"' || c == '\\' {
			*b = append(*b, '\\')
		}
		*b = append(*b, v[i])
	}
	*b = append(*b, '"')
	f.end(b)
}

// TextOrNull is Text, and NULL for "".
func (f *Fields) TextOrNull(v string) {
	if v == "" {
		f.Null()
		return
	}
	f.Text(v)
}

// LineSafe reports whether a text can be a field of a line.
func LineSafe[T string | []byte](v T) bool {
	for i := range len(v) {
		if v[i] == separator || v[i] == null[0] {
			return false
		}
	}
	return true
}

// BytesOrNull writes a bytea, and NULL for an empty one.
func (f *Fields) BytesOrNull(v []byte) {
	if len(v) == 0 {
		f.Null()
		return
	}
	b := f.next()
	if f.lines {
		*b = append(*b, `\x`...)
	} else {
		*b = append(*b, `"\\x`...)
	}
	for _, c := range v {
		*b = append(*b, hexDigits[c>>4], hexDigits[c&15])
	}
	if !f.lines {
		*b = append(*b, '"')
	}
	f.end(b)
}

// Null writes NULL.
func (f *Fields) Null() {
	b := f.next()
	if f.lines {
		*b = append(*b, null...)
	} else {
		*b = append(*b, "NULL"...)
	}
	f.end(b)
}

// Arrays is n rows as one array a column, each ready to be a parameter.
func (t Table) Arrays(n int, put Putter) []any {
	f := Fields{buffers: make([][]byte, len(t.Columns))}
	for i := range f.buffers {
		f.buffers[i] = append(make([]byte, 0, 2+n*widthOf(t.Columns[i].Kind)), '{')
	}
	for i := range n {
		put(&f, i)
	}
	params := make([]any, len(f.buffers))
	for i, b := range f.buffers {
		if n > 0 {
			b = b[:len(b)-1]
		}
		params[i] = string(append(b, '}'))
	}
	return params
}

// widthOf guesses how long a value of a type is as text, comma included.
func widthOf(kind string) int {
	switch kind {
	case "uuid":
		return 33
	case "timestamptz":
		return 28
	case "bytea", "jsonb":
		return 256
	case "smallint", "boolean":
		return 4
	}
	return 12
}

// CopyFrom is how many rows make a COPY, at two more round trips, faster than
// arrays.
const CopyFrom = 256

// Preparer prepares a statement in a transaction.
type Preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// Copy adds n rows to the table by COPY.
func (t Table) Copy(ctx context.Context, tx Preparer, n int, put Putter) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("copying %d rows into %s: %w", n, t.Name, err)
		}
	}()
	st, err := tx.PrepareContext(ctx, "COPY "+t.Name+" ("+t.Names("")+") FROM STDIN (DELIMITER E'\\x1f', NULL E'\\x1e')")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	// lib/pq sends the arguments of each Exec as one line, with tabs between:
	// a whole line is one argument here, with our own delimiter.
	f := Fields{buffers: make([][]byte, 1), lines: true}
	for i := range n {
		f.buffers[0] = f.buffers[0][:0]
		put(&f, i)
		line := f.buffers[0]
		if _, err := st.ExecContext(ctx, string(line[:len(line)-1])); err != nil {
			return err
		}
	}
	_, err = st.ExecContext(ctx) // with no argument: end of data, and the verdict
	return err
}
