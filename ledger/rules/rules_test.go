package rules

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"escrowd/ledger"
)

const start = uint64(1_700_000_000_000_000_000) // some moment, in ns UTC

// books is a store with n accounts in ledger 1: ids 1..n.
func books(t interface{ Fatal(...any) }, flags ...ledger.AccountFlags) *Memory {
	m := NewMemory()
	var accounts []ledger.Account
	for i, f := range flags {
		accounts = append(accounts, ledger.Account{ID: ledger.U64(uint64(i + 1)), Ledger: 1, Code: 1, Flags: f})
	}
	for _, r := range CreateAccounts(m, NextTimestamp(m.Newest(), start, len(accounts)), accounts) {
		if r.Status != ledger.AccountCreated {
			t.Fatal(r.Status)
		}
	}
	return m
}

func transfer(id, debit, credit, amount uint64, flags ledger.TransferFlags) ledger.Transfer {
	return ledger.Transfer{
		ID: ledger.U64(id), DebitAccountID: ledger.U64(debit), CreditAccountID: ledger.U64(credit),
		Amount: ledger.U64(amount), Ledger: 1, Code: 1, Flags: flags,
	}
}

func TestNextTimestamp(t *testing.T) {
	for _, c := range []struct {
		name        string
		any, clock  uint64
		events      int
		want, first uint64
	}{
		{"the clock is ahead", 100, 1000, 3, 1000, 998},
		{"the first event just fits", 997, 1000, 3, 1000, 998},
		{"one nanosecond too many", 998, 1000, 3, 1001, 999},
		{"the clock stands still", 1000, 1000, 1, 1001, 1001},
		{"the clock ran backwards", 5000, 1000, 10, 5010, 5001},
		{"the first batch ever, a clock at zero", 0, 0, 2, 2, 1},
		{"nothing to stamp", 10, 1000, 0, 1000, 1001},
	} {
		got := NextTimestamp(Newest{Any: c.any}, c.clock, c.events)
		if got != c.want || got-uint64(c.events)+1 != c.first {
			t.Errorf("%s: %d", c.name, got)
		}
	}
}

