package ledgertest

import (
	"context"
	"maps"

	"pgregory.net/rapid"

	"escrowd/ledger"
)

// model is the books as simple as can be: small balances in a map, and each
// pending transfer that is open. It knows plain and pending transfers, posts,
// voids, limits, chains and burned ids, and was written from the reference,
// not from the engines.
type model struct {
	accounts map[ledger.ID]modelAccount
	pending  map[ledger.ID]modelPending
	known    map[ledger.ID]bool
	burned   map[ledger.ID]bool
}

type modelAccount struct {
	debits, debitsP, credits, creditsP int64
	flags                              ledger.AccountFlags
}

type modelPending struct {
	debit, credit ledger.ID
	amount        int64
	state         ledger.TransferStatus // what a second post or void is told; 0 while open
}

func (m *model) clone() *model {
	return &model{
		accounts: maps.Clone(m.accounts), pending: maps.Clone(m.pending),
		known: maps.Clone(m.known), burned: m.burned, // burned ids outlive their chain
	}
}

// request predicts the statuses of a request whose chains are all ended.
func (m *model) request(events []ledger.Transfer) []ledger.TransferStatus {
	var out []ledger.TransferStatus
	for from := 0; from < len(events); {
		to := from + 1
		for events[to-1].Flags.Has(linked) {
			to++
		}
		out = append(out, m.chain(events[from:to])...)
		from = to
	}
	return out
}

func (m *model) chain(events []ledger.Transfer) []ledger.TransferStatus {
	out := make([]ledger.TransferStatus, len(events))
	attempt := m.clone()
	for i := range events {
		status := attempt.one(events[i])
		if status == ledger.TransferCreated {
			out[i] = status
			continue
		}
		for j := range out {
			out[j] = ledger.TransferLinkedEventFailed
		}
		out[i] = status
		switch status {
		case ledger.TransferExceedsCredits, ledger.TransferExceedsDebits, ledger.TransferPendingTransferNotFound:
			m.burned[events[i].ID] = true
		}
		return out
	}
	*m = *attempt
	return out
}

func (m *model) one(t ledger.Transfer) ledger.TransferStatus {
	if m.known[t.ID] {
		return ledger.TransferExists
	}
	if m.burned[t.ID] {
		return ledger.TransferIDAlreadyFailed
	}
	amount := int64(t.Amount.Lo)
	if t.Flags&(post|void) != 0 {
		p, ok := m.pending[t.PendingID]
		switch {
		case !ok && m.known[t.PendingID]:
			return ledger.TransferPendingTransferNotPending
		case !ok:
			return ledger.TransferPendingTransferNotFound
		case amount > p.amount:
			return ledger.TransferExceedsPendingTransferAmount
		case t.Flags.Has(void) && amount != 0 && amount < p.amount:
			return ledger.TransferPendingTransferHasDifferentAmount
		case p.state != 0:
			return p.state
		}
		dr, cr := m.accounts[p.debit], m.accounts[p.credit]
		dr.debitsP -= p.amount
		cr.creditsP -= p.amount
		p.state = ledger.TransferPendingTransferAlreadyVoided
		if t.Flags.Has(post) {
			dr.debits += amount
			cr.credits += amount
			p.state = ledger.TransferPendingTransferAlreadyPosted
		}
		m.accounts[p.debit], m.accounts[p.credit], m.pending[t.PendingID] = dr, cr, p
		m.known[t.ID] = true
		return ledger.TransferCreated
	}
	dr, cr := m.accounts[t.DebitAccountID], m.accounts[t.CreditAccountID]
	if t.Flags.Has(pending) {
		dr.debitsP += amount
		cr.creditsP += amount
	} else {
		dr.debits += amount
		cr.credits += amount
	}
	if dr.flags.Has(ledger.AccountDebitsMustNotExceedCredits) && dr.debits+dr.debitsP > dr.credits {
		return ledger.TransferExceedsCredits
	}
	if cr.flags.Has(ledger.AccountCreditsMustNotExceedDebits) && cr.credits+cr.creditsP > cr.debits {
		return ledger.TransferExceedsDebits
	}
	if t.Flags.Has(pending) {
		m.pending[t.ID] = modelPending{debit: t.DebitAccountID, credit: t.CreditAccountID, amount: amount}
	}
	m.accounts[t.DebitAccountID], m.accounts[t.CreditAccountID] = dr, cr
	m.known[t.ID] = true
	return ledger.TransferCreated
}

// randomTransfers compares an engine with the model over random requests, and
// checks after each what must always hold: debits = credits, and every limit.
// A failure prints the seed that repeats it.
func randomTransfers(b *books) {
	ctx := b.Context()
	rapid.Check(b.T, func(t *rapid.T) { randomBooks(ctx, t, b.eng, randomLedger()) })
}

