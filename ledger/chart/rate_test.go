package chart

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseRate(t *testing.T) {
	for _, s := range []string{"1", "7.53450", "0.000000000001", "999999999999.999999999999", "0.1"} {
		if r, err := ParseRate(s); err != nil || r.String() != s {
			t.Errorf("%q: %v, %v", s, r, err)
		}
	}
	for s, says := range map[string]string{
		"": "not a rate", ".5": "not a rate", "1.": "not a rate", "-1": "not a rate", "+1": "not a rate", "1e3": "not a rate",
		"1,5": "not a rate", " 1": "not a rate", "1.5.0": "not a rate", "١": "not a rate", "NaN": "not a rate", "1/3": "not a rate",
		"01": "leading zeros", "00.5": "leading zeros", "0": "more than zero", "0.000": "more than zero",
		"0.0000000000001": "at most 12 digits", "1000000000000": "at most 12 digits",
	} {
		if r, err := ParseRate(s); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, %v; want an error with %q", s, r, err, says)
		}
	}
}

// Figures that can be checked by hand. The decimals of both currencies count.
func TestConvert(t *testing.T) {
	for _, w := range []struct {
		amount         int64
		from, to, rate string
		want           int64
	}{
		{75_345, "HRK", "EUR", "0.132722808414", 10_000}, // 753.45 kuna are 100 euro
		{10_000, "EUR", "HRK", "7.53450", 75_345},        // the fixed rate
		{1, "EUR", "HRK", "7.53450", 8},                  // 0.075345
		{15_000, "JPY", "USD", "0.0067", 10_050},         // 100.50
		{10_050, "USD", "JPY", "149.25", 15_000},         // 14999.625
		{10_000, "USD", "KWD", "0.3075", 30_750},         // 30.750
		{30_750, "KWD", "USD", "3.25203252", 10_000},     // 99.99999999
		{1, "JPY", "KWD", "0.0020", 2},
		{1, "JPY", "KWD", "0.0025", 2}, // half to even, both ways
		{1, "JPY", "KWD", "0.0035", 4},
		{1, "JPY", "KWD", "0.002500000001", 3},
		{1, "KWD", "JPY", "0.1", 0},
		{1<<53 - 1, "USD", "USD", "1", 1<<53 - 1},
		{10_000, "CLF", "CLP", "39000.0000", 39_000}, // 4 decimals to none
	} {
		r, err := ParseRate(w.rate)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Convert(w.amount, currency(t, w.from), currency(t, w.to))
		if err != nil || got != w.want {
			t.Errorf("%s %d at %s is %s %d, %v; want %d", w.from, w.amount, w.rate, w.to, got, err, w.want)
		}
	}
	r, _ := ParseRate("999999999999")
	if got, err := r.Convert(1<<53-1, currency(t, "JPY"), currency(t, "KWD")); err == nil || got != 0 {
		t.Errorf("more than 64 bits: %d, %v", got, err)
	}
}

// By another road: rational arithmetic. What is converted is never further from
// the exact value than half a minor unit, and at just a half it is even.
func TestConvertIsTheNearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := anyCurrency(t), anyCurrency(t)
		text := rapid.StringMatching(`(0|[1-9][0-9]{0,4})(\.[0-9]{1,12})?`).Draw(t, "rate")
		r, err := ParseRate(text)
		if err != nil {
			t.Skip(err)
		}
		amount := rapid.Int64Range(1, 1<<40).Draw(t, "amount")
		got, err := r.Convert(amount, from, to)
		if err != nil {
			t.Skip(err)
		}
		exact, _ := new(big.Rat).SetString(text)
		exact.Mul(exact, new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(amount), power(int(to.Digits))), power(int(from.Digits))))
		off := new(big.Rat).Sub(exact, new(big.Rat).SetInt64(got))
		if c := off.Abs(off).Cmp(big.NewRat(1, 2)); c > 0 || c == 0 && got%2 == 1 {
			t.Fatalf("%s %d at %s is %s %s, not %d", from, amount, text, to, exact.FloatString(3), got)
		}
	})
}
