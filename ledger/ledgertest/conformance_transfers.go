package ledgertest

import (
	"slices"

	"escrowd/ledger"
)

func transfersRoundTrip(b *books) {
	b.accounts(0, "A", "B")
	results := b.send(
		move{id: "full", debit: "A", credit: "B", amount: 5, flags: pending, with: func(t *ledger.Transfer) {
			t.Amount = ledger.Amount{Hi: 1, Lo: 5}
			t.UserData128 = ledger.Uint128{Hi: 1 << 63, Lo: 3}
			t.UserData64 = ^uint64(0)
			t.UserData32 = ^uint32(0)
			t.Timeout = ^uint32(0)
			t.Code = 65535
		}},
		move{id: "zero", debit: "B", credit: "A"},
	)
	got, err := b.eng.LookupTransfers(b.Context(), []ledger.ID{b.id("zero"), b.id("nobody"), b.id("full"), b.id("zero")})
	if err != nil {
		b.Fatal(err)
	}
	full := ledger.Transfer{
		ID: b.id("full"), DebitAccountID: b.id("A"), CreditAccountID: b.id("B"), Amount: ledger.Amount{Hi: 1, Lo: 5},
		UserData128: ledger.Uint128{Hi: 1 << 63, Lo: 3}, UserData64: ^uint64(0), UserData32: ^uint32(0),
		Timeout: ^uint32(0), Ledger: b.ledger, Code: 65535, Flags: pending, Timestamp: results[0].Timestamp,
	}
	zero := ledger.Transfer{
		ID: b.id("zero"), DebitAccountID: b.id("B"), CreditAccountID: b.id("A"),
		Ledger: b.ledger, Code: 1, Timestamp: results[1].Timestamp,
	}
	// In the order asked, the missing left out, the repeated repeated.
	if want := []ledger.Transfer{zero, full, zero}; !slices.Equal(got, want) {
		b.Errorf("got  %v\nwant %v", got, want)
	}
}

func transferRefusals(b *books) {
	b.accounts(0, "A", "B")
	b.create(open{name: "other", with: func(a *ledger.Account) { a.Ledger++ }})
	with := func(edit func(t *ledger.Transfer)) func(t *ledger.Transfer) { return edit }
	// Each row breaks its rule and one that is checked later. None burns its
	// id but those for an account that is not found.
	b.send(
		move{id: "t", debit: "A", credit: "B", with: with(func(t *ledger.Transfer) { t.Timestamp, t.Flags = 1, 1<<9 }), want: ledger.TransferTimestampMustBeZero},
		move{id: "", debit: "A", credit: "B", flags: 1 << 15, want: ledger.TransferReservedFlag},
		move{id: "", debit: "", credit: "B", want: ledger.TransferIDMustNotBeZero},
		move{id: "max", debit: "", credit: "B", want: ledger.TransferIDMustNotBeIntMax},
		move{id: "t", debit: "", credit: "", want: ledger.TransferDebitAccountIDMustNotBeZero},
		move{id: "t", debit: "max", credit: "", want: ledger.TransferDebitAccountIDMustNotBeIntMax},
		move{id: "t", debit: "A", credit: "", ends: "p", want: ledger.TransferCreditAccountIDMustNotBeZero},
		move{id: "t", debit: "A", credit: "max", ends: "p", want: ledger.TransferCreditAccountIDMustNotBeIntMax},
		move{id: "t", debit: "A", credit: "A", ends: "p", want: ledger.TransferAccountsMustBeDifferent},
		move{id: "t", debit: "A", credit: "B", ends: "p", with: with(func(t *ledger.Transfer) { t.Timeout = 1 }), want: ledger.TransferPendingIDMustBeZero},
		move{id: "t", debit: "A", credit: "B", flags: closeDebit, with: with(func(t *ledger.Transfer) { t.Timeout = 1 }), want: ledger.TransferTimeoutReservedForPendingTransfer},
		move{id: "t", debit: "A", credit: "B", flags: closeDebit, with: with(func(t *ledger.Transfer) { t.Ledger = 0 }), want: ledger.TransferClosingTransferMustBePending},
		move{id: "t", debit: "A", credit: "B", with: with(func(t *ledger.Transfer) { t.Ledger, t.Code = 0, 0 }), want: ledger.TransferLedgerMustNotBeZero},
		move{id: "t", debit: "nobody", credit: "B", with: with(func(t *ledger.Transfer) { t.Code = 0 }), want: ledger.TransferCodeMustNotBeZero},
		move{id: "x1", debit: "nobody", credit: "neither", want: ledger.TransferDebitAccountNotFound},
		move{id: "x2", debit: "A", credit: "nobody", with: with(func(t *ledger.Transfer) { t.Ledger += 7 }), want: ledger.TransferCreditAccountNotFound},
		move{id: "t", debit: "A", credit: "other", with: with(func(t *ledger.Transfer) { t.Ledger += 7 }), want: ledger.TransferAccountsMustHaveTheSameLedger},
		move{id: "t", debit: "A", credit: "B", with: with(func(t *ledger.Transfer) { t.Ledger++ }), want: ledger.TransferTransferMustHaveTheSameLedgerAsAccounts},
		move{id: "t", debit: "A", credit: "B", amount: 1},
	)
	b.balances(held{account: "A", debits: 1}, held{account: "B", credits: 1}, held{account: "other"})
}

