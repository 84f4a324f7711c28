package ledgertest

import (
	"time"

	"escrowd/ledger"
)

// all is the amount of a post that takes all that is pending.
func all(t *ledger.Transfer) { t.Amount = ledger.AmountMax }

func seconds(n uint32) func(*ledger.Transfer) {
	return func(t *ledger.Transfer) { t.Timeout = n }
}

func postAndVoid(b *books) {
	b.accounts(0, "A", "B")
	userData := func(t *ledger.Transfer) { t.UserData128, t.UserData64, t.UserData32 = ledger.U64(1), 2, 3 }
	b.send(
		move{id: "p1", debit: "A", credit: "B", amount: 10, flags: pending, with: userData},
		move{id: "p2", debit: "A", credit: "B", amount: 10, flags: pending},
		move{id: "p3", debit: "A", credit: "B", amount: 10, flags: pending},
		move{id: "p4", debit: "A", credit: "B", amount: 10, flags: pending},
		move{id: "p5", debit: "A", credit: "B", amount: 10, flags: pending},
		move{id: "p6", debit: "A", credit: "B", amount: 0, flags: pending},
	)
	b.balances(held{account: "A", debitsP: 50}, held{account: "B", creditsP: 50})

	b.send(move{id: "all", flags: post, ends: "p1", with: all}) // 2^128-1: all of it
	b.balances(held{account: "A", debits: 10, debitsP: 40}, held{account: "B", credits: 10, creditsP: 40})
	b.send(move{id: "part", flags: post, ends: "p2", amount: 4}) // the rest is freed
	b.balances(held{account: "A", debits: 14, debitsP: 30})
	b.send(move{id: "none", flags: post, ends: "p3"}) // posting zero posts nothing
	b.balances(held{account: "A", debits: 14, debitsP: 20})
	b.send(move{id: "void", flags: void, ends: "p4"}) // voiding zero voids all
	b.balances(held{account: "A", debits: 14, debitsP: 10})
	b.send(move{id: "void exactly", debit: "A", credit: "B", flags: void, ends: "p5", amount: 10,
		with: func(t *ledger.Transfer) { t.Ledger, t.Code = b.ledger, 1 }}) // naming what is so is allowed
	b.send(move{id: "nothing", flags: post, ends: "p6", with: all})
	b.balances(held{account: "A", debits: 14}, held{account: "B", credits: 14})

	// What a post leaves open it takes from the pending transfer.
	for _, c := range []struct {
		id, ends string
		flags    ledger.TransferFlags
		amount   uint64
		userData ledger.Uint128
	}{
		{"all", "p1", post, 10, ledger.U64(1)},
		{"part", "p2", post, 4, ledger.Uint128{}},
		{"none", "p3", post, 0, ledger.Uint128{}},
		{"void", "p4", void, 10, ledger.Uint128{}},
	} {
		want := ledger.Transfer{
			ID: b.id(c.id), DebitAccountID: b.id("A"), CreditAccountID: b.id("B"), Amount: ledger.U64(c.amount), PendingID: b.id(c.ends),
			UserData128: c.userData, Ledger: b.ledger, Code: 1, Flags: c.flags, Timestamp: b.stamps[b.id(c.id)],
		}
		if !c.userData.IsZero() {
			want.UserData64, want.UserData32 = 2, 3
		}
		found, err := b.eng.LookupTransfers(b.Context(), []ledger.ID{b.id(c.id)})
		if err != nil || len(found) != 1 || found[0] != want {
			b.Errorf("%s: %v, %v\nwant %v", c.id, found, err, want)
		}
	}
}

