package ledgertest

import (
	"slices"

	"escrowd/ledger"
)

func accountsRoundTrip(b *books) {
	results := b.create(
		open{name: "full", flags: ledger.AccountHistory | ledger.AccountDebitsMustNotExceedCredits, with: func(a *ledger.Account) {
			a.UserData128 = ledger.Uint128{Hi: 1 << 63, Lo: 3}
			a.UserData64 = ^uint64(0)
			a.UserData32 = ^uint32(0)
			a.Code = 65535
		}},
		open{name: "closed", flags: ledger.AccountClosed},
		open{name: "plain"},
	)
	got, err := b.eng.LookupAccounts(b.Context(), []ledger.ID{
		b.id("plain"), b.id("nobody"), b.id("full"), b.id("closed"), b.id("plain"),
	})
	if err != nil {
		b.Fatal(err)
	}
	full := ledger.Account{
		ID: b.id("full"), UserData128: ledger.Uint128{Hi: 1 << 63, Lo: 3}, UserData64: ^uint64(0), UserData32: ^uint32(0),
		Ledger: b.ledger, Code: 65535, Flags: ledger.AccountHistory | ledger.AccountDebitsMustNotExceedCredits, Timestamp: results[0].Timestamp,
	}
	closed := ledger.Account{ID: b.id("closed"), Ledger: b.ledger, Code: 1, Flags: ledger.AccountClosed, Timestamp: results[1].Timestamp}
	plain := ledger.Account{ID: b.id("plain"), Ledger: b.ledger, Code: 1, Timestamp: results[2].Timestamp}
	// In the order asked, the missing left out, the repeated repeated.
	if want := []ledger.Account{plain, full, closed, plain}; !slices.Equal(got, want) {
		b.Errorf("got  %v\nwant %v", got, want)
	}
}

func accountRefusals(b *books) {
	one := ledger.U64(1)
	// Each row breaks its rule and one that is checked later.
	b.create(
		open{name: "a", with: func(a *ledger.Account) { a.Timestamp, a.Reserved = 1, 1 }, want: ledger.AccountTimestampMustBeZero},
		open{name: "a", with: func(a *ledger.Account) { a.Reserved, a.Flags = 1, 1<<6 }, want: ledger.AccountReservedField},
		open{name: "", with: func(a *ledger.Account) { a.Flags = 1 << 15 }, want: ledger.AccountReservedFlag},
		open{name: "", with: func(a *ledger.Account) { a.Ledger = 0 }, want: ledger.AccountIDMustNotBeZero},
		open{name: "max", with: func(a *ledger.Account) { a.Ledger = 0 }, want: ledger.AccountIDMustNotBeIntMax},
		open{name: "a", flags: ledger.AccountDebitsMustNotExceedCredits | ledger.AccountCreditsMustNotExceedDebits,
			with: func(a *ledger.Account) { a.DebitsPending = one }, want: ledger.AccountFlagsAreMutuallyExclusive},
		open{name: "a", with: func(a *ledger.Account) { a.DebitsPending, a.DebitsPosted = one, one }, want: ledger.AccountDebitsPendingMustBeZero},
		open{name: "a", with: func(a *ledger.Account) { a.DebitsPosted, a.CreditsPending = one, one }, want: ledger.AccountDebitsPostedMustBeZero},
		open{name: "a", with: func(a *ledger.Account) { a.CreditsPending, a.CreditsPosted = one, one }, want: ledger.AccountCreditsPendingMustBeZero},
		open{name: "a", with: func(a *ledger.Account) { a.CreditsPosted, a.Ledger = one, 0 }, want: ledger.AccountCreditsPostedMustBeZero},
		open{name: "a", with: func(a *ledger.Account) { a.Ledger, a.Code = 0, 0 }, want: ledger.AccountLedgerMustNotBeZero},
		open{name: "a", with: func(a *ledger.Account) { a.Code = 0 }, want: ledger.AccountCodeMustNotBeZero},
		open{name: "a"}, // no refusal burns an account's id
	)
}