func transfersSentAgain(b *books) {
	b.accounts(0, "A", "B", "C")
	first := func(edits ...func(*ledger.Transfer)) func(*ledger.Transfer) {
		return func(t *ledger.Transfer) {
			t.UserData128, t.UserData64, t.UserData32, t.Timeout = ledger.U64(1), 2, 3, 3600
			for _, edit := range edits {
				edit(t)
			}
		}
	}
	flags := func(t *ledger.Transfer) { t.Flags |= linked }
	ends := func(t *ledger.Transfer) { t.PendingID = b.id("C") }
	timeout := func(t *ledger.Transfer) { t.Timeout++ }
	debit := func(t *ledger.Transfer) { t.DebitAccountID = b.id("C") }
	credit := func(t *ledger.Transfer) { t.CreditAccountID = b.id("C") }
	amount := func(t *ledger.Transfer) { t.Amount = ledger.U64(9) }
	ud128 := func(t *ledger.Transfer) { t.UserData128 = ledger.U64(9) }
	ud64 := func(t *ledger.Transfer) { t.UserData64 = 9 }
	ud32 := func(t *ledger.Transfer) { t.UserData32 = 9 }
	book := func(t *ledger.Transfer) { t.Ledger++ }
	code := func(t *ledger.Transfer) { t.Code = 9 }
	row := func(want ledger.TransferStatus, edits ...func(*ledger.Transfer)) move {
		return move{id: "t", debit: "A", credit: "B", amount: 5, flags: pending, with: first(edits...), want: want}
	}
	b.send(row(0))
	b.send(
		row(ledger.TransferExists),
		row(ledger.TransferExistsWithDifferentPendingID, ends, timeout),
		row(ledger.TransferExistsWithDifferentTimeout, timeout, debit),
		row(ledger.TransferExistsWithDifferentDebitAccountID, debit, credit),
		row(ledger.TransferExistsWithDifferentCreditAccountID, credit, amount),
		row(ledger.TransferExistsWithDifferentAmount, amount, ud128),
		row(ledger.TransferExistsWithDifferentUserData128, ud128, ud64),
		row(ledger.TransferExistsWithDifferentUserData64, ud64, ud32),
		row(ledger.TransferExistsWithDifferentUserData32, ud32, book),
		row(ledger.TransferExistsWithDifferentLedger, book, code),
		row(ledger.TransferExistsWithDifferentCode, code),
		row(ledger.TransferExistsWithDifferentFlags, flags, ends), // the linked bit counts
		move{id: "next", debit: "A", credit: "B", want: ledger.TransferLinkedEventFailed},
	)
	// In the same request, too.
	b.send(
		move{id: "twice", debit: "A", credit: "B", amount: 1},
		move{id: "twice", debit: "A", credit: "B", amount: 1, want: ledger.TransferExists},
		move{id: "twice", debit: "A", credit: "B", amount: 2, want: ledger.TransferExistsWithDifferentAmount},
	)
	b.balances(held{account: "A", debits: 1, debitsP: 5}, held{account: "B", credits: 1, creditsP: 5}, held{account: "C"})
}

