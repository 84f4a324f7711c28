package rules

import (
	"sort"

	"escrowd/ledger"
)

// window is the timestamps a filter asks for, both inclusive.
type window struct{ from, to uint64 }

func newWindow(from, to uint64) window {
	if to == 0 {
		to = ledger.TimestampMax
	}
	return window{from: from, to: to}
}

// collect visits the positions lo <= i < hi upwards, or downwards if reversed,
// and gathers at most limit answers.
func collect[T any](lo, hi int, reversed bool, limit uint32, get func(i int) (T, bool)) []T {
	var found []T
	for n := hi - lo; n > 0 && len(found) < int(limit); n-- {
		i := hi - n
		if reversed {
			i = lo + n - 1
		}
		if v, ok := get(i); ok {
			found = append(found, v)
		}
	}
	return found
}

// firstAccount is the position of the first account at or after timestamp.
func (m *Memory) firstAccount(timestamp uint64) int {
	return sort.Search(len(m.accounts), func(i int) bool { return m.accounts[i].Timestamp >= timestamp })
}

// firstTransfer is the position of the first transfer at or after timestamp.
func (m *Memory) firstTransfer(timestamp uint64) int {
	return sort.Search(m.transfers.len, func(i int) bool { return m.transfers.at(i).Timestamp >= timestamp })
}

// QueryAccounts answers the accounts that f selects, by timestamp; an invalid
// filter selects nothing.
func (m *Memory) QueryAccounts(f ledger.QueryFilter) []ledger.Account {
	if !f.Valid() {
		return nil
	}
	w := newWindow(f.TimestampMin, f.TimestampMax)
	return collect(m.firstAccount(w.from), m.firstAccount(w.to+1), f.Flags&ledger.FilterQueryReversed != 0, f.Limit,
		func(i int) (ledger.Account, bool) {
			a := &m.accounts[i].Account
			return *a, matches(f, a.UserData128, a.UserData64, a.UserData32, a.Ledger, a.Code)
		})
}

// QueryTransfers answers the transfers that f selects, by timestamp; an
// invalid filter selects nothing.
func (m *Memory) QueryTransfers(f ledger.QueryFilter) []ledger.Transfer {
	if !f.Valid() {
		return nil
	}
	w := newWindow(f.TimestampMin, f.TimestampMax)
	return collect(m.firstTransfer(w.from), m.firstTransfer(w.to+1), f.Flags&ledger.FilterQueryReversed != 0, f.Limit,
		func(i int) (ledger.Transfer, bool) {
			t := m.transfers.at(i)
			return *t, matches(f, t.UserData128, t.UserData64, t.UserData32, t.Ledger, t.Code)
		})
}

// GetAccountTransfers answers the transfers of an account that f selects, by
// timestamp; an invalid filter selects nothing.
func (m *Memory) GetAccountTransfers(f ledger.AccountFilter) []ledger.Transfer {
	return accountTransfers(m, f, func(t *ledger.Transfer) ledger.Transfer { return *t })
}

// GetAccountBalances answers the balances after each of the transfers that
// GetAccountTransfers would answer, for an account with history.
func (m *Memory) GetAccountBalances(f ledger.AccountFilter) []ledger.AccountBalance {
	a, ok := m.accountOf[f.AccountID]
	if !ok || !a.Flags.Has(ledger.AccountHistory) {
		return nil
	}
	// Every transfer of the account has a row, and both rise by timestamp.
	return accountTransfers(m, f, func(t *ledger.Transfer) ledger.AccountBalance {
		i := sort.Search(len(a.balances), func(i int) bool { return a.balances[i].Timestamp >= t.Timestamp })
		return a.balances[i]
	})
}

func accountTransfers[T any](m *Memory, f ledger.AccountFilter, answer func(*ledger.Transfer) T) []T {
	a, ok := m.accountOf[f.AccountID]
	if !ok || !f.Valid() {
		return nil
	}
	m.index()
	first := func(timestamp uint64) int {
		return sort.Search(len(a.transfers), func(i int) bool {
			return m.transfers.at(a.transfers[i]).Timestamp >= timestamp
		})
	}
	w := newWindow(f.TimestampMin, f.TimestampMax)
	return collect(first(w.from), first(w.to+1), f.Flags&ledger.FilterReversed != 0, f.Limit,
		func(i int) (none T, ok bool) {
			t := m.transfers.at(a.transfers[i])
			side := t.DebitAccountID == f.AccountID && f.Flags&ledger.FilterDebits != 0 ||
				t.CreditAccountID == f.AccountID && f.Flags&ledger.FilterCredits != 0
			if !side || !matches(ledger.QueryFilter{
				UserData128: f.UserData128, UserData64: f.UserData64, UserData32: f.UserData32, Code: f.Code,
			}, t.UserData128, t.UserData64, t.UserData32, t.Ledger, t.Code) {
				return none, false
			}
			return answer(t), true
		})
}

// index brings the accounts' lists of transfers up to date. Doing so when they
// are asked for keeps the cost off the write path.
func (m *Memory) index() {
	for ; m.indexed < m.transfers.len; m.indexed++ {
		t := m.transfers.at(m.indexed)
		dr, cr := m.accountOf[t.DebitAccountID], m.accountOf[t.CreditAccountID]
		dr.transfers = append(dr.transfers, m.indexed)
		cr.transfers = append(cr.transfers, m.indexed)
	}
}

// matches reports whether an object has what f asks for; 0 asks for nothing.
func matches(f ledger.QueryFilter, ud128 ledger.Uint128, ud64 uint64, ud32, book uint32, code uint16) bool {
	return (f.UserData128.IsZero() || f.UserData128 == ud128) &&
		(f.UserData64 == 0 || f.UserData64 == ud64) &&
		(f.UserData32 == 0 || f.UserData32 == ud32) &&
		(f.Ledger == 0 || f.Ledger == book) &&
		(f.Code == 0 || f.Code == code)
}
