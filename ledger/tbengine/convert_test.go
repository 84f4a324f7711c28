//go:build cgo

package tbengine

import (
	"strings"
	"testing"
	"unicode"

	"escrowd/ledger"

	tb "github.com/tigerbeetle/tigerbeetle-go"
	"pgregory.net/rapid"
)

func uint128() *rapid.Generator[ledger.Uint128] {
	return rapid.Custom(func(t *rapid.T) ledger.Uint128 {
		return ledger.Uint128{Hi: rapid.Uint64().Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
	})
}

func TestUint128IsTheSameNumberOnBothSides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := uint128().Draw(t, "v")
		there := toTB128(v)
		if big := there.BigInt(); big.Cmp(v.Big()) != 0 {
			t.Fatalf("%s is sent as %s", v, big.String())
		}
		if back := fromTB128(there); back != v {
			t.Fatalf("%s comes back as %s", v, back)
		}
	})
}

func TestAccountsSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := uint128()
		a := ledger.Account{
			ID: u.Draw(t, "id"), DebitsPending: u.Draw(t, "dpend"), DebitsPosted: u.Draw(t, "dpost"),
			CreditsPending: u.Draw(t, "cpend"), CreditsPosted: u.Draw(t, "cpost"), UserData128: u.Draw(t, "u128"),
			UserData64: rapid.Uint64().Draw(t, "u64"), UserData32: rapid.Uint32().Draw(t, "u32"),
			Reserved: rapid.Uint32().Draw(t, "reserved"),
			Ledger:   rapid.Uint32().Draw(t, "ledger"), Code: rapid.Uint16().Draw(t, "code"),
			Flags: ledger.AccountFlags(rapid.Uint16().Draw(t, "flags")), Timestamp: rapid.Uint64().Draw(t, "timestamp"),
		}
		there := toTBAccount(a)
		if back := fromTBAccount(there); back != a {
			t.Fatalf("%+v\ncomes back as\n%+v", a, back)
		}
		b := tb.AccountBalance{DebitsPending: there.DebitsPending, DebitsPosted: there.DebitsPosted,
			CreditsPending: there.CreditsPending, CreditsPosted: there.CreditsPosted, Timestamp: there.Timestamp}
		if got, want := fromTBBalance(b), (ledger.AccountBalance{DebitsPending: a.DebitsPending, DebitsPosted: a.DebitsPosted,
			CreditsPending: a.CreditsPending, CreditsPosted: a.CreditsPosted, Timestamp: a.Timestamp}); got != want {
			t.Fatalf("balance %+v, want %+v", got, want)
		}
	})
}

func TestTransfersSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := uint128()
		x := ledger.Transfer{
			ID: u.Draw(t, "id"), DebitAccountID: u.Draw(t, "debit"), CreditAccountID: u.Draw(t, "credit"),
			Amount: u.Draw(t, "amount"), PendingID: u.Draw(t, "pending"), UserData128: u.Draw(t, "u128"),
			UserData64: rapid.Uint64().Draw(t, "u64"), UserData32: rapid.Uint32().Draw(t, "u32"),
			Timeout: rapid.Uint32().Draw(t, "timeout"), Ledger: rapid.Uint32().Draw(t, "ledger"),
			Code: rapid.Uint16().Draw(t, "code"), Flags: ledger.TransferFlags(rapid.Uint16().Draw(t, "flags")),
			Timestamp: rapid.Uint64().Draw(t, "timestamp"),
		}
		if back := fromTBTransfer(toTBTransfer(x)); back != x {
			t.Fatalf("%+v\ncomes back as\n%+v", x, back)
		}
	})
}