func transferChains(b *books) {
	b.accounts(0, "A", "B")
	b.accounts(ledger.AccountDebitsMustNotExceedCredits|ledger.AccountHistory, "L")
	b.send(
		// Each leg sees what the one before did.
		move{id: "in", debit: "A", credit: "L", amount: 10, flags: linked},
		move{id: "out", debit: "L", credit: "B", amount: 4},
		// The third leg asks for more than there is: none of them stands.
		move{id: "c1", debit: "A", credit: "L", amount: 1, flags: linked, want: ledger.TransferLinkedEventFailed},
		move{id: "c2", debit: "L", credit: "B", amount: 2, flags: linked | pending, want: ledger.TransferLinkedEventFailed},
		move{id: "c3", debit: "L", credit: "B", amount: 6, flags: linked, want: ledger.TransferExceedsCredits},
		move{id: "c4", debit: "A", credit: "B", amount: 1, want: ledger.TransferLinkedEventFailed},
		// Events beside a broken chain stand by themselves.
		move{id: "beside", debit: "L", credit: "B", amount: 6},
		// The first leg of the next chain succeeds only because of that.
		move{id: "d1", debit: "A", credit: "L", amount: 7, flags: linked},
		move{id: "d2", debit: "L", credit: "B", amount: 7},
		// A chain that the request does not end.
		move{id: "e1", debit: "A", credit: "B", amount: 1, flags: linked, want: ledger.TransferLinkedEventFailed},
		move{id: "e2", debit: "A", credit: "B", amount: 1, flags: linked, want: ledger.TransferLinkedEventChainOpen},
	)
	b.missing("c1", "c2", "c3", "c4", "e1", "e2")
	b.balances(held{account: "A", debits: 17}, held{account: "L", debits: 17, credits: 17}, held{account: "B", credits: 17})

	// A chain that is open at the end and broken before it.
	b.send(
		move{id: "f1", debit: "A", credit: "A", flags: linked, want: ledger.TransferAccountsMustBeDifferent},
		move{id: "f2", debit: "A", credit: "B", flags: linked, want: ledger.TransferLinkedEventChainOpen},
	)
	// A post that a chain takes back leaves the pending transfer open.
	b.send(move{id: "p", debit: "A", credit: "B", amount: 3, flags: pending})
	b.send(
		move{id: "g1", flags: post | linked, ends: "p", amount: 2, want: ledger.TransferLinkedEventFailed},
		move{id: "g2", flags: void | linked, ends: "p", want: ledger.TransferPendingTransferAlreadyPosted},
		move{id: "g3", debit: "A", credit: "B", want: ledger.TransferLinkedEventFailed},
	)
	b.balances(held{account: "A", debits: 17, debitsP: 3}, held{account: "B", credits: 17, creditsP: 3})
	b.send(move{id: "g4", flags: void, ends: "p"})
	b.balances(held{account: "A", debits: 17}, held{account: "B", credits: 17})

	// History has a row for each transfer that stands, and for no other.
	rows, err := b.eng.GetAccountBalances(b.Context(), ledger.AccountFilter{
		AccountID: b.id("L"), Limit: 100, Flags: ledger.FilterDebits | ledger.FilterCredits,
	})
	if err != nil {
		b.Fatal(err)
	}
	var stamps []uint64
	for _, r := range rows {
		stamps = append(stamps, r.Timestamp)
	}
	want := []uint64{b.stamps[b.id("in")], b.stamps[b.id("out")], b.stamps[b.id("beside")], b.stamps[b.id("d1")], b.stamps[b.id("d2")]}
	if !slices.Equal(stamps, want) {
		b.Errorf("history has rows at %v, want %v", stamps, want)
	}
}

