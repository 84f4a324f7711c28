package order

import (
	"cmp"
	"math/bits"
	"slices"
)

// mulDiv is a*b/c, the half rounded to even, without overflow on the way.
// All are non-negative, c is positive and a*b/c fits an int64.
func mulDiv(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	q, r := bits.Div64(hi, lo, uint64(c))
	// Compare r with c-r and not 2r with c, which could overflow.
	if rest := uint64(c) - r; r > rest || r == rest && q&1 == 1 {
		q++
	}
	return int64(q)
}

// releaseParts splits a release of gross into the seller's net, the fee and
// the tax: pro rata to what of the buyer's payment has been released, so that a
// fee taken in portions comes to the same as one taken at once, and the last
// portion takes what rounding has left. The parts always sum to gross and none
// is negative.
//
// The tax is what fee and tax come to together, less the fee. Rounded by itself
// it could round down where the fee does, the seller would be paid what belongs
// to the tax, and the last portion could not make up for it.
func releaseParts(o *Order, gross int64) (net, fee, tax int64) {
	released := o.Released + gross
	whole := o.Charge()
	feeSoFar := mulDiv(whole.Fee, released, whole.Pays())
	taxSoFar := mulDiv(whole.Fee+whole.Tax, released, whole.Pays()) - feeSoFar
	fee = min(feeSoFar-o.FeeCharged, gross)
	tax = max(0, min(taxSoFar-o.TaxCharged, gross-fee))
	return gross - fee - tax, fee, tax
}

// proRata splits amount in proportion to the parts of a whole, of which it is at
// most all: each share is rounded down, and what is left goes, unit by unit, to
// the largest remainders, of equal ones to the first. The shares always sum to
// amount, none is more than its part, and of all each gets its part.
func proRata(amount int64, parts ...int64) []int64 {
	var whole int64
	for _, part := range parts {
		whole += part
	}
	shares, order := make([]int64, len(parts)), make([]int, len(parts))
	rests := make([]uint64, len(parts))
	left := amount
	for i, part := range parts {
		hi, lo := bits.Mul64(uint64(amount), uint64(part))
		q, r := bits.Div64(hi, lo, uint64(whole))
		shares[i], rests[i], order[i] = int64(q), r, i
		left -= int64(q)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rests[b], rests[a]) })
	for _, i := range order[:left] {
		shares[i]++
	}
	return shares
}