func postRefusals(b *books) {
	b.accounts(0, "A", "B", "C")
	b.send(
		move{id: "p", debit: "A", credit: "B", amount: 10, flags: pending},
		move{id: "posted", debit: "A", credit: "B", amount: 1, flags: pending},
		move{id: "voided", debit: "A", credit: "B", amount: 1, flags: pending},
		move{id: "plain", debit: "A", credit: "B", amount: 1},
		move{id: "x1", flags: post, ends: "posted", with: all},
		move{id: "x2", flags: void, ends: "voided"},
	)
	with := func(edit func(t *ledger.Transfer)) func(t *ledger.Transfer) { return edit }
	code := with(func(t *ledger.Transfer) { t.Code = 9 })
	// Each row breaks its rule and, where it can, one that is checked later.
	b.send(
		move{id: "t", flags: post | void, ends: "", want: ledger.TransferFlagsAreMutuallyExclusive},
		move{id: "t", flags: post | pending, ends: "", want: ledger.TransferFlagsAreMutuallyExclusive},
		move{id: "t", flags: post | ledger.TransferBalancingDebit, ends: "", want: ledger.TransferFlagsAreMutuallyExclusive},
		move{id: "t", flags: void | ledger.TransferBalancingCredit, ends: "", want: ledger.TransferFlagsAreMutuallyExclusive},
		move{id: "t", flags: void | closeDebit, ends: "", want: ledger.TransferFlagsAreMutuallyExclusive},
		move{id: "t", flags: post | ledger.TransferClosingCredit, ends: "", want: ledger.TransferFlagsAreMutuallyExclusive},
		move{id: "t", flags: post, ends: "", with: seconds(1), want: ledger.TransferPendingIDMustNotBeZero},
		move{id: "t", flags: post, ends: "max", with: seconds(1), want: ledger.TransferPendingIDMustNotBeIntMax},
		move{id: "t", flags: post, ends: "t", with: seconds(1), want: ledger.TransferPendingIDMustBeDifferent},
		move{id: "t", flags: post, ends: "nothing", with: seconds(1), want: ledger.TransferTimeoutReservedForPendingTransfer},
		move{id: "burnt", flags: post, ends: "nothing", with: code, want: ledger.TransferPendingTransferNotFound},
		move{id: "t", flags: post, ends: "plain", with: code, want: ledger.TransferPendingTransferNotPending},
		move{id: "t", debit: "C", credit: "C", flags: post, ends: "p", want: ledger.TransferPendingTransferHasDifferentDebitAccountID},
		move{id: "t", debit: "A", credit: "C", flags: post, ends: "p", with: with(func(t *ledger.Transfer) { t.Ledger = 1 + b.ledger }), want: ledger.TransferPendingTransferHasDifferentCreditAccountID},
		move{id: "t", flags: post, ends: "p", with: with(func(t *ledger.Transfer) { t.Ledger, t.Code = 1+b.ledger, 9 }), want: ledger.TransferPendingTransferHasDifferentLedger},
		move{id: "t", flags: post, ends: "p", amount: 11, with: code, want: ledger.TransferPendingTransferHasDifferentCode},
		move{id: "t", flags: post, ends: "p", amount: 11, want: ledger.TransferExceedsPendingTransferAmount},
		move{id: "t", flags: void, ends: "p", amount: 11, want: ledger.TransferExceedsPendingTransferAmount},
		move{id: "t", flags: void, ends: "p", amount: 9, want: ledger.TransferPendingTransferHasDifferentAmount},
		move{id: "t", flags: post, ends: "posted", amount: 2, want: ledger.TransferExceedsPendingTransferAmount},
		move{id: "t", flags: post, ends: "posted", amount: 1, want: ledger.TransferPendingTransferAlreadyPosted},
		move{id: "t", flags: void, ends: "posted", want: ledger.TransferPendingTransferAlreadyPosted},
		move{id: "t", flags: post, ends: "voided", with: all, want: ledger.TransferPendingTransferAlreadyVoided},
		move{id: "t", flags: void, ends: "voided", want: ledger.TransferPendingTransferAlreadyVoided},
		move{id: "t", flags: post, ends: "p", amount: 10}, // no refusal above ended p
	)
	b.balances(held{account: "A", debits: 12}, held{account: "B", credits: 12}, held{account: "C"})
}

