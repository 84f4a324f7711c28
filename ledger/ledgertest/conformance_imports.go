package ledgertest

import (
	"slices"

	"escrowd/ledger"
)

const (
	importedAccount  = ledger.AccountImported
	importedTransfer = ledger.TransferImported
)

// importRefusals keeps to what is refused in any books, and so changes none.
func importRefusals(b *books) {
	atA := func(ts uint64) func(*ledger.Account) { return func(a *ledger.Account) { a.Timestamp = ts } }
	atT := func(ts uint64) func(*ledger.Transfer) { return func(t *ledger.Transfer) { t.Timestamp = ts } }
	b.accounts(0, "A", "B")
	b.send(move{id: "t", debit: "A", credit: "B", amount: 1})

	// The first event says whether a request imports.
	b.create(
		open{name: "x", flags: importedAccount, with: atA(0), want: ledger.AccountImportedEventTimestampOutOfRange},
		open{name: "x", want: ledger.AccountImportedEventExpected},
		open{name: "x", flags: importedAccount, with: atA(ledger.TimestampMax + 1), want: ledger.AccountImportedEventTimestampOutOfRange},
		open{name: "x", flags: importedAccount, with: atA(ledger.TimestampMax), want: ledger.AccountImportedEventTimestampMustNotAdvance},
		open{name: "x", flags: importedAccount, with: func(a *ledger.Account) { a.Timestamp, a.Code = 1, 0 }, want: ledger.AccountCodeMustNotBeZero},
		open{name: "x", flags: importedAccount, with: atA(1), want: ledger.AccountImportedEventTimestampMustNotRegress},
		open{name: "A", flags: importedAccount, with: atA(1), want: ledger.AccountExistsWithDifferentFlags},
	)
	b.create(
		open{name: "y"},
		open{name: "x", flags: importedAccount, with: atA(1), want: ledger.AccountImportedEventNotExpected},
		open{name: "x", with: atA(1), want: ledger.AccountTimestampMustBeZero},
	)
	b.send(
		move{id: "x", debit: "A", credit: "B", flags: importedTransfer, want: ledger.TransferImportedEventTimestampOutOfRange},
		move{id: "x", debit: "A", credit: "B", want: ledger.TransferImportedEventExpected},
		move{id: "x", debit: "A", credit: "B", flags: importedTransfer, with: atT(^uint64(0)), want: ledger.TransferImportedEventTimestampOutOfRange},
		move{id: "x", debit: "A", credit: "B", flags: importedTransfer, with: atT(ledger.TimestampMax), want: ledger.TransferImportedEventTimestampMustNotAdvance},
		move{id: "x", debit: "A", credit: "A", flags: importedTransfer, with: atT(1), want: ledger.TransferAccountsMustBeDifferent},
		move{id: "x", debit: "A", credit: "B", flags: importedTransfer, with: atT(1), want: ledger.TransferImportedEventTimestampMustNotRegress},
		move{id: "t", debit: "A", credit: "B", amount: 1, flags: importedTransfer, with: atT(1), want: ledger.TransferExistsWithDifferentFlags},
	)
	b.send(
		move{id: "u", debit: "A", credit: "B", amount: 1},
		move{id: "x", debit: "A", credit: "B", flags: importedTransfer, with: atT(1), want: ledger.TransferImportedEventNotExpected},
		move{id: "x", debit: "A", credit: "B", with: atT(1), want: ledger.TransferTimestampMustBeZero},
	)
	b.missing("x")
	b.balances(held{account: "A", debits: 2}, held{account: "B", credits: 2})
}