func accountsSentAgain(b *books) {
	with := func(edits ...func(*ledger.Account)) func(*ledger.Account) {
		return func(a *ledger.Account) {
			a.UserData128, a.UserData64, a.UserData32 = ledger.U64(1), 2, 3
			for _, edit := range edits {
				edit(a)
			}
		}
	}
	flags := func(a *ledger.Account) { a.Flags = 0 }
	ud128 := func(a *ledger.Account) { a.UserData128 = ledger.U64(9) }
	ud64 := func(a *ledger.Account) { a.UserData64 = 9 }
	ud32 := func(a *ledger.Account) { a.UserData32 = 9 }
	book := func(a *ledger.Account) { a.Ledger++ }
	code := func(a *ledger.Account) { a.Code = 9 }
	created := b.create(open{name: "a", flags: ledger.AccountHistory, with: with()})
	again := b.create(
		open{name: "a", flags: ledger.AccountHistory, with: with(), want: ledger.AccountExists},
		open{name: "a", flags: ledger.AccountHistory, with: with(flags, ud128), want: ledger.AccountExistsWithDifferentFlags},
		open{name: "a", flags: ledger.AccountHistory, with: with(ud128, ud64), want: ledger.AccountExistsWithDifferentUserData128},
		open{name: "a", flags: ledger.AccountHistory, with: with(ud64, ud32), want: ledger.AccountExistsWithDifferentUserData64},
		open{name: "a", flags: ledger.AccountHistory, with: with(ud32, book), want: ledger.AccountExistsWithDifferentUserData32},
		open{name: "a", flags: ledger.AccountHistory, with: with(book, code), want: ledger.AccountExistsWithDifferentLedger},
		open{name: "a", flags: ledger.AccountHistory, with: with(code), want: ledger.AccountExistsWithDifferentCode},
		// What is checked after "exists" does not matter any more.
		open{name: "a", flags: ledger.AccountHistory, with: with(func(a *ledger.Account) { a.DebitsPosted = ledger.U64(1) }), want: ledger.AccountExists},
	)
	if again[0].Timestamp != created[0].Timestamp {
		b.Errorf("exists at %d, was created at %d", again[0].Timestamp, created[0].Timestamp)
	}
}

func accountChains(b *books) {
	const linked = ledger.AccountLinked
	noCode := func(a *ledger.Account) { a.Code = 0 }
	b.create(
		open{name: "a", flags: linked},
		open{name: "b"},
		open{name: "c", flags: linked, want: ledger.AccountLinkedEventFailed},
		open{name: "d", flags: linked, with: noCode, want: ledger.AccountCodeMustNotBeZero},
		open{name: "e", want: ledger.AccountLinkedEventFailed},
		open{name: "f"},
		open{name: "g", flags: linked, want: ledger.AccountLinkedEventFailed},
		open{name: "h", flags: linked, want: ledger.AccountLinkedEventChainOpen},
	)
	found, err := b.eng.LookupAccounts(b.Context(), []ledger.ID{
		b.id("a"), b.id("b"), b.id("c"), b.id("d"), b.id("e"), b.id("f"), b.id("g"), b.id("h"),
	})
	if err != nil {
		b.Fatal(err)
	}
	var got []ledger.ID
	for _, a := range found {
		got = append(got, a.ID)
	}
	if want := []ledger.ID{b.id("a"), b.id("b"), b.id("f")}; !slices.Equal(got, want) {
		b.Errorf("found %v, want a, b, f: %v", got, want)
	}
	// A chain that stands answers exists once, and fails the rest for that.
	b.create(
		open{name: "a", flags: linked, want: ledger.AccountExists},
		open{name: "b", want: ledger.AccountLinkedEventFailed},
	)
	// A chain that fell may be sent again.
	b.create(open{name: "c", flags: linked}, open{name: "d", flags: linked}, open{name: "e"})
}