// TestFailedEventsUseTheirNanosecond: the next batch starts after them.
func TestFailedEventsUseTheirNanosecond(t *testing.T) {
	m := books(t, 0, 0)
	at := m.Newest().Any + 10
	got := CreateTransfers(m, at, []ledger.Transfer{
		transfer(10, 1, 2, 5, 0), transfer(11, 1, 99, 5, 0), transfer(12, 1, 2, 5, 0), transfer(13, 1, 1, 5, 0),
	})
	want := []ledger.TransferResult{
		{Status: ledger.TransferCreated, Timestamp: at - 3},
		{Status: ledger.TransferCreditAccountNotFound, Timestamp: at - 2},
		{Status: ledger.TransferCreated, Timestamp: at - 1},
		{Status: ledger.TransferAccountsMustBeDifferent, Timestamp: at},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if n := m.Newest(); n.Any != at || n.Transfer != at-1 {
		t.Errorf("newest is %+v", n)
	}
}

// TestExpire: what runs out is freed in the order of time, each expiry takes a
// nanosecond of its own, and none leaves a balance row.
func TestExpire(t *testing.T) {
	m := books(t, ledger.AccountHistory, ledger.AccountHistory)
	late, soon := transfer(10, 1, 2, 7, ledger.TransferPending), transfer(11, 1, 2, 5, ledger.TransferPending|ledger.TransferClosingDebit)
	late.Timeout, soon.Timeout = 20, 10
	forever := transfer(9, 1, 2, 100, ledger.TransferPending)
	at := m.Newest().Any + 3
	for _, r := range CreateTransfers(m, at, []ledger.Transfer{forever, late, soon}) {
		if r.Status != ledger.TransferCreated {
			t.Fatal(r.Status)
		}
	}
	all := ledger.AccountFilter{AccountID: ledger.U64(1), Limit: 100, Flags: ledger.FilterDebits}
	rows := len(m.GetAccountBalances(all))

	soonUp, lateUp := at+10*second, at-1+20*second
	if n := Expire(m, soonUp-1); n != 0 || m.Newest().Any != at {
		t.Fatalf("%d expired too early, newest %+v", n, m.Newest())
	}
	if a, _ := m.Account(ledger.U64(1)); !a.Flags.Has(ledger.AccountClosed) || a.DebitsPending != ledger.U64(112) {
		t.Fatalf("before: %+v", a)
	}
	if n := Expire(m, soonUp); n != 1 || m.Newest().Any != soonUp {
		t.Fatalf("%d expired, newest %+v; want 1 at %d", n, m.Newest(), soonUp)
	}
	if a, _ := m.Account(ledger.U64(1)); a.Flags.Has(ledger.AccountClosed) || a.DebitsPending != ledger.U64(107) {
		t.Fatalf("after the first: %+v", a)
	}
	// An event after the timeout's moment pushes the expiry behind it.
	CreateTransfers(m, lateUp+5, []ledger.Transfer{transfer(12, 2, 1, 1, 0)})
	if n := Expire(m, lateUp+50); n != 1 || m.Newest().Any != lateUp+6 {
		t.Fatalf("%d expired, newest %+v; want 1 at %d", n, m.Newest(), lateUp+6)
	}
	if n := Expire(m, ledger.TimestampMax); n != 0 {
		t.Fatalf("%d expired twice", n)
	}
	if a, _ := m.Account(ledger.U64(2)); a.CreditsPending != ledger.U64(100) {
		t.Fatalf("credit side: %+v", a)
	}
	if got := len(m.GetAccountBalances(ledger.AccountFilter{AccountID: ledger.U64(1), Limit: 100, Flags: ledger.FilterDebits})); got != rows {
		t.Errorf("%d balance rows, %d before the expiries", got, rows)
	}
	if s := m.Pending(late.ID); s != PendingExpired {
		t.Errorf("state %d", s)
	}
}

// TestOverdueWithinTheBatch: a post is refused from timestamp + timeout on,
// even if nobody called Expire.
func TestOverdueWithinTheBatch(t *testing.T) {
	m := books(t, 0, 0)
	p := transfer(10, 1, 2, 7, ledger.TransferPending)
	p.Timeout = 1
	at := m.Newest().Any + 1
	CreateTransfers(m, at, []ledger.Transfer{p})
	post := ledger.Transfer{ID: ledger.U64(11), PendingID: p.ID, Amount: ledger.AmountMax, Flags: ledger.TransferPostPending}
	early := post
	early.ID, early.Amount = ledger.U64(12), ledger.U64(8) // refused for its amount, a nanosecond before
	got := CreateTransfers(m, at+second, []ledger.Transfer{early, post})
	if got[0].Status != ledger.TransferExceedsPendingTransferAmount || got[1].Status != ledger.TransferPendingTransferExpired {
		t.Errorf("got %v", got)
	}
	if a, _ := m.Account(ledger.U64(1)); a.DebitsPending != p.Amount {
		t.Error("a refused post freed the amount")
	}
}

func TestTouch(t *testing.T) {
	imported := transfer(5, 7, 8, 1, ledger.TransferImported)
	imported.Timestamp = 77
	zero, far := imported, imported
	zero.Timestamp, far.Timestamp = 0, ledger.TimestampMax+1
	notImported := transfer(6, 8, 0, 1, 0)
	notImported.Timestamp = 99
	post := ledger.Transfer{ID: ledger.U64(3), PendingID: ledger.U64(4), Flags: ledger.TransferPostPending}
	last := ledger.Transfer{ID: ledger.AmountMax, PendingID: ledger.AmountMax, DebitAccountID: ledger.AmountMax}
	got := TouchedByTransfers([]ledger.Transfer{imported, imported, zero, far, notImported, post, last, {}})
	ids := func(v ...uint64) (out []ledger.ID) {
		for _, x := range v {
			out = append(out, ledger.U64(x))
		}
		return out
	}
	want := Touch{Accounts: ids(7, 8), Transfers: ids(3, 4, 5, 6), Timestamps: []uint64{77}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("transfers: %+v", got)
	}
	got = TouchedByAccounts([]ledger.Account{
		{ID: ledger.U64(2), Flags: ledger.AccountImported, Timestamp: 5}, {ID: ledger.U64(1)}, {ID: ledger.U64(2)}, {}, {ID: ledger.AmountMax},
	})
	if want := (Touch{Accounts: ids(1, 2), Timestamps: []uint64{5}}); !reflect.DeepEqual(got, want) {
		t.Errorf("accounts: %+v", got)
	}
	if got := TouchedByTransfers(nil); len(got.Accounts)+len(got.Transfers)+len(got.Timestamps) != 0 {
		t.Errorf("nothing: %+v", got)
	}
}

// state is all that a store holds, to compare before with after. What a failed
// batch may change, the burned ids and Newest.Any, is left out.
func state(m *Memory) any {
	accounts := make(map[ledger.ID]ledger.Account)
	histories := make(map[ledger.ID][]ledger.AccountBalance)
	for id, a := range m.accountOf {
		accounts[id] = a.Account
		histories[id] = slices.Clone(a.balances)
		if len(a.balances) == 0 {
			histories[id] = nil
		}
	}
	transfers := make(map[ledger.ID]ledger.Transfer)
	for i := range m.transfers.len {
		id := m.transfers.at(i).ID
		transfers[id], _ = m.Transfer(id)
	}
	pending := make(map[ledger.ID]PendingState)
	for id, p := range m.pending {
		pending[id] = p.state
	}
	due := m.Expiring(ledger.TimestampMax)
	newest := m.Newest()
	newest.Any = 0
	return []any{accounts, histories, transfers, pending, due, newest, len(m.accounts), m.transfers.len, len(m.rising), len(m.others)}
}

// TestBrokenChainLeavesNothing: whatever a chain does before it breaks, the
// books are as they were.
func TestBrokenChainLeavesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := books(t, 0, ledger.AccountHistory, ledger.AccountDebitsMustNotExceedCredits, ledger.AccountHistory)
		nextID := uint64(100)
		event := rapid.Custom(func(t *rapid.T) ledger.Transfer {
			nextID++
			flags := rapid.SampledFrom([]ledger.TransferFlags{
				0, ledger.TransferPending, ledger.TransferPostPending, ledger.TransferVoidPending,
				ledger.TransferBalancingDebit, ledger.TransferPending | ledger.TransferClosingCredit,
			}).Draw(t, "flags")
			e := transfer(nextID, rapid.Uint64Range(1, 4).Draw(t, "debit"), rapid.Uint64Range(1, 4).Draw(t, "credit"),
				rapid.Uint64Range(0, 9).Draw(t, "amount"), flags)
			if flags&(ledger.TransferPostPending|ledger.TransferVoidPending) != 0 {
				e = ledger.Transfer{ID: e.ID, Flags: flags, PendingID: ledger.U64(rapid.Uint64Range(101, nextID).Draw(t, "pending"))}
				if flags.Has(ledger.TransferPostPending) {
					e.Amount = ledger.AmountMax
				}
			} else if flags.Has(ledger.TransferPending) {
				e.Timeout = rapid.Uint32Range(0, 3).Draw(t, "timeout")
			}
			return e
		})
		before := rapid.SliceOfN(event, 0, 20).Draw(t, "before")
		CreateTransfers(m, NextTimestamp(m.Newest(), start, len(before)), before)

		// A chain with events that succeed, which its last one breaks.
		chain := rapid.SliceOfN(event, 1, 10).Draw(t, "chain")
		for i := range chain {
			chain[i].Flags |= ledger.TransferLinked
		}
		bad := transfer(nextID+1, 1, 1, 1, 0)
		was := state(m)
		newest := m.Newest()
		at := NextTimestamp(newest, start, len(chain)+1)
		for i, r := range CreateTransfers(m, at, append(chain, bad)) {
			if r.Status == ledger.TransferCreated {
				t.Fatalf("event %d of a broken chain stands", i)
			}
		}
		if is := state(m); !reflect.DeepEqual(was, is) {
			t.Fatalf("before: %+v\nafter: %+v", was, is)
		}
		if m.Newest().Any != at {
			t.Fatalf("newest %d, want %d", m.Newest().Any, at)
		}
	})
}

