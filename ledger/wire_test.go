package ledger

import (
	"testing"

	"pgregory.net/rapid"
)

func wideGen() *rapid.Generator[Uint128] {
	return rapid.Custom(func(t *rapid.T) Uint128 {
		return Uint128{Hi: rapid.Uint64().Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
	})
}

// What is written is read back, every field in its place.
func TestWireRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := wideGen()
		tr := Transfer{ID: w.Draw(t, "id"), DebitAccountID: w.Draw(t, "d"), CreditAccountID: w.Draw(t, "c"), Amount: w.Draw(t, "a"),
			PendingID: w.Draw(t, "p"), UserData128: w.Draw(t, "u"), UserData64: rapid.Uint64().Draw(t, "u64"),
			UserData32: rapid.Uint32().Draw(t, "u32"), Timeout: rapid.Uint32().Draw(t, "to"), Ledger: rapid.Uint32().Draw(t, "l"),
			Code: rapid.Uint16().Draw(t, "code"), Flags: TransferFlags(rapid.Uint16().Draw(t, "f")), Timestamp: rapid.Uint64().Draw(t, "ts")}
		b := AppendTransfer(AppendTransfer(nil, tr), Transfer{ID: U64(9)})
		if got, err := DecodeTransfers(b); err != nil || len(got) != 2 || got[0] != tr || got[1] != (Transfer{ID: U64(9)}) {
			t.Fatalf("%+v, %v", got, err)
		}
		ac := Account{ID: tr.ID, DebitsPending: tr.DebitAccountID, DebitsPosted: tr.CreditAccountID, CreditsPending: tr.Amount,
			CreditsPosted: tr.PendingID, UserData128: tr.UserData128, UserData64: tr.UserData64, UserData32: tr.UserData32,
			Reserved: tr.Timeout, Ledger: tr.Ledger, Code: tr.Code, Flags: AccountFlags(tr.Flags), Timestamp: tr.Timestamp}
		if got, err := DecodeAccounts(AppendAccount(nil, ac)); err != nil || len(got) != 1 || got[0] != ac {
			t.Fatalf("%+v, %v", got, err)
		}
	})
	if _, err := DecodeTransfers(make([]byte, EventSize+1)); err == nil {
		t.Error("a half transfer was read")
	}
	if _, err := DecodeAccounts(make([]byte, 1)); err == nil {
		t.Error("a part of an account was read")
	}
}
