//go:build cgo

package tbengine

import (
	"encoding/binary"

	"escrowd/ledger"

	tb "github.com/tigerbeetle/tigerbeetle-go"
)

// The client's types have the wire's layout, little-endian throughout, and
// ledger's do not. Each request is copied field by field: cheap next to a
// round trip, and it leaves the caller's slice alone once an abandoned call
// has returned.

func toTB128(v ledger.Uint128) tb.Uint128 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], v.Lo)
	binary.LittleEndian.PutUint64(b[8:], v.Hi)
	return tb.BytesToUint128(b)
}

func fromTB128(v tb.Uint128) ledger.Uint128 {
	b := v.Bytes()
	return ledger.Uint128{Hi: binary.LittleEndian.Uint64(b[8:]), Lo: binary.LittleEndian.Uint64(b[:8])}
}

// each converts a slice; the answer is never nil.
func each[A, B any](in []A, convert func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = convert(v)
	}
	return out
}

func toTBAccount(a ledger.Account) tb.Account {
	return tb.Account{
		ID:             toTB128(a.ID),
		DebitsPending:  toTB128(a.DebitsPending),
		DebitsPosted:   toTB128(a.DebitsPosted),
		CreditsPending: toTB128(a.CreditsPending),
		CreditsPosted:  toTB128(a.CreditsPosted),
		UserData128:    toTB128(a.UserData128),
		UserData64:     a.UserData64,
		UserData32:     a.UserData32,
		Reserved:       a.Reserved,
		Ledger:         a.Ledger,
		Code:           a.Code,
		Flags:          uint16(a.Flags),
		Timestamp:      a.Timestamp,
	}
}

func fromTBAccount(a tb.Account) ledger.Account {
	return ledger.Account{
		ID:             fromTB128(a.ID),
		DebitsPending:  fromTB128(a.DebitsPending),
		DebitsPosted:   fromTB128(a.DebitsPosted),
		CreditsPending: fromTB128(a.CreditsPending),
		CreditsPosted:  fromTB128(a.CreditsPosted),
		UserData128:    fromTB128(a.UserData128),
		UserData64:     a.UserData64,
		UserData32:     a.UserData32,
		Reserved:       a.Reserved,
		Ledger:         a.Ledger,
		Code:           a.Code,
		Flags:          ledger.AccountFlags(a.Flags),
		Timestamp:      a.Timestamp,
	}
}

func toTBTransfer(t ledger.Transfer) tb.Transfer {
	return tb.Transfer{
		ID:              toTB128(t.ID),
		DebitAccountID:  toTB128(t.DebitAccountID),
		CreditAccountID: toTB128(t.CreditAccountID),
		Amount:          toTB128(t.Amount),
		PendingID:       toTB128(t.PendingID),
		UserData128:     toTB128(t.UserData128),
		UserData64:      t.UserData64,
		UserData32:      t.UserData32,
		Timeout:         t.Timeout,
		Ledger:          t.Ledger,
		Code:            t.Code,
		Flags:           uint16(t.Flags),
		Timestamp:       t.Timestamp,
	}
}

func fromTBTransfer(t tb.Transfer) ledger.Transfer {
	return ledger.Transfer{
		ID:              fromTB128(t.ID),
		DebitAccountID:  fromTB128(t.DebitAccountID),
		CreditAccountID: fromTB128(t.CreditAccountID),
		Amount:          fromTB128(t.Amount),
		PendingID:       fromTB128(t.PendingID),
		UserData128:     fromTB128(t.UserData128),
		UserData64:      t.UserData64,
		UserData32:      t.UserData32,
		Timeout:         t.Timeout,
		Ledger:          t.Ledger,
		Code:            t.Code,
		Flags:           ledger.TransferFlags(t.Flags),
		Timestamp:       t.Timestamp,
	}
}

func fromTBBalance(b tb.AccountBalance) ledger.AccountBalance {
	return ledger.AccountBalance{
		DebitsPending:  fromTB128(b.DebitsPending),
		DebitsPosted:   fromTB128(b.DebitsPosted),
		CreditsPending: fromTB128(b.CreditsPending),
		CreditsPosted:  fromTB128(b.CreditsPosted),
		Timestamp:      b.Timestamp,
	}
}

func fromTBAccountResult(r tb.CreateAccountResult) ledger.AccountResult {
	return ledger.AccountResult{Status: ledger.AccountStatus(r.Status), Timestamp: r.Timestamp}
}

func fromTBTransferResult(r tb.CreateTransferResult) ledger.TransferResult {
	return ledger.TransferResult{Status: ledger.TransferStatus(r.Status), Timestamp: r.Timestamp}
}

func toTBAccountFilter(f ledger.AccountFilter) tb.AccountFilter {
	return tb.AccountFilter{
		AccountID:    toTB128(f.AccountID),
		UserData128:  toTB128(f.UserData128),
		UserData64:   f.UserData64,
		UserData32:   f.UserData32,
		Code:         f.Code,
		TimestampMin: f.TimestampMin,
		TimestampMax: f.TimestampMax,
		Limit:        f.Limit,
		Flags:        uint32(f.Flags),
	}
}

func toTBQueryFilter(f ledger.QueryFilter) tb.QueryFilter {
	return tb.QueryFilter{
		UserData128:  toTB128(f.UserData128),
		UserData64:   f.UserData64,
		UserData32:   f.UserData32,
		Ledger:       f.Ledger,
		Code:         f.Code,
		TimestampMin: f.TimestampMin,
		TimestampMax: f.TimestampMax,
		Limit:        f.Limit,
		Flags:        uint32(f.Flags),
	}
}
