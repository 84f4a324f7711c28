package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"math/bits"
)

// Uint128 is an unsigned 128-bit integer; the zero value is 0. It is
// comparable and usable as a map key.
type Uint128 struct{ Hi, Lo uint64 }

// ID identifies an account or a transfer. Ids that rise with time (UUIDv7)
// keep the ledger's indexes fast.
type ID = Uint128

// Amount is a count of minor units of one currency.
type Amount = Uint128

// U64 is v as a Uint128.
func U64(v uint64) Uint128 { return Uint128{Lo: v} }

// IsZero reports whether a is 0.
func (a Uint128) IsZero() bool { return a == Uint128{} }

// Cmp is -1, 0 or +1 as a is below, equal to or above b.
func (a Uint128) Cmp(b Uint128) int {
	switch {
	case a == b:
		return 0
	case a.Hi < b.Hi, a.Hi == b.Hi && a.Lo < b.Lo:
		return -1
	}
	return 1
}

// Add is a+b, and whether that overflows 128 bits.
func (a Uint128) Add(b Uint128) (sum Uint128, overflow bool) {
	lo, carry := bits.Add64(a.Lo, b.Lo, 0)
	hi, carry := bits.Add64(a.Hi, b.Hi, carry)
	return Uint128{Hi: hi, Lo: lo}, carry != 0
}

// Sub is a-b, and whether b is larger than a.
func (a Uint128) Sub(b Uint128) (diff Uint128, underflow bool) {
	lo, borrow := bits.Sub64(a.Lo, b.Lo, 0)
	hi, borrow := bits.Sub64(a.Hi, b.Hi, borrow)
	return Uint128{Hi: hi, Lo: lo}, borrow != 0
}

// Uint64 is a as a uint64, and whether it fits.
func (a Uint128) Uint64() (v uint64, ok bool) { return a.Lo, a.Hi == 0 }

// Big is a as a big.Int.
func (a Uint128) Big() *big.Int {
	b := a.Bytes()
	return new(big.Int).SetBytes(b[:])
}

// Bytes is a in big-endian order, so that bytes sort as numbers do: the form
// in which ids are kept as Postgres uuid.
func (a Uint128) Bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	return b
}

// FromBytes is the inverse of Bytes.
func FromBytes(b [16]byte) Uint128 {
	return Uint128{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}

// String is a in decimal.
func (a Uint128) String() string {
	if a.Hi == 0 {
		return fmt.Sprint(a.Lo)
	}
	return a.Big().String()
}

// UUID is a in the 8-4-4-4-12 form that Postgres and the API show ids in.
func (a Uint128) UUID() string {
	const hex = "0123456789abcdef"
	b := a.Bytes()
	var out [36]byte
	i := 0
	for j, c := range b {
		if j == 4 || j == 6 || j == 8 || j == 10 {
			out[i] = '-'
			i++
		}
		out[i], out[i+1] = hex[c>>4], hex[c&15]
		i += 2
	}
	return string(out[:])
}

var errNotUint128 = errors.New("not an unsigned 128-bit integer")

// ParseUint128 reads a decimal number from 0 to 2^128-1.
func ParseUint128(s string) (Uint128, error) {
	if s == "" || len(s) > 39 {
		return Uint128{}, errNotUint128
	}
	var v Uint128
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return Uint128{}, errNotUint128
		}
		// v*10 + digit, noticing any overflow
		hi1, lo := bits.Mul64(v.Lo, 10)
		hi2, hi := bits.Mul64(v.Hi, 10)
		hi, carry := bits.Add64(hi, hi1, 0)
		if hi2 != 0 || carry != 0 {
			return Uint128{}, errNotUint128
		}
		var over bool
		if v, over = (Uint128{Hi: hi, Lo: lo}).Add(U64(uint64(c - '0'))); over {
			return Uint128{}, errNotUint128
		}
	}
	return v, nil
}

var errNotUUID = errors.New("not a UUID of the form 8-4-4-4-12")

// ParseUUID reads the 8-4-4-4-12 form, in either case.
func ParseUUID(s string) (Uint128, error) {
	if len(s) != 36 {
		return Uint128{}, errNotUUID
	}
	var b [16]byte
	j := 0
	for i := 0; i < 36; i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return Uint128{}, errNotUUID
			}
			continue
		}
		var d byte
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			d = c - '0'
		case c >= 'a' && c <= 'f':
			d = c - 'a' + 10
		case c >= 'A' && c <= 'F':
			d = c - 'A' + 10
		default:
			return Uint128{}, errNotUUID
		}
		b[j/2] = b[j/2]<<4 | d
		j++
	}
	return FromBytes(b), nil
}

// MarshalText writes a in decimal, so that JSON shows ids and amounts exactly
// where they may pass 2^53.
func (a Uint128) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads a decimal number.
func (a *Uint128) UnmarshalText(text []byte) error {
	v, err := ParseUint128(string(text))
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	*a = v
	return nil
}