func postsSentAgain(b *books) {
	b.accounts(0, "A", "B")
	userData := func(t *ledger.Transfer) { t.UserData128, t.UserData64, t.UserData32 = ledger.U64(1), 2, 3 }
	b.send(
		move{id: "p1", debit: "A", credit: "B", amount: 10, flags: pending, with: userData},
		move{id: "p2", debit: "A", credit: "B", amount: 10, flags: pending},
		move{id: "p3", debit: "A", credit: "B", amount: 10, flags: pending},
		move{id: "full", flags: post, ends: "p1", with: all},
		move{id: "part", flags: post, ends: "p2", amount: 4, with: func(t *ledger.Transfer) { t.UserData64 = 7 }},
		move{id: "void", flags: void, ends: "p3"},
	)
	with := func(edit func(t *ledger.Transfer)) func(t *ledger.Transfer) { return edit }
	b.send(
		// 2^128-1 and the whole amount are the same for a full post.
		move{id: "full", flags: post, ends: "p1", with: all, want: ledger.TransferExists},
		move{id: "full", flags: post, ends: "p1", amount: 10, want: ledger.TransferExists},
		move{id: "full", debit: "A", credit: "B", flags: post, ends: "p1", amount: 10, with: userData, want: ledger.TransferExists},
		move{id: "full", flags: post, ends: "p1", amount: 9, want: ledger.TransferExistsWithDifferentAmount},
		move{id: "full", flags: void, ends: "p1", want: ledger.TransferExistsWithDifferentFlags},
		move{id: "full", flags: post, ends: "p2", with: all, want: ledger.TransferExistsWithDifferentPendingID},
		move{id: "full", flags: post, ends: "p1", with: seconds(1), want: ledger.TransferExistsWithDifferentTimeout},
		move{id: "full", debit: "B", flags: post, ends: "p1", with: all, want: ledger.TransferExistsWithDifferentDebitAccountID},
		move{id: "full", credit: "A", flags: post, ends: "p1", with: all, want: ledger.TransferExistsWithDifferentCreditAccountID},
		move{id: "full", flags: post, ends: "p1", amount: 10, with: with(func(t *ledger.Transfer) { t.UserData128 = ledger.U64(9) }), want: ledger.TransferExistsWithDifferentUserData128},
		move{id: "full", flags: post, ends: "p1", amount: 10, with: with(func(t *ledger.Transfer) { t.UserData64 = 9 }), want: ledger.TransferExistsWithDifferentUserData64},
		move{id: "full", flags: post, ends: "p1", amount: 10, with: with(func(t *ledger.Transfer) { t.UserData32 = 9 }), want: ledger.TransferExistsWithDifferentUserData32},
		move{id: "full", flags: post, ends: "p1", amount: 10, with: with(func(t *ledger.Transfer) { t.Ledger = b.ledger + 1 }), want: ledger.TransferExistsWithDifferentLedger},
		move{id: "full", flags: post, ends: "p1", amount: 10, with: with(func(t *ledger.Transfer) { t.Code = 9 }), want: ledger.TransferExistsWithDifferentCode},
		// 2^128-1 is not what a partial post was.
		move{id: "part", flags: post, ends: "p2", with: all, want: ledger.TransferExistsWithDifferentAmount},
		move{id: "part", flags: post, ends: "p2", amount: 4, want: ledger.TransferExistsWithDifferentUserData64}, // 0 asks for p2's
		move{id: "part", flags: post, ends: "p2", amount: 4, with: with(func(t *ledger.Transfer) { t.UserData64 = 7 }), want: ledger.TransferExists},
		move{id: "void", flags: void, ends: "p3", want: ledger.TransferExists},
		move{id: "void", flags: void, ends: "p3", amount: 10, want: ledger.TransferExists},
		move{id: "void", flags: void, ends: "p3", amount: 9, want: ledger.TransferExistsWithDifferentAmount},
	)
	b.balances(held{account: "A", debits: 14}, held{account: "B", credits: 14})
}