// The flags that this module names are the client's.
func TestFlagsAreTheClients(t *testing.T) {
	for _, c := range []struct {
		name         string
		ours, theirs uint32
	}{
		{"linked", uint32(ledger.AccountLinked), uint32(tb.AccountFlags{Linked: true}.ToUint16())},
		{"debits_must_not_exceed_credits", uint32(ledger.AccountDebitsMustNotExceedCredits), uint32(tb.AccountFlags{DebitsMustNotExceedCredits: true}.ToUint16())},
		{"credits_must_not_exceed_debits", uint32(ledger.AccountCreditsMustNotExceedDebits), uint32(tb.AccountFlags{CreditsMustNotExceedDebits: true}.ToUint16())},
		{"history", uint32(ledger.AccountHistory), uint32(tb.AccountFlags{History: true}.ToUint16())},
		{"imported account", uint32(ledger.AccountImported), uint32(tb.AccountFlags{Imported: true}.ToUint16())},
		{"closed", uint32(ledger.AccountClosed), uint32(tb.AccountFlags{Closed: true}.ToUint16())},
		{"linked transfer", uint32(ledger.TransferLinked), uint32(tb.TransferFlags{Linked: true}.ToUint16())},
		{"pending", uint32(ledger.TransferPending), uint32(tb.TransferFlags{Pending: true}.ToUint16())},
		{"post", uint32(ledger.TransferPostPending), uint32(tb.TransferFlags{PostPendingTransfer: true}.ToUint16())},
		{"void", uint32(ledger.TransferVoidPending), uint32(tb.TransferFlags{VoidPendingTransfer: true}.ToUint16())},
		{"balancing_debit", uint32(ledger.TransferBalancingDebit), uint32(tb.TransferFlags{BalancingDebit: true}.ToUint16())},
		{"balancing_credit", uint32(ledger.TransferBalancingCredit), uint32(tb.TransferFlags{BalancingCredit: true}.ToUint16())},
		{"closing_debit", uint32(ledger.TransferClosingDebit), uint32(tb.TransferFlags{ClosingDebit: true}.ToUint16())},
		{"closing_credit", uint32(ledger.TransferClosingCredit), uint32(tb.TransferFlags{ClosingCredit: true}.ToUint16())},
		{"imported transfer", uint32(ledger.TransferImported), uint32(tb.TransferFlags{Imported: true}.ToUint16())},
		{"filter debits", uint32(ledger.FilterDebits), tb.AccountFilterFlags{Debits: true}.ToUint32()},
		{"filter credits", uint32(ledger.FilterCredits), tb.AccountFilterFlags{Credits: true}.ToUint32()},
		{"filter reversed", uint32(ledger.FilterReversed), tb.AccountFilterFlags{Reversed: true}.ToUint32()},
		{"query reversed", uint32(ledger.FilterQueryReversed), tb.QueryFilterFlags{Reversed: true}.ToUint32()},
	} {
		if c.ours != c.theirs {
			t.Errorf("%s is %b here and %b in the client", c.name, c.ours, c.theirs)
		}
	}
}

// The statuses that this module names are the client's, by number and name.
func TestStatusesAreTheClients(t *testing.T) {
	named := 0
	for n := range uint32(300) {
		n-- // begins with 0xFFFFFFFF, "created"
		ours, theirs := ledger.TransferStatus(n).String(), plain("Transfer", tb.CreateTransferStatus(n).String())
		if known := !strings.HasPrefix(ours, "status "); known != (theirs != "") || known && plain("", ours) != theirs {
			t.Errorf("transfer status %d is %q here and %q in the client", n, ours, theirs)
		} else if known {
			named++
		}
		ours, theirs = ledger.AccountStatus(n).String(), plain("Account", tb.CreateAccountStatus(n).String())
		if known := !strings.HasPrefix(ours, "status "); known != (theirs != "") || known && plain("", ours) != theirs {
			t.Errorf("account status %d is %q here and %q in the client", n, ours, theirs)
		} else if known {
			named++
		}
	}
	if named < 90 {
		t.Errorf("only %d statuses are named on both sides: is the comparison looking at the names at all?", named)
	}
}

// plain strips a status name to its letters and digits, so that the client's
// "TransferIDAlreadyFailed" and TigerBeetle's "id_already_failed" are equal;
// "" for a number without a name.
func plain(prefix, name string) string {
	if strings.Contains(name, "(") {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r == '_' {
			return -1
		}
		return unicode.ToLower(r)
	}, strings.TrimPrefix(name, prefix))
}
