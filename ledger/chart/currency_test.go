package chart

import (
	"encoding/csv"
	"fmt"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"escrowd/ledger"

	"pgregory.net/rapid"
)

func TestCurrenciesTable(t *testing.T) {
	last := ""
	numbers := map[uint16]string{}
	for _, c := range Currencies() {
		if c.Code <= last || len(c.Code) != 3 || strings.ToUpper(c.Code) != c.Code {
			t.Errorf("%q after %q: codes are three capitals, in order, each once", c.Code, last)
		}
		last = c.Code
		if other, ok := numbers[c.Number]; ok || c.Number == 0 || c.Number > 999 {
			t.Errorf("%s: number %d is out of range or also %s's", c.Code, c.Number, other)
		}
		numbers[c.Number] = c.Code
		if c.Name == "" || c.Digits > 4 {
			t.Errorf("%s: name %q, %d digits", c.Code, c.Name, c.Digits)
		}
		if got, ok := ByCode(c.Code); !ok || got != c {
			t.Errorf("ByCode(%s) is %+v, %v", c.Code, got, ok)
		}
		if got, ok := ByNumber(c.Number); !ok || got != c {
			t.Errorf("ByNumber(%d) is %+v, %v", c.Number, got, ok)
		}
	}
}

// The table says what the standard says, row by row, and leaves nothing out.
func TestCurrenciesAreTheStandards(t *testing.T) {
	f, err := os.Open("testdata/iso4217.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil || len(rows) < 190 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	listed := 0
	for _, row := range rows[1:] {
		code, unit, withdrawn, successor := row[0], row[2], row[3], row[4]
		number, err := strconv.ParseUint(row[1], 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		c, ok := ByCode(code)
		_, none := uncounted[code]
		shared := false // a withdrawn currency whose successor has its number
		if s, ok := ByCode(successor); ok {
			shared = s.Number == uint16(number)
		}
		switch {
		case unit == "N.A." || shared:
			if ok || !none {
				t.Errorf("%s has no ledger, and is %+v, uncounted %v", code, c, none)
			}
		case !ok || none:
			t.Errorf("%s is missing", code)
		case uint64(c.Number) != number || fmt.Sprint(c.Digits) != unit || c.Withdrawn != withdrawn || c.Successor != successor:
			t.Errorf("%s is %+v, the standard has %v", code, c, row)
		default:
			listed++
		}
	}
	if all := len(Currencies()) + len(uncounted); len(rows)-1 != all || listed != len(Currencies()) {
		t.Errorf("the standard's list has %d rows, the tables %d", len(rows)-1, all)
	}
}

// What took a currency's place is one that was in use on that day, and nothing
// is named twice.
func TestSuccessors(t *testing.T) {
	for _, c := range Currencies() {
		if (c.Withdrawn == "") != (c.Successor == "") {
			t.Errorf("%s: withdrawn %q, successor %q", c, c.Withdrawn, c.Successor)
		}
		if c.Withdrawn == "" {
			continue
		}
		day, err := time.Parse(time.DateOnly, c.Withdrawn)
		s, ok := ByCode(c.Successor)
		if err != nil || !ok || s.Open(day) != nil {
			t.Errorf("%s: withdrawn %v, successor %+v", c, err, s)
		}
	}
	for code, why := range uncounted {
		if _, ok := ByCode(code); ok || !strings.HasPrefix(why, code) {
			t.Errorf("%s: %q", code, why)
		}
	}
}

func TestOpen(t *testing.T) {
	day := time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)
	zagreb := time.FixedZone("", 3600)
	for _, w := range []struct {
		code string
		at   time.Time
		want string
	}{
		{"HRK", day.Add(-time.Microsecond), ""},
		{"HRK", day, "HRK was withdrawn on 2023-01-01: EUR took its place"},
		{"HRK", day.AddDate(50, 0, 0), "HRK was withdrawn on 2023-01-01: EUR took its place"},
		{"HRK", time.Date(2023, 1, 1, 0, 30, 0, 0, zagreb), ""}, // days are UTC
		{"BGN", time.Date(2025, 12, 31, 23, 59, 59, 0, time.UTC), ""},
		{"BGN", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), "BGN was withdrawn on 2026-01-01: EUR took its place"},
		{"EUR", day, ""},
		{"EUR", time.Time{}, ""},
	} {
		got := ""
		if err := currency(t, w.code).Open(w.at); err != nil {
			got = err.Error()
		}
		if got != w.want {
			t.Errorf("%s at %s: %q, want %q", w.code, w.at, got, w.want)
		}
	}
}