func closing(b *books) {
	const credit = ledger.TransferClosingCredit
	b.accounts(0, "A", "B", "C")
	b.send(
		move{id: "reserved", debit: "A", credit: "B", amount: 5, flags: pending},
		move{id: "other", debit: "A", credit: "B", amount: 6, flags: pending},
		move{id: "close A", debit: "A", credit: "B", flags: pending | closeDebit},
		move{id: "in", debit: "A", credit: "C", amount: 1, want: ledger.TransferDebitAccountAlreadyClosed},
		move{id: "out", debit: "C", credit: "A", amount: 1, want: ledger.TransferCreditAccountAlreadyClosed},
		move{id: "post", flags: post, ends: "other", with: all, want: ledger.TransferDebitAccountAlreadyClosed},
		move{id: "post closing", flags: post, ends: "close A", with: all, want: ledger.TransferDebitAccountAlreadyClosed},
		move{id: "void", flags: void, ends: "reserved"}, // all that a closed account allows
	)
	if a := b.account("A"); !a.Flags.Has(ledger.AccountClosed) {
		b.Errorf("not closed: %v", showAccount(a))
	}
	b.balances(held{account: "A", debitsP: 6}, held{account: "B", creditsP: 6}, held{account: "C"})
	b.send(
		move{id: "reopen", flags: void, ends: "close A"},
		move{id: "in again", debit: "A", credit: "C", amount: 1},
		move{id: "post again", flags: post, ends: "other", with: all},
	)
	if a := b.account("A"); a.Flags != 0 {
		b.Errorf("not reopened: %v", showAccount(a))
	}
	b.balances(held{account: "A", debits: 7}, held{account: "B", credits: 6}, held{account: "C", credits: 1})

	// Both sides at once, and inside a chain that falls.
	b.send(
		move{id: "c1", debit: "A", credit: "B", flags: linked | pending | closeDebit | credit, want: ledger.TransferLinkedEventFailed},
		move{id: "c2", debit: "C", credit: "B", want: ledger.TransferCreditAccountAlreadyClosed},
		move{id: "both", debit: "A", credit: "B", amount: 3, flags: pending | closeDebit | credit},
		move{id: "c3", debit: "C", credit: "B", want: ledger.TransferCreditAccountAlreadyClosed},
		move{id: "reopen both", flags: void, ends: "both"},
		move{id: "c4", debit: "A", credit: "B", amount: 1},
	)
	b.balances(held{account: "A", debits: 8}, held{account: "B", credits: 7})
}

// expiryPatience bounds the wait for an expiry. It is far beyond what any
// engine needs, so that only an engine that never expires runs into it.
const expiryPatience = 60 * time.Second

// eventually polls until ok holds.
func (b *books) eventually(what string, ok func() bool) {
	b.Helper()
	patience, poll := time.NewTimer(expiryPatience), time.NewTicker(20*time.Millisecond)
	defer patience.Stop()
	defer poll.Stop()
	for !ok() {
		select {
		case <-poll.C:
		case <-patience.C:
			b.Fatalf("not within %v: %s", expiryPatience, what)
		case <-b.Context().Done():
			b.Fatal(b.Context().Err())
		}
	}
}

func timeouts(b *books) {
	b.accounts(ledger.AccountHistory, "A")
	b.accounts(0, "B", "C")
	b.send(
		move{id: "soon", debit: "A", credit: "B", amount: 5, flags: pending, with: seconds(1)},
		move{id: "close C", debit: "C", credit: "B", flags: pending | closeDebit, with: seconds(1)},
		move{id: "late", debit: "A", credit: "B", amount: 7, flags: pending, with: seconds(3600)},
		move{id: "never", debit: "A", credit: "B", amount: 2, flags: pending},
		move{id: "kept", debit: "A", credit: "B", amount: 100, flags: pending, with: seconds(3600)},
		move{id: "posted", flags: post, ends: "kept", with: all},
	)
	b.eventually("the amount that is pending for 1 s is freed, the account closed for 1 s reopened", func() bool {
		return b.account("A").DebitsPending == ledger.U64(9) && b.account("C").Flags == 0
	})
	b.balances(held{account: "A", debits: 100, debitsP: 9}, held{account: "B", credits: 100, creditsP: 9}, held{account: "C"})
	b.send(
		move{id: "post", flags: post, ends: "soon", with: all, want: ledger.TransferPendingTransferExpired},
		move{id: "void", flags: void, ends: "soon", want: ledger.TransferPendingTransferExpired},
		move{id: "void C", flags: void, ends: "close C", want: ledger.TransferPendingTransferExpired},
		move{id: "post", flags: post, ends: "late", with: all}, // "expired" burns no id
		move{id: "soon", debit: "A", credit: "B", amount: 5, flags: pending, with: seconds(1), want: ledger.TransferExists},
		move{id: "C again", debit: "C", credit: "B", amount: 1},
	)
	b.balances(held{account: "A", debits: 107, debitsP: 2}, held{account: "C", debits: 1})

	// An expiry is no transfer: no balance row.
	rows, err := b.eng.GetAccountBalances(b.Context(), ledger.AccountFilter{AccountID: b.id("A"), Limit: 100, Flags: ledger.FilterDebits})
	if err != nil || len(rows) != 6 {
		b.Errorf("%d balance rows for 6 transfers (%v)", len(rows), err)
	}
}