// A payment in another currency is one chain in two ledgers: each transfer stays
// in its own, and all of them stand or fall together.
func chainOverLedgers(b *books) {
	b.accounts(0, "A", "B")
	other := func(a *ledger.Account) { a.Ledger++ }
	b.create(open{name: "C", with: other}, open{name: "D", with: other},
		open{name: "L", flags: ledger.AccountDebitsMustNotExceedCredits, with: other})
	there := func(t *ledger.Transfer) { t.Ledger++ }
	b.send(
		move{id: "here", debit: "A", credit: "B", amount: 15, flags: linked},
		move{id: "there", debit: "C", credit: "D", amount: 10, with: there},
		// The last leg, in the other ledger, takes the first one back.
		move{id: "c1", debit: "A", credit: "B", amount: 1, flags: linked, want: ledger.TransferLinkedEventFailed},
		move{id: "c2", debit: "C", credit: "D", amount: 2, flags: linked, with: there, want: ledger.TransferLinkedEventFailed},
		move{id: "c3", debit: "L", credit: "D", amount: 3, with: there, want: ledger.TransferExceedsCredits},
		// No single transfer crosses over.
		move{id: "d1", debit: "A", credit: "B", amount: 1, flags: linked, want: ledger.TransferLinkedEventFailed},
		move{id: "d2", debit: "B", credit: "C", amount: 1, want: ledger.TransferAccountsMustHaveTheSameLedger},
	)
	b.missing("c1", "c2", "c3", "d1", "d2")
	b.balances(held{account: "A", debits: 15}, held{account: "B", credits: 15}, held{account: "C", debits: 10}, held{account: "D", credits: 10}, held{account: "L"})
}

func chainSentAgain(b *books) {
	b.accounts(0, "A", "B")
	chain := func(first, rest ledger.TransferStatus) []move {
		return []move{
			{id: "1", debit: "A", credit: "B", amount: 1, flags: linked, want: first},
			{id: "2", debit: "A", credit: "B", amount: 2, flags: linked, want: rest},
			{id: "3", debit: "B", credit: "A", amount: 3, want: rest},
		}
	}
	b.send(chain(0, 0)...)
	// "exists" breaks a chain as any refusal does; the first leg tells that it
	// was applied.
	for range 2 {
		b.send(chain(ledger.TransferExists, ledger.TransferLinkedEventFailed)...)
	}
	// The same legs without the bond between them are not the same events.
	b.send(
		move{id: "1", debit: "A", credit: "B", amount: 1, want: ledger.TransferExistsWithDifferentFlags},
		move{id: "3", debit: "B", credit: "A", amount: 3, want: ledger.TransferExists},
	)
	b.balances(held{account: "A", debits: 3, credits: 3})
}

func burnedIDs(b *books) {
	b.accounts(0, "A", "B")
	b.accounts(ledger.AccountDebitsMustNotExceedCredits, "D")
	b.accounts(ledger.AccountCreditsMustNotExceedDebits, "C")
	b.accounts(ledger.AccountClosed, "shut")
	// Refused for a reason that may pass: the id is gone for good.
	b.one(
		move{id: "no debit", debit: "late", credit: "B", want: ledger.TransferDebitAccountNotFound},
		move{id: "no credit", debit: "A", credit: "late", want: ledger.TransferCreditAccountNotFound},
		move{id: "no pending", flags: post, ends: "later", want: ledger.TransferPendingTransferNotFound},
		move{id: "credits", debit: "D", credit: "B", amount: 1, want: ledger.TransferExceedsCredits},
		move{id: "debits", debit: "A", credit: "C", amount: 1, want: ledger.TransferExceedsDebits},
		move{id: "debit shut", debit: "shut", credit: "B", want: ledger.TransferDebitAccountAlreadyClosed},
		move{id: "credit shut", debit: "A", credit: "shut", want: ledger.TransferCreditAccountAlreadyClosed},
	)
	// The reasons have passed, but a late retry must not surprise anybody.
	b.accounts(0, "late")
	b.send(
		move{id: "fund", debit: "A", credit: "D", amount: 9},
		move{id: "draw", debit: "C", credit: "B", amount: 9},
		move{id: "later", debit: "A", credit: "B", flags: pending},
		move{id: "no debit", debit: "late", credit: "B", want: ledger.TransferIDAlreadyFailed},
		move{id: "no credit", debit: "A", credit: "late", want: ledger.TransferIDAlreadyFailed},
		move{id: "no pending", flags: post, ends: "later", want: ledger.TransferIDAlreadyFailed},
		move{id: "credits", debit: "D", credit: "B", amount: 1, want: ledger.TransferIDAlreadyFailed},
		move{id: "debits", debit: "A", credit: "C", amount: 1, want: ledger.TransferIDAlreadyFailed},
		move{id: "debit shut", debit: "A", credit: "B", want: ledger.TransferIDAlreadyFailed},
		move{id: "credit shut", debit: "", credit: "", want: ledger.TransferIDAlreadyFailed}, // before all that follows
	)
	// A burn outlives its chain; the other legs may be sent again.
	b.send(
		move{id: "leg", debit: "A", credit: "B", amount: 1, flags: linked, want: ledger.TransferLinkedEventFailed},
		move{id: "burnt", debit: "D", credit: "B", amount: 10, want: ledger.TransferExceedsCredits},
	)
	b.send(
		move{id: "leg", debit: "A", credit: "B", amount: 1},
		move{id: "burnt", debit: "D", credit: "B", amount: 1, want: ledger.TransferIDAlreadyFailed},
	)
	// In the same chain and request, too.
	b.send(
		move{id: "again", debit: "D", credit: "B", amount: 10, flags: linked, want: ledger.TransferExceedsCredits},
		move{id: "leg2", debit: "A", credit: "B", want: ledger.TransferLinkedEventFailed},
		move{id: "again", debit: "D", credit: "B", amount: 1, want: ledger.TransferIDAlreadyFailed},
	)
	b.missing("no debit", "credits", "burnt", "again", "leg2")
}