func TestFind(t *testing.T) {
	if c, err := Find("KWD"); err != nil || c.Digits != 3 {
		t.Errorf("%+v, %v", c, err)
	}
	for code, want := range map[string]string{
		"":     "not an ISO 4217 currency",
		"usd":  "not an ISO 4217 currency",
		"USDT": "not an ISO 4217 currency",
		"XAU":  "XAU, gold, has no minor unit",
		"XXX":  "XXX means that there is no currency",
		"XTS":  "XTS is reserved for testing and no currency",
		"ANG":  "ANG was withdrawn on 2025-03-31: XCG took its place, under the same number",
	} {
		if c, err := Find(code); err == nil || err.Error() != want || c != (Currency{}) {
			t.Errorf("%q is %+v, %v; want %q", code, c, err, want)
		}
		if c, ok := ByCode(code); ok {
			t.Errorf("%q is a currency: %+v", code, c)
		}
	}
	for _, number := range []uint16{0, 960, 963, 999} { // none, XDR, XTS, XXX
		if c, ok := ByNumber(number); ok {
			t.Errorf("%d is a currency: %+v", number, c)
		}
	}
}

func currency(t testing.TB, code string) Currency {
	t.Helper()
	c, ok := ByCode(code)
	if !ok {
		t.Fatalf("no currency %s", code)
	}
	return c
}

func TestFormatAndParse(t *testing.T) {
	for _, w := range []struct {
		code, decimal string
		minor         ledger.Amount
	}{
		{"USD", "1234.56", ledger.U64(123456)},
		{"USD", "0.00", ledger.U64(0)},
		{"USD", "0.05", ledger.U64(5)},
		{"USD", "0.50", ledger.U64(50)},
		{"USD", "1.00", ledger.U64(100)},
		{"JPY", "0", ledger.U64(0)},
		{"JPY", "1234", ledger.U64(1234)},
		{"KWD", "1.234", ledger.U64(1234)},
		{"KWD", "0.001", ledger.U64(1)},
		{"CLF", "0.1234", ledger.U64(1234)},
		{"USD", "3402823669209384634633746074317682114.55", ledger.AmountMax},
		{"JPY", "340282366920938463463374607431768211455", ledger.AmountMax},
	} {
		c := currency(t, w.code)
		if got := c.Format(w.minor); got != w.decimal {
			t.Errorf("%s: %s is written %q, want %q", w.code, w.minor, got, w.decimal)
		}
		if got, err := c.Parse(w.decimal); err != nil || got != w.minor {
			t.Errorf("%s: %q is read as %s, %v; want %s", w.code, w.decimal, got, err, w.minor)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, w := range []struct{ code, decimal, says string }{
		{"USD", "1", "has 0 decimals, USD has 2"},
		{"USD", "1.5", "has 1 decimals, USD has 2"},
		{"USD", "1.500", "has 3 decimals, USD has 2"},
		{"JPY", "1.0", "has 1 decimals, JPY has 0"},
		{"KWD", "1.23", "has 2 decimals, KWD has 3"},
		{"USD", "", "not an amount"},
		{"USD", ".50", "not an amount"},
		{"USD", "1.", "not an amount"},
		{"JPY", "1.", "not an amount"},
		{"USD", "-1.00", "not an amount"},
		{"USD", "+1.00", "not an amount"},
		{"USD", "1,00", "not an amount"},
		{"USD", "1,234.00", "not an amount"},
		{"USD", "1e2", "not an amount"},
		{"USD", " 1.00", "not an amount"},
		{"USD", "1.00\n", "not an amount"},
		{"USD", "1.0.0", "not an amount"},
		{"USD", "١.٠٠", "not an amount"},
		{"USD", "NaN", "not an amount"},
		{"USD", "01.00", "leading zeros"},
		{"JPY", "00", "leading zeros"},
		{"USD", "3402823669209384634633746074317682114.56", "larger than 128 bits"},
		{"JPY", "999999999999999999999999999999999999999999", "larger than 128 bits"},
	} {
		got, err := currency(t, w.code).Parse(w.decimal)
		if err == nil || !strings.Contains(err.Error(), w.says) || !got.IsZero() {
			t.Errorf("%s: %q is read as %s, %v; want an error with %q", w.code, w.decimal, got, err, w.says)
		}
	}
}

func anyCurrency(t *rapid.T) Currency { return rapid.SampledFrom(Currencies()).Draw(t, "currency") }

func TestParseReadsWhatFormatWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyCurrency(t)
		// Small amounts, where zeros are padded, as often as large ones.
		lo := rapid.OneOf(rapid.Uint64Max(20000), rapid.Uint64()).Draw(t, "lo")
		hi := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()).Draw(t, "hi")
		amount := ledger.Amount{Hi: hi, Lo: lo}
		s := c.Format(amount)
		got, err := c.Parse(s)
		if err != nil || got != amount {
			t.Fatalf("%s %s is written %q and read as %s, %v", c, amount, s, got, err)
		}
		// The same value by another road: exact rational arithmetic.
		value, ok := new(big.Rat).SetString(s)
		scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.Digits)), nil)
		if !ok || value.Cmp(new(big.Rat).SetFrac(amount.Big(), scale)) != 0 {
			t.Fatalf("%s %s is written %q, which is another value", c, amount, s)
		}
	})
}

