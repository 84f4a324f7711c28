// Package render writes reports: as a table for people, as CSV for
// spreadsheets, as JSON for programs. It knows no report by name: the columns
// are the fields of the row type, by their json names, and a field's Go type
// says how it looks.
//
//	reports.Amount   minor units; in a table a decimal of the row's Currency
//	time.Time        RFC 3339 UTC; nothing where it is zero or nil
//	bool, integers   as they are
//	string           as it is; in a table without control characters
//
// The same report always gives the same bytes.
package render

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"escrowd/ledger/chart"
	"escrowd/reports"
)

// Format is how a report is written.
type Format string

// The formats.
const (
	Table Format = "table"
	CSV   Format = "csv" // RFC 4180 with a header line; amounts in minor units
	// {"report","as_of","basis","ledger_timestamp","rows":[...]}; amounts in
	// minor units. Of a journal that is a copy, before rows: "mirrored_to",
	// "mirror_lag_seconds".
	JSON Format = "json"
)

// Write writes the report. Problems and notes are part of a table; for the
// other formats, whose shape is fixed, the caller has to say them elsewhere.
func Write(w io.Writer, f Format, r reports.Sheet) error {
	switch f {
	case Table:
		return writeTable(w, r)
	case CSV:
		return writeCSV(w, r)
	case JSON:
		return writeJSON(w, r)
	}
	return fmt.Errorf("render: no such format: %q", f)
}

type column struct {
	index []int
	name  string
	right bool // numbers stand at the right
}

var amountType = reflect.TypeFor[reports.Amount]()

// columns are the fields of a row type with a json name.
func columns(row reflect.Type) []column {
	var list []column
	for _, f := range reflect.VisibleFields(row) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "" || name == "-" {
			continue
		}
		right := f.Type == amountType
		switch f.Type.Kind() {
		case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			right = true
		}
		list = append(list, column{f.Index, name, right})
	}
	return list
}

// lines answers the rows, the totals and their columns.
func lines(r reports.Sheet) (rows, totals reflect.Value, cols []column) {
	a, b := r.Lines()
	rows, totals = reflect.ValueOf(a), reflect.ValueOf(b)
	return rows, totals, columns(rows.Type().Elem())
}