func limits(b *books) {
	b.accounts(0, "bank")
	b.accounts(ledger.AccountDebitsMustNotExceedCredits, "buyer")
	b.accounts(ledger.AccountCreditsMustNotExceedDebits, "debt")
	b.send(
		move{id: "1", debit: "buyer", credit: "bank", amount: 1, want: ledger.TransferExceedsCredits},
		move{id: "2", debit: "buyer", credit: "bank", amount: 0}, // nothing is not more than nothing
		move{id: "3", debit: "bank", credit: "buyer", amount: 10},
		move{id: "4", debit: "buyer", credit: "bank", amount: 4, flags: pending}, // counts as if posted
		move{id: "5", debit: "buyer", credit: "bank", amount: 7, want: ledger.TransferExceedsCredits},
		move{id: "6", debit: "buyer", credit: "bank", amount: 6},
		move{id: "7", debit: "bank", credit: "buyer", amount: 5, flags: pending}, // not there before it is posted
		move{id: "8", debit: "buyer", credit: "bank", amount: 1, want: ledger.TransferExceedsCredits},
		move{id: "9", flags: post, ends: "7", with: func(t *ledger.Transfer) { t.Amount = ledger.AmountMax }},
		move{id: "10", debit: "buyer", credit: "bank", amount: 5},
		move{id: "11", debit: "buyer", credit: "bank", amount: 1, want: ledger.TransferExceedsCredits},
	)
	b.balances(held{account: "buyer", debits: 11, debitsP: 4, credits: 15})
	b.send(
		move{id: "21", debit: "bank", credit: "debt", amount: 1, want: ledger.TransferExceedsDebits},
		move{id: "22", debit: "debt", credit: "bank", amount: 10},
		move{id: "23", debit: "bank", credit: "debt", amount: 4, flags: pending},
		move{id: "24", debit: "bank", credit: "debt", amount: 7, want: ledger.TransferExceedsDebits},
		move{id: "25", debit: "bank", credit: "debt", amount: 6},
		move{id: "26", flags: void, ends: "23"},
		move{id: "27", debit: "bank", credit: "debt", amount: 4},
		// Both sides are limited: the debit's is named first.
		move{id: "28", debit: "buyer", credit: "debt", amount: 99, want: ledger.TransferExceedsCredits},
	)
	b.balances(held{account: "debt", debits: 10, credits: 10})
}