func TestFormatWritesWhatParseAccepts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyCurrency(t)
		s := rapid.OneOf(rapid.StringMatching(`[0-9]{0,4}(\.[0-9]{0,5})?`), rapid.StringMatching(`[0-9.,+ e-]{0,8}`)).Draw(t, "decimal")
		if amount, err := c.Parse(s); err == nil && c.Format(amount) != s {
			t.Fatalf("%s: %q is read as %s, which is written %q: two spellings of one amount", c, s, amount, c.Format(amount))
		}
	})
}

func TestLedger(t *testing.T) {
	usd, all := currency(t, "USD"), currency(t, "ALL")
	for _, w := range []struct {
		marketplace uint32
		c           Currency
		want        uint32 // 0 for an error
	}{
		{1, usd, 1840},
		{1, all, 1008},
		{42, usd, 42840},
		{4294966, usd, 4294966840},
		{4294967, all, 4294967008},
		{4294967, usd, 0},
		{4294968, all, 0},
		{1<<32 - 1, all, 0},
		{0, usd, 0},
		{1, Currency{}, 0},
		{1, Currency{Code: "USD", Number: 840, Digits: 3, Name: "US Dollar"}, 0},
	} {
		got, err := Ledger(w.marketplace, w.c)
		if got != w.want || (err == nil) != (w.want != 0) {
			t.Errorf("marketplace %d in %s: ledger %d, %v; want %d", w.marketplace, w.c, got, err, w.want)
		}
	}
	for _, l := range []uint32{0, 840, 999, 1000, 1999, 1001} {
		if m, c, ok := SplitLedger(l); ok {
			t.Errorf("ledger %d is marketplace %d in %s", l, m, c)
		}
	}
}

func TestSplitLedgerInvertsLedger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, c := rapid.Uint32Range(1, 4294966).Draw(t, "marketplace"), anyCurrency(t)
		l, err := Ledger(m, c)
		if err != nil {
			t.Fatal(err)
		}
		if gm, gc, ok := SplitLedger(l); !ok || gm != m || gc != c {
			t.Fatalf("marketplace %d in %s is ledger %d, which is marketplace %d in %s, %v", m, c, l, gm, gc, ok)
		}
	})
}
