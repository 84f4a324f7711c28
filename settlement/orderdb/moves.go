package orderdb

import (
	"errors"
	"fmt"
	"math/bits"

	"escrowd/ledger"
)

// What an intent gives to the ledger, to the bit, in a fifth of the room:
// accounts and transfers have TigerBeetle's 128-byte form, and of each only
// the bytes are kept that differ from the one before; of the first, from what
// the intent's row says already. Most ids are the order's, the intent's or
// those of the leg before.
//
//	moves  = number of accounts, number of transfers, then each as a delta
//	delta  = 16 bits, low byte first: which of the 16 words of 8 bytes differ;
//	         for each that does, 8 bits: which of its bytes differ, then these
//	         bytes XORed with those before

// packMoves is n's accounts and legs; nil for none.
func packMoves(n *Intent) ([]byte, error) {
	if len(n.Accounts)+len(n.Legs) == 0 {
		return nil, nil
	}
	if len(n.Accounts) > 255 || len(n.Legs) > 255 {
		return nil, fmt.Errorf("orderdb: intent %s has %d accounts and %d legs, more than a chain can have", n.ID.UUID(), len(n.Accounts), len(n.Legs))
	}
	b := append(make([]byte, 0, 256), byte(len(n.Accounts)), byte(len(n.Legs)))
	var before, event [ledger.EventSize]byte
	ledger.AppendAccount(before[:0], accountBase(n.Order.ID))
	for _, a := range n.Accounts {
		ledger.AppendAccount(event[:0], a)
		b, before = appendDelta(b, &before, &event), event
	}
	ledger.AppendTransfer(before[:0], transferBase(n.ID, n.Order.ID, n.Order.At.UnixMicro()))
	for _, t := range n.Legs {
		ledger.AppendTransfer(event[:0], t)
		b, before = appendDelta(b, &before, &event), event
	}
	return b, nil
}

// What an account and a transfer look like as far as the intent's row tells.
func accountBase(order ledger.ID) ledger.Account {
	return ledger.Account{ID: order, UserData128: order}
}

func transferBase(intent, order ledger.ID, at int64) ledger.Transfer {
	return ledger.Transfer{ID: intent, DebitAccountID: order, CreditAccountID: order, UserData128: order, UserData64: uint64(at)}
}

var errMoves = errors.New("orderdb: what an intent gives to the ledger cannot be read")

// unpackMoves is the inverse of packMoves; at is the intent's, Unix
// microseconds.
func unpackMoves(b []byte, intent, order ledger.ID, at int64) (accounts []ledger.Account, legs []ledger.Transfer, err error) {
	if len(b) == 0 {
		return nil, nil, nil
	}
	if len(b) < 2 {
		return nil, nil, errMoves
	}
	n, m := int(b[0]), int(b[1])
	b = b[2:]
	take := func(n int, event *[ledger.EventSize]byte) (list []byte) {
		for range n {
			if b, err = takeDelta(b, event); err != nil {
				return nil
			}
			list = append(list, event[:]...)
		}
		return list
	}
	var event [ledger.EventSize]byte
	ledger.AppendAccount(event[:0], accountBase(order))
	first := take(n, &event)
	ledger.AppendTransfer(event[:0], transferBase(intent, order, at))
	second := take(m, &event)
	if err != nil {
		return nil, nil, err
	}
	if len(b) > 0 {
		return nil, nil, errMoves
	}
	if accounts, err = ledger.DecodeAccounts(first); err != nil {
		return nil, nil, err
	}
	legs, err = ledger.DecodeTransfers(second)
	return accounts, legs, err
}

func appendDelta(b []byte, before, event *[ledger.EventSize]byte) []byte {
	at := len(b)
	b = append(b, 0, 0)
	words := uint16(0)
	for w := range ledger.EventSize / 8 {
		x, y := (*[8]byte)(before[w*8:]), (*[8]byte)(event[w*8:])
		if *x == *y {
			continue
		}
		words |= 1 << w
		mask := len(b)
		b = append(b, 0)
		for i := range 8 {
			if d := x[i] ^ y[i]; d != 0 {
				b[mask] |= 1 << i
				b = append(b, d)
			}
		}
	}
	b[at], b[at+1] = byte(words), byte(words>>8)
	return b
}

// takeDelta applies the delta at the start of b to event and answers the rest.
func takeDelta(b []byte, event *[ledger.EventSize]byte) ([]byte, error) {
	if len(b) < 2 {
		return nil, errMoves
	}
	words := uint16(b[0]) | uint16(b[1])<<8
	b = b[2:]
	for ; words != 0; words &= words - 1 {
		w := bits.TrailingZeros16(words)
		if len(b) < 1 {
			return nil, errMoves
		}
		mask := b[0]
		b = b[1:]
		if len(b) < bits.OnesCount8(mask) {
			return nil, errMoves
		}
		for ; mask != 0; mask &= mask - 1 {
			event[w*8+bits.TrailingZeros8(mask)] ^= b[0]
			b = b[1:]
		}
	}
	return b, nil
}
