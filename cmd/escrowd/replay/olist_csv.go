package replay

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"escrowd/settlement/order"
)

// InputError is what is wrong with an input file, and where. Column counts
// bytes from 1, as editors and encoding/csv do.
type InputError struct {
	File   string
	Line   int
	Column int
	Err    error
}

func (e *InputError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Column, e.Err)
}

func (e *InputError) Unwrap() error { return e.Err }

// place is where a value stands in a file.
type place struct {
	file         string
	line, column int
}

func (p place) errorf(format string, args ...any) error {
	return &InputError{p.file, p.line, p.column, fmt.Errorf(format, args...)}
}

const statusCanceled = "canceled"

// statuses are all that Olist's documentation names. Only "canceled" changes
// a story; an unknown word means that the file is something else.
var statuses = []string{"created", "approved", "invoiced", "processing", "shipped", "delivered", "unavailable", statusCanceled}

// facts is a row of orders.csv. Times that are empty there are zero.
type facts struct {
	id, customer, status                                 string
	purchase, approved, carrier, delivered, estimated    time.Time
	approvedAt, carrierAt, deliveredAt, estimatedAt, row place
}

// parcel is all the items of one order and seller.
type parcel struct {
	order  *facts
	seller string
	cents  int64
	shipBy time.Time // the latest of its items
	at     place     // of its first item
}

var (
	orderColumns = []string{"order_id", "customer_id", "order_status", "order_purchase_timestamp", "order_approved_at",
		"order_delivered_carrier_date", "order_delivered_customer_date", "order_estimated_delivery_date"}
	itemColumns = []string{"order_id", "order_item_id", "product_id", "seller_id", "shipping_limit_date", "price", "freight_value"}
)

func readOrders(r io.Reader) (map[string]*facts, error) {
	all := map[string]*facts{}
	err := readTable(OrdersFile, r, orderColumns, func(r *row) {
		f := &facts{
			row:      r.place(0),
			id:       r.id(0),
			customer: r.id(1),
			status:   r.oneOf(2, statuses),
			purchase: r.time(3, true),
			approved: r.time(4, false), approvedAt: r.place(4),
			carrier: r.time(5, false), carrierAt: r.place(5),
			delivered: r.time(6, false), deliveredAt: r.place(6),
			estimated: r.time(7, false), estimatedAt: r.place(7),
		}
		if first, ok := all[f.id]; ok {
			r.fail(0, "the order stands in line %d already", first.row.line)
		}
		all[f.id] = f
	})
	return all, err
}

// readItems joins the items to the orders; the parcels are in the order of
// their first items.
func readItems(r io.Reader, orders map[string]*facts) ([]*parcel, error) {
	type key struct{ order, part string }
	var list []*parcel
	parcels := map[key]*parcel{}
	numbers := map[key]int{} // the line in which an order's item number stood
	err := readTable(ItemsFile, r, itemColumns, func(r *row) {
		id, number, seller := r.id(0), r.id(1), r.id(3)
		shipBy, cents := r.time(4, true), r.cents(5)+r.cents(6)
		f, ok := orders[id]
		if !ok {
			r.fail(0, "%s has no such order", OrdersFile)
			return
		}
		if line, ok := numbers[key{id, number}]; ok {
			r.fail(1, "the order's item stands in line %d already", line)
		}
		numbers[key{id, number}] = r.place(1).line
		p := parcels[key{id, seller}]
		if p == nil {
			p = &parcel{order: f, seller: seller, at: r.place(0)}
			parcels[key{id, seller}] = p
			list = append(list, p)
		}
		p.shipBy = later(p.shipBy, shipBy)
		// Each is at most 2^53-1, so no sum wraps before this refuses it.
		if p.cents += cents; p.cents > order.MaxAmount {
			r.fail(5, "the items of order and seller cost more than an order may")
		}
	})
	return list, err
}

// readTable reads a CSV file with exactly these columns. It stops at the
// first thing that is wrong.
func readTable(file string, in io.Reader, columns []string, each func(*row)) error {
	c := csv.NewReader(in)
	c.FieldsPerRecord = -1 // checked below, to say how many there are
	c.ReuseRecord = true
	r := &row{file: file, csv: c}
	for n := 0; ; n++ {
		fields, err := c.Read()
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			return &InputError{file, parse.Line, parse.Column, parse.Err}
		}
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			return &InputError{file, 1, 1, fmt.Errorf("the file is empty; the first line must be %s", strings.Join(columns, ","))}
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", file, err)
		}
		r.fields = fields
		if len(fields) != len(columns) {
			r.fail(min(len(fields)-1, len(columns)), "%d fields, there must be %d", len(fields), len(columns))
		} else if n == 0 {
			for i, want := range columns {
				if fields[i] != want {
					r.fail(i, "the column must be %s", want)
				}
			}
		} else {
			each(r)
		}
		if r.err != nil {
			return r.err
		}
	}
}

// row is a line being read. The first failure stays in err.
type row struct {
	file   string
	csv    *csv.Reader
	fields []string
	err    error
}

func (r *row) place(i int) place {
	line, column := r.csv.FieldPos(i)
	return place{r.file, line, column}
}

func (r *row) fail(i int, format string, args ...any) {
	if r.err == nil {
		r.err = r.place(i).errorf(format, args...)
	}
}

// idMax keeps reference and idempotency key, made of two ids, within the
// API's limits.
const idMax = 90

// id is a non-empty word of visible ASCII without a slash, which joins them.
func (r *row) id(i int) string {
	s := r.fields[i]
	bad := func(c rune) bool { return c <= ' ' || c > '~' || c == '/' || c == utf8.RuneError }
	if s == "" || len(s) > idMax || strings.ContainsFunc(s, bad) {
		r.fail(i, "must be 1 to %d visible ASCII characters other than a slash", idMax)
	}
	// The record's memory is used again for the next line.
	return strings.Clone(s)
}

func (r *row) oneOf(i int, words []string) string {
	if w := slices.Index(words, r.fields[i]); w >= 0 {
		return words[w]
	}
	r.fail(i, "must be one of %s", strings.Join(words, ", "))
	return ""
}

// time is a time without a zone, taken as UTC; zero if it is empty and need
// not be there.
func (r *row) time(i int, required bool) time.Time {
	s := r.fields[i]
	if s == "" && !required {
		return time.Time{}
	}
	t, err := time.Parse(time.DateTime, s)
	// Parse lets a fraction of a second pass that the layout does not have. A
	// year outside of these is a slip, and its nanoseconds would not fit.
	if err != nil || len(s) != len(time.DateTime) || t.Year() < 1970 || t.Year() > 2200 {
		r.fail(i, "must be a time such as %s", time.DateTime)
	}
	return t
}

// cents is a decimal number of at most two decimals as integer cents.
func (r *row) cents(i int) int64 {
	s := r.fields[i]
	whole, fraction, dot := strings.Cut(s, ".")
	digits := func(s string) bool {
		return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c < '0' || c > '9' })
	}
	if !digits(whole) || dot && !digits(fraction) {
		r.fail(i, "must be an amount such as 199.90")
		return 0
	}
	if len(fraction) > 2 {
		r.fail(i, "an amount has at most 2 decimals")
		return 0
	}
	v, err := strconv.ParseInt(whole+(fraction + "00")[:2], 10, 64)
	if err != nil || v > order.MaxAmount {
		r.fail(i, "the amount is above 2^53-1 cents")
		return 0
	}
	return v
}