// imports needs empty books: an import must be later than all there is of its
// kind, so on a clock that goes on it would shut out every later import.
func imports(b *books) {
	anyAccount, err := b.eng.QueryAccounts(b.Context(), ledger.QueryFilter{Limit: 1})
	if err != nil {
		b.Fatal(err)
	}
	anyTransfer, err := b.eng.QueryTransfers(b.Context(), ledger.QueryFilter{Limit: 1})
	if err != nil {
		b.Fatal(err)
	}
	if len(anyAccount)+len(anyTransfer) > 0 {
		b.Skip("the books are not empty: good imports are not checked here")
	}
	account := func(name string, ts uint64, flags ledger.AccountFlags, want ledger.AccountStatus) open {
		return open{name: name, flags: importedAccount | flags, with: func(a *ledger.Account) { a.Timestamp = ts }, want: want}
	}
	transfer := func(id, debit, credit string, ts uint64, flags ledger.TransferFlags, want ledger.TransferStatus) move {
		return move{id: id, debit: debit, credit: credit, amount: 5, flags: importedTransfer | flags, want: want,
			with: func(t *ledger.Transfer) { t.Timestamp = ts }}
	}
	got := b.create(
		account("A", 1000, ledger.AccountHistory, 0),
		account("B", 2000, 0, 0),
		account("C", 2000, 0, ledger.AccountImportedEventTimestampMustNotRegress),
		account("B", 2000, 0, ledger.AccountExists),
		account("C", 3000, ledger.AccountLinked, ledger.AccountLinkedEventFailed),
		account("D", 0, 0, ledger.AccountImportedEventTimestampOutOfRange),
		account("C", 9000, 0, 0),
	)
	for i, want := range map[int]uint64{0: 1000, 1: 2000, 3: 2000, 4: 3000, 6: 9000} {
		if got[i].Timestamp != want {
			b.Errorf("account %d at %d, want %d: the one it brought", i, got[i].Timestamp, want)
		}
	}

	b.stamps[b.id("t1")] = 3000
	results := b.send(
		transfer("t1", "A", "B", 3000, 0, 0),
		transfer("t2", "A", "B", 3000, 0, ledger.TransferImportedEventTimestampMustNotRegress),
		transfer("t2", "A", "C", 4000, 0, ledger.TransferImportedEventTimestampMustPostdateCreditAccount),
		transfer("t2", "C", "A", 4000, 0, ledger.TransferImportedEventTimestampMustPostdateDebitAccount),
		transfer("t2", "A", "B", 9000, 0, ledger.TransferImportedEventTimestampMustNotRegress), // an account's
		move{id: "t2", debit: "A", credit: "B", flags: importedTransfer | pending,
			with: func(t *ledger.Transfer) { t.Timestamp, t.Timeout = 4000, 1 }, want: ledger.TransferImportedEventTimeoutMustBeZero},
		transfer("l1", "A", "B", 4000, linked, ledger.TransferLinkedEventFailed),
		transfer("l2", "A", "A", 5000, 0, ledger.TransferAccountsMustBeDifferent),
		transfer("t2", "A", "B", 4000, pending, 0), // the chain that fell left its moment free
		transfer("t1", "A", "B", 3000, 0, ledger.TransferExists),
		transfer("t3", "A", "B", 5000, 0, 0),
		move{id: "t4", flags: importedTransfer | post, ends: "t2", amount: 2, with: func(t *ledger.Transfer) { t.Timestamp = 4999 },
			want: ledger.TransferImportedEventTimestampMustNotRegress},
		move{id: "t4", flags: importedTransfer | post, ends: "t2", amount: 2, with: func(t *ledger.Transfer) { t.Timestamp = 6000 }},
	)
	for i, want := range map[int]uint64{0: 3000, 6: 4000, 8: 4000, 9: 3000, 10: 5000, 12: 6000} {
		if results[i].Timestamp != want {
			b.Errorf("transfer %d at %d, want %d: the one it brought", i, results[i].Timestamp, want)
		}
	}
	b.balances(held{account: "A", debits: 12}, held{account: "B", credits: 12}, held{account: "C"})

	// An account may come after the transfers, not at the moment of one.
	b.create(
		account("E", 9500, 0, 0),
		account("F", 9500, 0, ledger.AccountImportedEventTimestampMustNotRegress),
	)
	// And life goes on, on the clock.
	results = b.send(move{id: "now", debit: "E", credit: "A", amount: 1})
	if results[0].Timestamp < 1_000_000_000_000_000_000 {
		b.Errorf("an event that is not imported is at %d", results[0].Timestamp)
	}
	rows, err := b.eng.GetAccountBalances(b.Context(), ledger.AccountFilter{AccountID: b.id("A"), Limit: 9, Flags: ledger.FilterDebits})
	if err != nil {
		b.Fatal(err)
	}
	var stamps []uint64
	for _, r := range rows {
		stamps = append(stamps, r.Timestamp)
	}
	if want := []uint64{3000, 4000, 5000, 6000}; !slices.Equal(stamps, want) {
		b.Errorf("history at %v, want %v", stamps, want)
	}
}
