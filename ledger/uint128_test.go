package ledger

import (
	"encoding/json"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// anyUint128 likes the edges, where carries are.
func anyUint128() *rapid.Generator[Uint128] {
	half := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, 1 << 63, ^uint64(0) - 1, ^uint64(0)}))
	return rapid.Custom(func(t *rapid.T) Uint128 {
		return Uint128{Hi: half.Draw(t, "hi"), Lo: half.Draw(t, "lo")}
	})
}

// TestUint128CountsAsBigIntDoes checks arithmetic, order and every written
// form against math/big.
func TestUint128CountsAsBigIntDoes(t *testing.T) {
	two128 := new(big.Int).Lsh(big.NewInt(1), 128)
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyUint128().Draw(t, "a"), anyUint128().Draw(t, "b")
		x, y := a.Big(), b.Big()

		sum, over := a.Add(b)
		want := new(big.Int).Add(x, y)
		if over != (want.Cmp(two128) >= 0) || sum.Big().Cmp(want.Mod(want, two128)) != 0 {
			t.Fatalf("%v + %v = %v, overflow %v", a, b, sum, over)
		}
		diff, under := a.Sub(b)
		want = new(big.Int).Sub(x, y)
		if under != (want.Sign() < 0) || diff.Big().Cmp(want.Mod(want, two128)) != 0 {
			t.Fatalf("%v - %v = %v, underflow %v", a, b, diff, under)
		}
		if a.Cmp(b) != x.Cmp(y) || b.Cmp(a) != y.Cmp(x) || a.Cmp(a) != 0 {
			t.Fatalf("%v Cmp %v = %d", a, b, a.Cmp(b))
		}
		if v, ok := a.Uint64(); ok != x.IsUint64() || ok && v != x.Uint64() {
			t.Fatalf("%v as uint64: %d, %v", a, v, ok)
		}
		if a.String() != x.String() {
			t.Fatalf("%v is written %s", x, a)
		}
		if back, err := ParseUint128(a.String()); err != nil || back != a {
			t.Fatalf("%s is read as %v (%v)", a, back, err)
		}
		if back, err := ParseUUID(a.UUID()); err != nil || back != a {
			t.Fatalf("%s is read as %v (%v)", a.UUID(), back, err)
		}
		if FromBytes(a.Bytes()) != a {
			t.Fatalf("%v does not survive its bytes", a)
		}
	})
}

func TestParseUint128(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Uint128
		ok   bool
	}{
		{"0", Uint128{}, true},
		{"007", U64(7), true},
		{"18446744073709551616", Uint128{Hi: 1}, true},
		{"340282366920938463463374607431768211455", AmountMax, true},
		{"340282366920938463463374607431768211456", Uint128{}, false}, // 2^128
		{"999999999999999999999999999999999999999", Uint128{}, false},
		{"1000000000000000000000000000000000000000", Uint128{}, false}, // 40 digits
		{"", Uint128{}, false},
		{"-1", Uint128{}, false},
		{"+1", Uint128{}, false},
		{" 1", Uint128{}, false},
		{"1e3", Uint128{}, false},
		{"0x10", Uint128{}, false},
		{"١", Uint128{}, false}, // a digit, but not one of ours
	} {
		got, err := ParseUint128(c.in)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %v, %v", c.in, got, err)
		}
	}
}

func TestParseUUID(t *testing.T) {
	want := Uint128{Hi: 0x0123456789abcdef, Lo: 0xfedcba9876543210}
	for _, good := range []string{"01234567-89ab-cdef-fedc-ba9876543210", "01234567-89AB-CDEF-FEDC-BA9876543210"} {
		if got, err := ParseUUID(good); err != nil || got != want {
			t.Errorf("%q: %v, %v", good, got, err)
		}
	}
	for _, bad := range []string{
		"", "01234567-89ab-cdef-fedc-ba987654321", "0123456789abcdeffedcba9876543210",
		"01234567089ab-cdef-fedc-ba9876543210", "g1234567-89ab-cdef-fedc-ba9876543210",
		"{1234567-89ab-cdef-fedc-ba987654321}",
	} {
		if got, err := ParseUUID(bad); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

// TestUint128InJSON: exact where a JSON number would be rounded.
func TestUint128InJSON(t *testing.T) {
	text, err := json.Marshal(map[string]Uint128{"id": AmountMax})
	if err != nil || string(text) != `{"id":"340282366920938463463374607431768211455"}` {
		t.Fatalf("%s, %v", text, err)
	}
	var back struct{ ID Uint128 }
	if err := json.Unmarshal(text, &back); err != nil || back.ID != AmountMax {
		t.Fatalf("%v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"id":"12x"}`), &back); err == nil {
		t.Fatal("12x was read as a number")
	}
}