// TestBrokenChainOfImportedAccounts: the newest imported timestamp is restored
// too, so that the same accounts can be imported after all.
func TestBrokenChainOfImportedAccounts(t *testing.T) {
	m := NewMemory()
	events := []ledger.Account{
		{ID: ledger.U64(1), Ledger: 1, Code: 1, Flags: ledger.AccountImported | ledger.AccountLinked, Timestamp: 100},
		{ID: ledger.U64(2), Ledger: 1, Code: 0, Flags: ledger.AccountImported, Timestamp: 200},
	}
	got := CreateAccounts(m, start, events)
	want := []ledger.AccountResult{
		{Status: ledger.AccountLinkedEventFailed, Timestamp: 100}, // the one it brought
		{Status: ledger.AccountCodeMustNotBeZero, Timestamp: start},
	}
	if !slices.Equal(got, want) || m.Newest() != (Newest{Any: start}) || len(m.accounts) != 0 {
		t.Fatalf("%v, newest %+v", got, m.Newest())
	}
	events[1].Code = 1
	got = CreateAccounts(m, start+10, events)
	want = []ledger.AccountResult{{Status: ledger.AccountCreated, Timestamp: 100}, {Status: ledger.AccountCreated, Timestamp: 200}}
	if !slices.Equal(got, want) || m.Newest() != (Newest{Any: start + 10, Account: 200}) {
		t.Fatalf("%v, newest %+v", got, m.Newest())
	}
}

