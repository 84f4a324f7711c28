package ledger

import (
	"encoding/binary"
	"fmt"
)

// EventSize is the size in bytes of an account or a transfer in TigerBeetle's
// own form: little-endian, fields in the documented order.
const EventSize = 128

// AppendTransfer adds t in TigerBeetle's form.
func AppendTransfer(b []byte, t Transfer) []byte {
	le := binary.LittleEndian
	for _, v := range [...]Uint128{t.ID, t.DebitAccountID, t.CreditAccountID, t.Amount, t.PendingID, t.UserData128} {
		b = le.AppendUint64(le.AppendUint64(b, v.Lo), v.Hi)
	}
	b = le.AppendUint64(b, t.UserData64)
	b = le.AppendUint32(b, t.UserData32)
	b = le.AppendUint32(b, t.Timeout)
	b = le.AppendUint32(b, t.Ledger)
	b = le.AppendUint16(b, t.Code)
	b = le.AppendUint16(b, uint16(t.Flags))
	return le.AppendUint64(b, t.Timestamp)
}

// AppendAccount adds a in TigerBeetle's form.
func AppendAccount(b []byte, a Account) []byte {
	le := binary.LittleEndian
	for _, v := range [...]Uint128{a.ID, a.DebitsPending, a.DebitsPosted, a.CreditsPending, a.CreditsPosted, a.UserData128} {
		b = le.AppendUint64(le.AppendUint64(b, v.Lo), v.Hi)
	}
	b = le.AppendUint64(b, a.UserData64)
	b = le.AppendUint32(b, a.UserData32)
	b = le.AppendUint32(b, a.Reserved)
	b = le.AppendUint32(b, a.Ledger)
	b = le.AppendUint16(b, a.Code)
	b = le.AppendUint16(b, uint16(a.Flags))
	return le.AppendUint64(b, a.Timestamp)
}

// DecodeTransfers is the inverse of AppendTransfer for any number of them.
func DecodeTransfers(b []byte) ([]Transfer, error) {
	if len(b)%EventSize != 0 {
		return nil, fmt.Errorf("ledger: %d bytes are no whole number of transfers", len(b))
	}
	list := make([]Transfer, 0, len(b)/EventSize)
	for ; len(b) > 0; b = b[EventSize:] {
		le := binary.LittleEndian
		list = append(list, Transfer{
			ID: wide(b, 0), DebitAccountID: wide(b, 16), CreditAccountID: wide(b, 32),
			Amount: wide(b, 48), PendingID: wide(b, 64), UserData128: wide(b, 80),
			UserData64: le.Uint64(b[96:]), UserData32: le.Uint32(b[104:]), Timeout: le.Uint32(b[108:]),
			Ledger: le.Uint32(b[112:]), Code: le.Uint16(b[116:]),
			Flags: TransferFlags(le.Uint16(b[118:])), Timestamp: le.Uint64(b[120:]),
		})
	}
	return list, nil
}

// DecodeAccounts is the inverse of AppendAccount for any number of them.
func DecodeAccounts(b []byte) ([]Account, error) {
	if len(b)%EventSize != 0 {
		return nil, fmt.Errorf("ledger: %d bytes are no whole number of accounts", len(b))
	}
	list := make([]Account, 0, len(b)/EventSize)
	for ; len(b) > 0; b = b[EventSize:] {
		le := binary.LittleEndian
		list = append(list, Account{
			ID: wide(b, 0), DebitsPending: wide(b, 16), DebitsPosted: wide(b, 32),
			CreditsPending: wide(b, 48), CreditsPosted: wide(b, 64), UserData128: wide(b, 80),
			UserData64: le.Uint64(b[96:]), UserData32: le.Uint32(b[104:]), Reserved: le.Uint32(b[108:]),
			Ledger: le.Uint32(b[112:]), Code: le.Uint16(b[116:]),
			Flags: AccountFlags(le.Uint16(b[118:])), Timestamp: le.Uint64(b[120:]),
		})
	}
	return list, nil
}

func wide(b []byte, at int) Uint128 {
	return Uint128{Lo: binary.LittleEndian.Uint64(b[at:]), Hi: binary.LittleEndian.Uint64(b[at+8:])}
}
