package reports

import (
	"fmt"
	"math/big"
)

// Amount is a signed whole number of minor units of any size: a sum of
// amounts may pass the ledger's 128 bits, and a balance may stand on the
// other side. The zero value is 0. An Amount never changes.
type Amount struct{ v *big.Int }

var zero big.Int

func (a Amount) big() *big.Int {
	if a.v == nil {
		return &zero
	}
	return a.v
}

// Units is v minor units.
func Units(v int64) Amount { return Amount{big.NewInt(v)} }

// Add is a+b.
func (a Amount) Add(b Amount) Amount { return Amount{new(big.Int).Add(a.big(), b.big())} }

// Sub is a-b.
func (a Amount) Sub(b Amount) Amount { return Amount{new(big.Int).Sub(a.big(), b.big())} }

// Cmp is -1, 0 or +1 as a is below, equal to or above b.
func (a Amount) Cmp(b Amount) int { return a.big().Cmp(b.big()) }

// Sign is -1, 0 or +1.
func (a Amount) Sign() int { return a.big().Sign() }

// Abs is a without its sign.
func (a Amount) Abs() Amount { return Amount{new(big.Int).Abs(a.big())} }

// String is a in minor units.
func (a Amount) String() string { return a.big().String() }

// Decimal is a with so many digits after the point: 123456 with 2 is
// "1234.56".
func (a Amount) Decimal(digits int) string {
	s := a.big().String()
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	if digits == 0 {
		return sign + s
	}
	for len(s) <= digits {
		s = "0" + s
	}
	return sign + s[:len(s)-digits] + "." + s[len(s)-digits:]
}

// MarshalJSON writes an integer, also beyond 2^53: a reader that cannot keep
// it exactly must not get a rounded one from us.
func (a Amount) MarshalJSON() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalJSON reads an integer.
func (a *Amount) UnmarshalJSON(text []byte) error { return a.parse(string(text)) }

// Scan reads a numeric without decimals or a bigint; NULL, the sum of
// nothing, is 0.
func (a *Amount) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*a = Amount{}
		return nil
	case int64:
		*a = Units(v)
		return nil
	case []byte:
		return a.parse(string(v))
	case string:
		return a.parse(v)
	}
	return fmt.Errorf("reports: an amount cannot be read from %T", src)
}

func (a *Amount) parse(s string) error {
	v, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return fmt.Errorf("reports: %.50q is not a whole number", s)
	}
	a.v = v
	return nil
}
