package chart

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// The decimals of a rate, and the digits before its point. Twelve decimals tell
// apart whatever is quoted; a rate of an older currency of many zeros fits too.
const (
	RateDecimals = 12
	rateWhole    = 12
)

// Rate is a rate of exchange: units of one currency for one unit of another, an
// exact decimal and never a float. Its text is kept as it was given.
type Rate struct {
	text  string
	value *big.Int // the rate times 10^scale
	scale int
}

// ParseRate reads a rate: digits, and after a point up to RateDecimals more.
// Like Parse it refuses whatever might hide a mistake; a rate of zero is one.
func ParseRate(s string) (Rate, error) {
	whole, fraction, point := strings.Cut(s, ".")
	switch {
	case whole == "" || !digits(whole) || !digits(fraction) || point && fraction == "":
		return Rate{}, errors.New("not a rate: want digits, like 1.0825")
	case len(whole) > 1 && whole[0] == '0':
		return Rate{}, errors.New("a rate has no leading zeros")
	case len(fraction) > RateDecimals || len(whole) > rateWhole:
		return Rate{}, fmt.Errorf("a rate has at most %d digits before the point and %d after it", rateWhole, RateDecimals)
	}
	v, _ := new(big.Int).SetString(whole+fraction, 10) // digits only
	if v.Sign() == 0 {
		return Rate{}, errors.New("a rate is more than zero")
	}
	return Rate{s, v, len(fraction)}, nil
}

func (r Rate) String() string { return r.text }

// Convert is what an amount of minor units of a currency comes to in minor units
// of another, at r units of to for one unit of from: exact, and rounded once at
// the end, the half to even. An error says that it does not fit 64 bits.
func (r Rate) Convert(amount int64, from, to Currency) (int64, error) {
	above := new(big.Int).Mul(big.NewInt(amount), r.value)
	above.Mul(above, power(int(to.Digits)))
	below := power(r.scale + int(from.Digits))
	q, rest := new(big.Int).QuoRem(above, below, new(big.Int))
	if c := rest.Lsh(rest, 1).CmpAbs(below); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(int64(above.Sign())))
	}
	if !q.IsInt64() {
		return 0, fmt.Errorf("%s %s at the rate %s is more %s than can be counted", from.Code, from.Minor(amount), r, to.Code)
	}
	return q.Int64(), nil
}

func power(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }
