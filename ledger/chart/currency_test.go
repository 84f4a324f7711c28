package chart

import (
	"math/big"
	"strings"
	"testing"

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

// ISO 4217's own figures for what is often got wrong, and for the common ones.
func TestCurrencies(t *testing.T) {
	for _, w := range []struct {
		code      string
		number    uint16
		digits    uint8
		withdrawn bool
	}{
		{"USD", 840, 2, false}, {"EUR", 978, 2, false}, {"GBP", 826, 2, false}, {"BRL", 986, 2, false},
		{"CNY", 156, 2, false}, {"INR", 356, 2, false}, {"CHF", 756, 2, false}, {"AUD", 36, 2, false},
		{"ALL", 8, 2, false}, {"IDR", 360, 2, false}, {"HUF", 348, 2, false}, {"TWD", 901, 2, false},
		{"MGA", 969, 2, false}, {"MRU", 929, 2, false}, {"XCG", 532, 2, false}, {"ZWG", 924, 2, false}, {"SLE", 925, 2, false},
		{"JPY", 392, 0, false}, {"KRW", 410, 0, false}, {"CLP", 152, 0, false}, {"VND", 704, 0, false},
		{"ISK", 352, 0, false}, {"UGX", 800, 0, false}, {"XOF", 952, 0, false}, {"UYI", 940, 0, false},
		{"KWD", 414, 3, false}, {"BHD", 48, 3, false}, {"IQD", 368, 3, false}, {"TND", 788, 3, false},
		{"CLF", 990, 4, false}, {"UYW", 927, 4, false},
		{"HRK", 191, 2, true}, {"BGN", 975, 2, true},
	} {
		c, ok := ByCode(w.code)
		if !ok || c.Number != w.number || c.Digits != w.digits || c.Withdrawn != w.withdrawn {
			t.Errorf("%s is %+v, %v; want number %d, %d digits, withdrawn %v", w.code, c, ok, w.number, w.digits, w.withdrawn)
		}
	}
	for _, code := range []string{"", "usd", "XAU", "XDR", "XTS", "XXX", "USDT", "ANG"} {
		if c, ok := ByCode(code); ok {
			t.Errorf("%q is a currency: %+v", code, c)
		}
	}
	if c, ok := ByNumber(999); ok {
		t.Errorf("999 is a currency: %+v", c)
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
