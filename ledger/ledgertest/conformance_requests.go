package ledgertest

import (
	"context"
	"errors"
	"sync"

	"escrowd/ledger"
)

// requests is each of the eight requests, as large as size says. The events
// would stand if they were sent.
func (b *books) requests(size int) map[string]func(ctx context.Context) error {
	b.Helper()
	accounts := make([]ledger.Account, size)
	transfers := make([]ledger.Transfer, size)
	ids := make([]ledger.ID, size)
	for i := range size {
		ids[i] = newID()
		accounts[i] = ledger.Account{ID: newID(), Ledger: b.ledger, Code: 1}
		transfers[i] = ledger.Transfer{ID: newID(), DebitAccountID: b.id("A"), CreditAccountID: b.id("B"), Amount: ledger.U64(1), Ledger: b.ledger, Code: 1}
	}
	ofAccount := ledger.AccountFilter{AccountID: b.id("A"), Limit: uint32(size), Flags: ledger.FilterDebits}
	query := ledger.QueryFilter{Ledger: b.ledger, Limit: uint32(size)}
	return map[string]func(ctx context.Context) error{
		"create_accounts":       func(ctx context.Context) error { _, err := b.eng.CreateAccounts(ctx, accounts); return err },
		"create_transfers":      func(ctx context.Context) error { _, err := b.eng.CreateTransfers(ctx, transfers); return err },
		"lookup_accounts":       func(ctx context.Context) error { _, err := b.eng.LookupAccounts(ctx, ids); return err },
		"lookup_transfers":      func(ctx context.Context) error { _, err := b.eng.LookupTransfers(ctx, ids); return err },
		"get_account_transfers": func(ctx context.Context) error { _, err := b.eng.GetAccountTransfers(ctx, ofAccount); return err },
		"get_account_balances":  func(ctx context.Context) error { _, err := b.eng.GetAccountBalances(ctx, ofAccount); return err },
		"query_accounts":        func(ctx context.Context) error { _, err := b.eng.QueryAccounts(ctx, query); return err },
		"query_transfers":       func(ctx context.Context) error { _, err := b.eng.QueryTransfers(ctx, query); return err },
	}
}

// nothingCreated checks that a request for A and B left no trace.
func (b *books) nothingCreated() {
	b.Helper()
	b.balances(held{account: "A"}, held{account: "B"})
	accounts, err := b.eng.QueryAccounts(b.Context(), ledger.QueryFilter{Ledger: b.ledger, Limit: 100})
	if err != nil || len(accounts) != 2 {
		b.Errorf("%d accounts, want A and B alone (%v)", len(accounts), err)
	}
}

func requestSize(b *books) {
	b.accounts(0, "A", "B")
	for op, request := range b.requests(ledger.BatchMax + 1) {
		err := request(b.Context())
		var tooMany *ledger.TooManyError
		if !errors.As(err, &tooMany) || tooMany.Events != ledger.BatchMax+1 || !errors.Is(err, ledger.ErrNotSent) {
			b.Errorf("%s with %d events: %v", op, ledger.BatchMax+1, err)
		}
	}
	b.nothingCreated()
	for op, request := range b.requests(0) {
		if err := request(b.Context()); err != nil {
			b.Errorf("%s with nothing: %v", op, err)
		}
	}
	b.nothingCreated()

	// The largest requests and answers that fit.
	for op, request := range b.requests(ledger.BatchMax) {
		if err := request(b.Context()); err != nil {
			b.Errorf("%s with %d events: %v", op, ledger.BatchMax, err)
		}
	}
	b.balances(held{account: "A", debits: ledger.BatchMax}, held{account: "B", credits: ledger.BatchMax})
	accounts, err := b.eng.QueryAccounts(b.Context(), ledger.QueryFilter{Ledger: b.ledger, Limit: ledger.BatchMax})
	if err != nil || len(accounts) != ledger.BatchMax {
		b.Errorf("%d accounts in one answer, %v", len(accounts), err)
	}
	transfers, err := b.eng.GetAccountTransfers(b.Context(), ledger.AccountFilter{AccountID: b.id("A"), Limit: ledger.BatchMax, Flags: ledger.FilterDebits})
	if err != nil || len(transfers) != ledger.BatchMax {
		b.Errorf("%d transfers in one answer, %v", len(transfers), err)
	}
}

func canceledRequests(b *books) {
	b.accounts(0, "A", "B")
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	for op, request := range b.requests(1) {
		if err := request(ctx); !errors.Is(err, ledger.ErrNotSent) || !errors.Is(err, context.Canceled) || errors.Is(err, ledger.ErrUnknown) {
			b.Errorf("%s: %v", op, err)
		}
	}
	b.nothingCreated()
}

func closedEngine(b *books) {
	b.accounts(0, "A", "B")
	if err := b.eng.Close(); err != nil {
		b.Fatal(err)
	}
	for op, request := range b.requests(1) {
		if err := request(b.Context()); !errors.Is(err, ledger.ErrNotSent) {
			b.Errorf("%s: %v", op, err)
		}
	}
}

func timestampsRise(b *books) {
	b.accounts(0, "A", "B")
	last := max(b.account("A").Timestamp, b.account("B").Timestamp)
	for range 20 {
		first := b.send(
			move{id: "refused", debit: "A", credit: "A", want: ledger.TransferAccountsMustBeDifferent},
			move{id: newID().String(), debit: "A", credit: "B", amount: 1},
			move{id: "refused", debit: "A", credit: "A", want: ledger.TransferAccountsMustBeDifferent},
		)
		if first[0].Timestamp <= last {
			b.Fatalf("a request begins at %d, the one before ended at %d", first[0].Timestamp, last)
		}
		last = first[2].Timestamp
		created := b.create(open{name: newID().String()})
		if created[0].Timestamp <= last {
			b.Fatalf("an account at %d, after a transfer at %d", created[0].Timestamp, last)
		}
		last = created[0].Timestamp
	}
}

func concurrentCallers(b *books) {
	b.accounts(0, "A", "B")
	const callers, transfers = 8, 30
	events := make([]ledger.Transfer, transfers)
	for i := range events {
		events[i] = ledger.Transfer{ID: newID(), DebitAccountID: b.id("A"), CreditAccountID: b.id("B"), Amount: ledger.U64(1), Ledger: b.ledger, Code: 1}
	}
	var answers [callers][]ledger.TransferResult
	var wait sync.WaitGroup
	for c := range callers {
		wait.Go(func() {
			for i := range events { // each begins elsewhere
				at := (i + c*transfers/callers) % transfers
				got, err := b.eng.CreateTransfers(b.Context(), events[at:at+1])
				if err != nil || len(got) != 1 {
					b.Errorf("caller %d: %v, %v", c, got, err)
					return
				}
				answers[c] = append(answers[c], ledger.TransferResult{Status: got[0].Status, Timestamp: got[0].Timestamp})
			}
		})
	}
	wait.Wait()
	if b.Failed() {
		return
	}
	for at := range events {
		created := 0
		stamps := make(map[uint64]bool)
		for c := range callers {
			i := (at - c*transfers/callers + transfers) % transfers
			r := answers[c][i]
			stamps[r.Timestamp] = true
			switch r.Status {
			case ledger.TransferCreated:
				created++
			case ledger.TransferExists:
			default:
				b.Errorf("transfer %d: %v", at, r.Status)
			}
		}
		if created != 1 || len(stamps) != 1 {
			b.Errorf("transfer %d was created %d times, at %d moments", at, created, len(stamps))
		}
	}
	b.balances(held{account: "A", debits: transfers}, held{account: "B", credits: transfers})
}
