package order

import "math/bits"

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
