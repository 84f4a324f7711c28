package orderdb

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
)

// What was packed comes back to the bit, whatever it is.
func TestMoves(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	wide := func() ledger.ID {
		switch rnd.IntN(4) {
		case 0:
			return ledger.ID{}
		case 1:
			return ledger.AmountMax
		}
		return ledger.ID{Hi: rnd.Uint64(), Lo: rnd.Uint64()}
	}
	for range 1000 {
		n := Intent{ID: wide(), Order: &order.Order{Terms: order.Terms{ID: wide()}}}
		n.Order.At = time.UnixMicro(rnd.Int64N(1 << 52))
		for range rnd.IntN(4) {
			n.Accounts = append(n.Accounts, ledger.Account{ID: wide(), DebitsPosted: wide(), UserData128: wide(), UserData64: rnd.Uint64(),
				UserData32: rnd.Uint32(), Ledger: rnd.Uint32(), Code: uint16(rnd.Uint32()), Flags: ledger.AccountFlags(rnd.Uint32()), Timestamp: rnd.Uint64()})
		}
		for range rnd.IntN(5) {
			n.Legs = append(n.Legs, ledger.Transfer{ID: wide(), DebitAccountID: wide(), CreditAccountID: n.Order.ID, Amount: wide(), PendingID: wide(),
				UserData128: n.Order.ID, UserData64: uint64(n.Order.At.UnixMicro()), UserData32: rnd.Uint32(), Timeout: rnd.Uint32(),
				Ledger: rnd.Uint32(), Code: uint16(rnd.Uint32()), Flags: ledger.TransferFlags(rnd.Uint32()), Timestamp: rnd.Uint64()})
		}
		b, err := packMoves(&n)
		if err != nil {
			t.Fatal(err)
		}
		if (b == nil) != (len(n.Accounts)+len(n.Legs) == 0) {
			t.Fatalf("%d bytes for %d accounts and %d legs", len(b), len(n.Accounts), len(n.Legs))
		}
		accounts, legs, err := unpackMoves(b, n.ID, n.Order.ID, n.Order.At.UnixMicro())
		if err != nil || !slices.Equal(accounts, n.Accounts) || !slices.Equal(legs, n.Legs) {
			t.Fatalf("%v\n%+v %+v\nwant\n%+v %+v", err, accounts, legs, n.Accounts, n.Legs)
		}
		// What is cut short, or has something behind it, is no moves.
		for i := 1; i < len(b); i += 7 {
			if _, _, err := unpackMoves(b[:i], n.ID, n.Order.ID, n.Order.At.UnixMicro()); err == nil {
				t.Fatalf("%x was read", b[:i])
			}
		}
		if len(b) > 0 {
			if _, _, err := unpackMoves(append(bytes.Clone(b), 0), n.ID, n.Order.ID, n.Order.At.UnixMicro()); err == nil {
				t.Fatal("more was read than there is")
			}
		}
	}
}

func FuzzMoves(f *testing.F) {
	f.Add([]byte{1, 1, 1, 0, 1, 2, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		id, order := ledger.ID{Hi: 1, Lo: 2}, ledger.ID{Hi: 3, Lo: 4}
		accounts, legs, err := unpackMoves(b, id, order, 5)
		if err != nil {
			return
		}
		n := Intent{ID: id, Order: orderAt(order, 5), Accounts: accounts, Legs: legs}
		again, err := packMoves(&n)
		if err != nil {
			t.Fatal(err)
		}
		a, l, err := unpackMoves(again, id, order, 5)
		if err != nil || !slices.Equal(a, accounts) || !slices.Equal(l, legs) {
			t.Fatalf("%v %+v %+v, want %+v %+v", err, a, l, accounts, legs)
		}
	})
}

// orderAt is an order whose last event took effect so many microseconds after 1970.
func orderAt(id ledger.ID, micros int64) *order.Order {
	o := order.Order{Terms: order.Terms{ID: id}}
	o.At = time.UnixMicro(micros)
	return &o
}