// TestImportAtTheBatchsOwnTime: an imported event is in the past.
func TestImportAtTheBatchsOwnTime(t *testing.T) {
	m := NewMemory()
	imported := func(id, timestamp uint64) ledger.Account {
		return ledger.Account{ID: ledger.U64(id), Ledger: 1, Code: 1, Flags: ledger.AccountImported, Timestamp: timestamp}
	}
	got := CreateAccounts(m, start, []ledger.Account{imported(1, start), imported(2, start-1)})
	want := []ledger.AccountResult{
		{Status: ledger.AccountImportedEventTimestampMustNotAdvance, Timestamp: start - 1},
		{Status: ledger.AccountCreated, Timestamp: start - 1},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// TestTimeoutPastTheLastTimestamp: a transfer must expire at a time there is.
func TestTimeoutPastTheLastTimestamp(t *testing.T) {
	m := books(t, 0, 0)
	p := transfer(10, 1, 2, 1, ledger.TransferPending)
	p.Timeout = 3
	late := p
	late.ID = ledger.U64(11)
	at := ledger.TimestampMax - 3*second // the first event's; it expires with the last nanosecond
	got := CreateTransfers(m, at+1, []ledger.Transfer{p, late})
	if got[0].Status != ledger.TransferCreated || got[1].Status != ledger.TransferOverflowsTimeout {
		t.Errorf("got %v", got)
	}
	if m.Burned(late.ID) {
		t.Error("an overflow burned the id")
	}
}

// TestMemoryFindsEveryID: whatever the order in which ids come and go, each is
// found where it is, and nothing else.
func TestMemoryFindsEveryID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMemory()
		var stack []uint64
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			id := rapid.Uint64Range(1, 40).Draw(t, "id")
			if slices.Contains(stack, id) { // take the newest back instead
				m.DeleteTransfer(ledger.U64(stack[len(stack)-1]))
				stack = stack[:len(stack)-1]
			} else {
				m.PutTransfer(transfer(id, 1, 2, id*3, 0))
				stack = append(stack, id)
			}
			for id := uint64(1); id <= 40; id++ {
				got, ok := m.Transfer(ledger.U64(id))
				if ok != slices.Contains(stack, id) || ok && got.Amount != ledger.U64(id*3) {
					t.Fatalf("%d of %v: %v, %v", id, stack, got.Amount, ok)
				}
			}
		}
	})
}
