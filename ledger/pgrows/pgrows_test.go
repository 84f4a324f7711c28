package pgrows_test

import (
	"bytes"
	"context"
	"math"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgrows"
)

var table = pgrows.Table{Name: "rows", Columns: []pgrows.Column{
	{Name: "n", Kind: "int"}, {Name: "id", Kind: "uuid"}, {Name: "maybe", Kind: "uuid"}, {Name: "bits", Kind: "bigint"}, {Name: "amount", Kind: "numeric"},
	{Name: "flag", Kind: "boolean"}, {Name: "at", Kind: "timestamptz"}, {Name: "word", Kind: "text"}, {Name: "words", Kind: "text"},
	{Name: "data", Kind: "jsonb"}, {Name: "bytes", Kind: "bytea"},
}}

type row struct {
	id    ledger.ID
	bits  uint64
	sum   ledger.Amount
	flag  bool
	at    time.Time
	word  string
	words string
	data  string
	bytes []byte
}

// Both ways give Postgres the same rows, and the ones that were put.
func TestArraysAndCopy(t *testing.T) {
	ctx := context.Background()
	db := pgtest.Open(t)
	if _, err := db.Exec(`CREATE TABLE rows (n int, id uuid, maybe uuid, bits bigint, amount numeric, flag boolean, at timestamptz,
		word text, words text, data jsonb, bytes bytea)`); err != nil {
		t.Fatal(err)
	}
	moment := time.Date(2026, 2, 3, 4, 5, 6, 789012000, time.FixedZone("", 3600))
	rows := []row{
		{},
		{id: ledger.AmountMax, bits: math.MaxUint64, sum: ledger.AmountMax, flag: true, at: moment, word: "auto_release-2",
			words: `a "quoted" \ back\\slash, {brace}, NULL` + "\ttab\nline\r\x01 é 中", data: `{"a": "b\"\\ \t,{}"}`, bytes: []byte{0, 1, 0x1e, 0x1f, '\\', '"', 255}},
		{id: ledger.ID{Lo: 7}, at: time.UnixMicro(1).UTC(), word: "x", words: "NULL", data: `null`, bytes: []byte("x")},
		{id: ledger.ID{Hi: 1}, at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), word: "y", words: "\\N", data: `[1, 2]`, bytes: bytes.Repeat([]byte{0x5c}, 3000)},
	}
	put := func(f *pgrows.Fields, i int) {
		r := &rows[i]
		f.Int(int64(i))
		f.ID(r.id)
		f.IDOrNull(r.id)
		f.Bits(r.bits)
		f.Amount(r.sum)
		f.Bool(r.flag)
		f.Time(r.at)
		f.WordOrNull(r.word)
		f.TextOrNull(r.words)
		f.TextOrNull(r.data)
		f.BytesOrNull(r.bytes)
	}
	check := func(how string) {
		t.Helper()
		var n int
		for i, r := range rows {
			if !pgrows.LineSafe(r.words) || !pgrows.LineSafe(r.data) {
				t.Fatalf("row %d is not fit for a line", i)
			}
			null := func(v string) any {
				if v == "" {
					return nil
				}
				return v
			}
			var at, maybe, data any = r.at, r.id.UUID(), null(r.data)
			if r.at.IsZero() {
				at = nil
			}
			if r.id.IsZero() {
				maybe = nil
			}
			var b any = r.bytes
			if r.bytes == nil {
				b = nil
			}
			if err := db.Get(&n, `SELECT count(*) FROM rows WHERE n = $1 AND id = $2 AND maybe IS NOT DISTINCT FROM $3 AND bits = $4
				AND amount = $5::numeric AND flag = $6 AND at IS NOT DISTINCT FROM $7 AND word IS NOT DISTINCT FROM $8
				AND words IS NOT DISTINCT FROM $9 AND data IS NOT DISTINCT FROM $10::jsonb AND bytes IS NOT DISTINCT FROM $11`,
				i, r.id.UUID(), maybe, int64(r.bits), r.sum.String(), r.flag, at, null(r.word), null(r.words), data, b); err != nil || n != 1 {
				t.Errorf("%s: row %d stands %d times as it was put, %v", how, i, n, err)
			}
		}
		if err := db.Get(&n, `SELECT count(*) FROM rows`); err != nil || n != len(rows) {
			t.Errorf("%s: %d rows, %v", how, n, err)
		}
	}
	if _, err := db.Exec(table.Insert(1), table.Arrays(len(rows), put)...); err != nil {
		t.Fatal(err)
	}
	check("arrays")

	db.MustExec(`TRUNCATE rows`)
	tx := db.MustBegin()
	if err := table.Copy(ctx, tx, len(rows), put); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	check("copy")

	// None are none.
	if _, err := db.Exec(table.Insert(1), table.Arrays(0, put)...); err != nil {
		t.Fatal(err)
	}
	check("no more")
	for _, v := range []string{"a\x1eb", "\x1f"} {
		if pgrows.LineSafe(v) {
			t.Errorf("%q would break a line", v)
		}
	}
}

// What Postgres says of a copied row is the error, and the connection is fit.
func TestCopyRefused(t *testing.T) {
	db := pgtest.Open(t)
	db.MustExec(`CREATE TABLE one (n int PRIMARY KEY)`)
	one := pgrows.Table{Name: "one", Columns: []pgrows.Column{{Name: "n", Kind: "int"}}}
	tx := db.MustBegin()
	if err := one.Copy(context.Background(), tx, 2, func(f *pgrows.Fields, _ int) { f.Int(1) }); err == nil {
		t.Error("the same key twice was copied")
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	if err := db.Ping(); err != nil {
		t.Error(err)
	}
}