func randomBooks(ctx context.Context, t *rapid.T, eng ledger.Engine, book uint32) {
	flags := []ledger.AccountFlags{
		0, 0, ledger.AccountDebitsMustNotExceedCredits, ledger.AccountDebitsMustNotExceedCredits | ledger.AccountHistory,
		ledger.AccountCreditsMustNotExceedDebits,
	}
	m := &model{
		accounts: make(map[ledger.ID]modelAccount), pending: make(map[ledger.ID]modelPending),
		known: make(map[ledger.ID]bool), burned: make(map[ledger.ID]bool),
	}
	var accounts []ledger.Account
	var names []ledger.ID
	for _, f := range flags {
		a := ledger.Account{ID: newID(), Ledger: book, Code: 1, Flags: f}
		accounts, names = append(accounts, a), append(names, a.ID)
		m.accounts[a.ID] = modelAccount{flags: f}
	}
	created, err := eng.CreateAccounts(ctx, accounts)
	if err != nil {
		t.Fatalf("create_accounts: %v", err)
	}
	for _, r := range created {
		if r.Status != ledger.AccountCreated {
			t.Fatalf("an account: %v", r.Status)
		}
	}

	var sent []ledger.Transfer
	for range rapid.IntRange(1, 3).Draw(t, "requests") {
		request := randomRequest(t, names, book, &sent)
		want := m.request(request)
		got, err := eng.CreateTransfers(ctx, request)
		if err != nil || len(got) != len(want) {
			t.Fatalf("create_transfers: %d results, %v", len(got), err)
		}
		for i := range want {
			if got[i].Status != want[i] {
				t.Fatalf("transfer %d, %s: %v, the model says %v", i, showTransfer(request[i]), got[i].Status, want[i])
			}
		}
		checkBooks(ctx, t, eng, names, m)
	}
}

// randomRequest draws transfers of every kind the model knows, some of them
// sent before; its last one ends the last chain.
func randomRequest(t *rapid.T, accounts []ledger.ID, book uint32, sent *[]ledger.Transfer) []ledger.Transfer {
	n := rapid.IntRange(1, 25).Draw(t, "transfers")
	var request []ledger.Transfer
	for i := range n {
		kind := rapid.SampledFrom([]ledger.TransferFlags{0, 0, 0, pending, pending, post, void, linked}).Draw(t, "kind")
		if kind == linked && len(*sent) > 0 { // here: one that was sent before, as it was
			again := rapid.SampledFrom(*sent).Draw(t, "again")
			if i < n-1 || !again.Flags.Has(linked) {
				request = append(request, again)
				continue
			}
		}
		kind &^= linked
		e := ledger.Transfer{ID: newID(), Amount: ledger.U64(rapid.Uint64Range(0, 20).Draw(t, "amount")), Flags: kind}
		if kind&(post|void) != 0 {
			e.PendingID = newID()
			if len(*sent) > 0 {
				e.PendingID = rapid.SampledFrom(*sent).Draw(t, "ends").ID
			}
		} else {
			two := rapid.Permutation(accounts).Draw(t, "accounts")
			e.DebitAccountID, e.CreditAccountID, e.Ledger, e.Code = two[0], two[1], book, 1
		}
		if i < n-1 && rapid.IntRange(0, 2).Draw(t, "linked") == 0 {
			e.Flags |= linked
		}
		request = append(request, e)
		*sent = append(*sent, e)
	}
	return request
}

func checkBooks(ctx context.Context, t *rapid.T, eng ledger.Engine, names []ledger.ID, m *model) {
	found, err := eng.LookupAccounts(ctx, names)
	if err != nil || len(found) != len(names) {
		t.Fatalf("lookup_accounts: %d found, %v", len(found), err)
	}
	var debits, credits, debitsP, creditsP int64
	for _, a := range found {
		is := modelAccount{
			debits: int64(a.DebitsPosted.Lo), debitsP: int64(a.DebitsPending.Lo),
			credits: int64(a.CreditsPosted.Lo), creditsP: int64(a.CreditsPending.Lo), flags: a.Flags,
		}
		if is != m.accounts[a.ID] {
			t.Fatalf("account %v: %+v, the model says %+v", a.ID, is, m.accounts[a.ID])
		}
		if a.Flags.Has(ledger.AccountDebitsMustNotExceedCredits) && is.debits+is.debitsP > is.credits ||
			a.Flags.Has(ledger.AccountCreditsMustNotExceedDebits) && is.credits+is.creditsP > is.debits {
			t.Fatalf("past its limit: %s", showAccount(a))
		}
		debits, credits, debitsP, creditsP = debits+is.debits, credits+is.credits, debitsP+is.debitsP, creditsP+is.creditsP
	}
	if debits != credits || debitsP != creditsP {
		t.Fatalf("debits %d and credits %d, pending %d and %d", debits, credits, debitsP, creditsP)
	}
}