func balancing(b *books) {
	const debit, credit = ledger.TransferBalancingDebit, ledger.TransferBalancingCredit
	b.accounts(0, "A", "B", "C", "sink")
	b.send(
		move{id: "1", debit: "sink", credit: "A", amount: 10},
		move{id: "2", debit: "A", credit: "sink", amount: 3, flags: pending}, // what is pending cannot be spared
		move{id: "3", debit: "B", credit: "sink", amount: 4},
		move{id: "d1", debit: "A", credit: "sink", amount: 5, flags: debit},            // under the limit
		move{id: "d2", debit: "A", credit: "sink", amount: 100, flags: debit},          // 2 are left
		move{id: "d3", debit: "A", credit: "sink", amount: 100, flags: debit},          // nothing is left: a transfer of 0
		move{id: "c1", debit: "sink", credit: "B", amount: 100, flags: credit},         // brings B to balance
		move{id: "4", debit: "sink", credit: "A", amount: 6},                           //
		move{id: "5", debit: "C", credit: "sink", amount: 5},                           //
		move{id: "both", debit: "A", credit: "C", amount: 100, flags: debit | credit},  // the smaller of 6 and 5
		move{id: "p", debit: "A", credit: "sink", amount: 100, flags: debit | pending}, // the last 1
	)
	b.balances(
		held{account: "A", debits: 12, debitsP: 4, credits: 16},
		held{account: "B", debits: 4, credits: 4},
		held{account: "C", debits: 5, credits: 5},
	)
	for name, want := range map[string]uint64{"d1": 5, "d2": 2, "d3": 0, "c1": 4, "both": 5, "p": 1} {
		found, err := b.eng.LookupTransfers(b.Context(), []ledger.ID{b.id(name)})
		if err != nil || len(found) != 1 || found[0].Amount != ledger.U64(want) {
			b.Errorf("%s: %v, %v; want an amount of %d", name, found, err, want)
		}
	}
	// Sent again, any limit that allows what was moved is the same transfer.
	b.send(
		move{id: "d2", debit: "A", credit: "sink", amount: 100, flags: debit, want: ledger.TransferExists},
		move{id: "d2", debit: "A", credit: "sink", amount: 2, flags: debit, want: ledger.TransferExists},
		move{id: "d2", debit: "A", credit: "sink", amount: 1, flags: debit, want: ledger.TransferExistsWithDifferentAmount},
	)
}

func overflows(b *books) {
	// Nearly all that 128 bits hold, which leaves room for 10.
	most := func(t *ledger.Transfer) { t.Amount = ledger.Amount{Hi: ^uint64(0), Lo: ^uint64(10)} }
	b.accounts(0, "A", "B", "C", "D", "E", "F")
	b.send(
		move{id: "posted", debit: "A", credit: "B", with: most},
		move{id: "pending", debit: "C", credit: "D", with: most, flags: pending},
		move{id: "p1", debit: "C", credit: "F", amount: 11, flags: pending, want: ledger.TransferOverflowsDebitsPending},
		move{id: "p1", debit: "E", credit: "D", amount: 11, flags: pending, want: ledger.TransferOverflowsCreditsPending},
		move{id: "p1", debit: "A", credit: "F", amount: 11, want: ledger.TransferOverflowsDebitsPosted},
		move{id: "p1", debit: "E", credit: "B", amount: 11, want: ledger.TransferOverflowsCreditsPosted},
		move{id: "p1", debit: "A", credit: "F", amount: 11, flags: pending, want: ledger.TransferOverflowsDebitsPosted}, // it may be posted one day
		move{id: "p1", debit: "C", credit: "F", amount: 11, want: ledger.TransferOverflowsDebits},
		move{id: "p1", debit: "E", credit: "D", amount: 11, want: ledger.TransferOverflowsCredits},
		move{id: "p1", debit: "A", credit: "D", amount: 10}, // just fits; no refusal above burned the id
		move{id: "p2", debit: "A", credit: "F", amount: 1, want: ledger.TransferOverflowsDebitsPosted},
	)
	if a := b.account("A"); a.DebitsPosted != ledger.AmountMax {
		b.Errorf("A holds %v", a.DebitsPosted)
	}
	// Overflow is named before a limit, and a balancing amount clamped before.
	b.accounts(ledger.AccountDebitsMustNotExceedCredits, "L")
	all := func(t *ledger.Transfer) { t.Amount = ledger.AmountMax }
	b.send(
		move{id: "l1", debit: "L", credit: "B", with: all, want: ledger.TransferOverflowsCreditsPosted},
		move{id: "l1", debit: "L", credit: "B", with: all, flags: ledger.TransferBalancingDebit},
	)
}