// cell writes a field of a row. Amounts have so many decimals.
func cell(v reflect.Value, decimals int) string {
	switch x := v.Interface().(type) {
	case reports.Amount:
		return x.Decimal(decimals)
	case time.Time:
		return moment(x)
	case *time.Time:
		if x == nil {
			return ""
		}
		return moment(*x)
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	default:
		return fmt.Sprint(x)
	}
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// decimals is how many digits the row's currency has after the point; 0 for
// one that is not in the chart, whose amounts stay minor units.
func decimals(row reflect.Value) int {
	f := row.FieldByName("Currency")
	if !f.IsValid() {
		return 0
	}
	c, _ := chart.ByCode(f.String())
	return int(c.Digits)
}

func writeJSON(w io.Writer, r reports.Sheet) error {
	h := r.Heading()
	head := struct {
		Report          string        `json:"report"`
		AsOf            string        `json:"as_of"`
		Basis           reports.Basis `json:"basis"`
		LedgerTimestamp uint64        `json:"ledger_timestamp"`
		MirroredTo      string        `json:"mirrored_to,omitempty"`
		MirrorLag       *float64      `json:"mirror_lag_seconds,omitempty"`
	}{Report: h.Report, AsOf: moment(h.AsOf), Basis: h.Basis, LedgerTimestamp: h.LedgerTimestamp, MirroredTo: moment(h.MirroredTo)}
	if head.MirroredTo != "" {
		lag := h.MirrorLag.Seconds()
		head.MirrorLag = &lag
	}
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	rows, _, _ := lines(r)
	// One row a line: it reads well, and a long report is never in memory
	// twice.
	if _, err := fmt.Fprintf(w, "%s,\"rows\":[", text[:len(text)-1]); err != nil {
		return err
	}
	for i := range rows.Len() {
		row, err := json.Marshal(rows.Index(i).Interface())
		if err != nil {
			return err
		}
		comma := ","
		if i == 0 {
			comma = ""
		}
		if _, err := fmt.Fprintf(w, "%s\n%s", comma, row); err != nil {
			return err
		}
	}
	end := "\n]}\n"
	if rows.Len() == 0 {
		end = "]}\n"
	}
	_, err = io.WriteString(w, end)
	return err
}

func writeCSV(w io.Writer, r reports.Sheet) error {
	rows, _, cols := lines(r)
	out := csv.NewWriter(w)
	out.UseCRLF = true // RFC 4180, section 2
	record := make([]string, len(cols))
	for i, c := range cols {
		record[i] = c.name
	}
	if err := out.Write(record); err != nil {
		return err
	}
	for i := range rows.Len() {
		for j, c := range cols {
			record[j] = cell(rows.Index(i).FieldByIndex(c.index), 0)
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func writeTable(w io.Writer, r reports.Sheet) error {
	rows, totals, cols := lines(r)
	t := newTable(cols)
	for i := range rows.Len() {
		t.AppendRow(tableRow(rows.Index(i), cols, false))
	}
	if totals.Len() > 0 {
		t.AppendSeparator()
	}
	for i := range totals.Len() {
		t.AppendRow(tableRow(totals.Index(i), cols, true))
	}
	body := t.Render()
	if rows.Len() == 0 {
		body = "(nothing)"
	}
	problems, notes := r.Findings()
	var b strings.Builder
	b.WriteString(heading(r.Heading()))
	b.WriteString(body)
	b.WriteString("\n")
	for _, n := range notes {
		fmt.Fprintf(&b, "Note: %s.\n", printable(n))
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "DOES NOT ADD UP: %s.\n", printable(p))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tableRow writes a row's cells. What has no meaning in a total is its type's
// zero there, and says nothing.
func tableRow(row reflect.Value, cols []column, total bool) table.Row {
	digits := decimals(row)
	line := make(table.Row, len(cols))
	for i, c := range cols {
		f := row.FieldByIndex(c.index)
		if total && f.IsZero() && f.Type() != amountType {
			line[i] = ""
			continue
		}
		line[i] = printable(cell(f, digits))
	}
	return line
}

// newTable is an empty table with the columns as its header.
func newTable(cols []column) table.Writer {
	t := table.NewWriter()
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	header := make(table.Row, len(cols))
	configs := make([]table.ColumnConfig, len(cols))
	for i, c := range cols {
		header[i] = strings.ReplaceAll(c.name, "_", " ")
		configs[i] = table.ColumnConfig{Number: i + 1}
		if c.right {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	t.AppendHeader(header)
	t.SetColumnConfigs(configs)
	return t
}

func heading(h reports.Head) string {
	when := "As of " + moment(h.AsOf)
	switch {
	case h.Open:
		when += ", now: all that stands in the books."
	case h.Basis == reports.Booked:
		when += ", booked: what stood in the books by then."
	default:
		when += ", effective: what had taken effect by then, whenever it was booked."
	}
	newest := "The journal is empty."
	if h.LedgerTimestamp > 0 {
		newest = fmt.Sprintf("Newest transfer in the journal: %d (%s).", h.LedgerTimestamp, moment(time.Unix(0, int64(h.LedgerTimestamp))))
	}
	switch {
	case h.Mirrored && h.MirroredTo.IsZero():
		newest += "\nThe journal is a copy of the ledger that was never complete yet."
	case h.Mirrored:
		newest += fmt.Sprintf("\nThe journal is a copy of the ledger, complete up to %s, %s before.", moment(h.MirroredTo), h.MirrorLag.Round(time.Millisecond))
	}
	return fmt.Sprintf("%s: %s\n%s\n%s\n", h.Title, printable(h.Scope), when, newest)
}

// printable keeps what others have written (references, names) from moving
// the terminal's cursor or faking a line.
func printable(s string) string {
	if strings.IndexFunc(s, notPrintable) < 0 {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

func notPrintable(r rune) bool { return !unicode.IsPrint(r) }
