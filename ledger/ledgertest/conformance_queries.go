package ledgertest

import (
	"slices"

	"escrowd/ledger"
)

// names translates transfers back to a test's names.
func (b *books) names(transfers []ledger.Transfer) []string {
	names := []string{}
	for _, t := range transfers {
		name := t.ID.String()
		for n, id := range b.ids {
			if id == t.ID {
				name = n
			}
		}
		names = append(names, name)
	}
	return names
}

func history(b *books) {
	b.accounts(ledger.AccountHistory, "A")
	b.accounts(0, "B")
	code := func(c uint16) func(*ledger.Transfer) { return func(t *ledger.Transfer) { t.Code = c } }
	b.send(
		move{id: "1", debit: "A", credit: "B", amount: 10},
		move{id: "2", debit: "B", credit: "A", amount: 3, with: code(2)},
		move{id: "3", debit: "A", credit: "B", amount: 5, flags: pending},
		move{id: "zero", debit: "A", credit: "B"},
		move{id: "4", flags: post, ends: "3", amount: 4},
		move{id: "no", debit: "A", credit: "A", want: ledger.TransferAccountsMustBeDifferent},
		move{id: "5", debit: "B", credit: "A", amount: 1, flags: pending},
		move{id: "6", flags: void, ends: "5"},
	)
	row := func(name string, debits, debitsP, credits, creditsP uint64) ledger.AccountBalance {
		return ledger.AccountBalance{
			DebitsPosted: ledger.U64(debits), DebitsPending: ledger.U64(debitsP),
			CreditsPosted: ledger.U64(credits), CreditsPending: ledger.U64(creditsP),
			Timestamp: b.stamps[b.id(name)],
		}
	}
	// Debits posted and pending, credits posted and pending, after each.
	rows := []ledger.AccountBalance{
		row("1", 10, 0, 0, 0),
		row("2", 10, 0, 3, 0),
		row("3", 10, 5, 3, 0),
		row("zero", 10, 5, 3, 0),
		row("4", 14, 0, 3, 0),
		row("5", 14, 0, 3, 1),
		row("6", 14, 0, 3, 0),
	}
	both := ledger.FilterDebits | ledger.FilterCredits
	pick := func(at ...int) (out []ledger.AccountBalance) {
		for _, i := range at {
			out = append(out, rows[i])
		}
		return out
	}
	for _, c := range []struct {
		name   string
		filter ledger.AccountFilter
		want   []ledger.AccountBalance
	}{
		{"all", ledger.AccountFilter{Flags: both, Limit: 100}, rows},
		{"newest first, three of them", ledger.AccountFilter{Flags: both | ledger.FilterReversed, Limit: 3}, pick(6, 5, 4)},
		{"after credits", ledger.AccountFilter{Flags: ledger.FilterCredits, Limit: 100}, pick(1, 5, 6)},
		{"after debits with code 1", ledger.AccountFilter{Flags: ledger.FilterDebits, Code: 1, Limit: 2}, pick(0, 2)},
		{"code 2", ledger.AccountFilter{Flags: both, Code: 2, Limit: 100}, pick(1)},
		{"a window", ledger.AccountFilter{Flags: both, TimestampMin: rows[2].Timestamp, TimestampMax: rows[4].Timestamp, Limit: 100}, pick(2, 3, 4)},
		{"a window after all", ledger.AccountFilter{Flags: both, TimestampMin: rows[6].Timestamp + 1, Limit: 100}, nil},
	} {
		c.filter.AccountID = b.id("A")
		got, err := b.eng.GetAccountBalances(b.Context(), c.filter)
		if err != nil || !slices.Equal(got, c.want) {
			b.Errorf("%s: %v\n got %v\nwant %v", c.name, err, got, c.want)
		}
	}
	for _, name := range []string{"B", "nobody"} { // without the flag, there is no history
		got, err := b.eng.GetAccountBalances(b.Context(), ledger.AccountFilter{AccountID: b.id(name), Flags: both, Limit: 100})
		if err != nil || len(got) != 0 {
			b.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func accountFilters(b *books) {
	b.accounts(0, "A", "B", "C")
	about := func(ud128, ud64 uint64, ud32 uint32, code uint16) func(*ledger.Transfer) {
		return func(t *ledger.Transfer) {
			t.UserData128, t.UserData64, t.UserData32, t.Code = ledger.U64(ud128), ud64, ud32, code
		}
	}
	b.one(
		move{id: "1", debit: "A", credit: "B", amount: 1, with: about(7, 0, 0, 1)},
		move{id: "2", debit: "B", credit: "A", amount: 1, with: about(7, 8, 0, 2)},
		move{id: "3", debit: "A", credit: "C", amount: 1, with: about(7, 8, 9, 1)},
		move{id: "4", debit: "B", credit: "C", amount: 1, with: about(7, 8, 9, 2)}, // not A's
		move{id: "5", debit: "C", credit: "A", amount: 1, with: about(0, 8, 9, 2)},
		move{id: "6", debit: "A", credit: "B", amount: 1, flags: pending},
		move{id: "7", flags: post, ends: "6", with: all},
	)
	const both, reversed = ledger.FilterDebits | ledger.FilterCredits, ledger.FilterReversed
	at := func(name string) uint64 { return b.stamps[b.id(name)] }
	for _, c := range []struct {
		name   string
		filter ledger.AccountFilter
		want   []string
	}{
		{"all", ledger.AccountFilter{Flags: both, Limit: 8189}, []string{"1", "2", "3", "5", "6", "7"}},
		{"newest first", ledger.AccountFilter{Flags: both | reversed, Limit: 100}, []string{"7", "6", "5", "3", "2", "1"}},
		{"debits", ledger.AccountFilter{Flags: ledger.FilterDebits, Limit: 100}, []string{"1", "3", "6", "7"}},
		{"credits", ledger.AccountFilter{Flags: ledger.FilterCredits, Limit: 100}, []string{"2", "5"}},
		{"a limit", ledger.AccountFilter{Flags: both, Limit: 2}, []string{"1", "2"}},
		{"a limit from the end", ledger.AccountFilter{Flags: both | reversed, Limit: 2}, []string{"7", "6"}},
		{"user_data_128", ledger.AccountFilter{Flags: both, UserData128: ledger.U64(7), Limit: 100}, []string{"1", "2", "3"}},
		{"user_data_64", ledger.AccountFilter{Flags: both, UserData64: 8, Limit: 100}, []string{"2", "3", "5"}},
		{"user_data_32", ledger.AccountFilter{Flags: both, UserData32: 9, Limit: 100}, []string{"3", "5"}},
		{"code", ledger.AccountFilter{Flags: both, Code: 2, Limit: 100}, []string{"2", "5"}},
		{"all of them", ledger.AccountFilter{Flags: both, UserData128: ledger.U64(7), UserData64: 8, UserData32: 9, Code: 1, Limit: 100}, []string{"3"}},
		{"none that is all of that", ledger.AccountFilter{Flags: both, UserData128: ledger.U64(7), Code: 9, Limit: 100}, []string{}},
		{"from", ledger.AccountFilter{Flags: both, TimestampMin: at("3"), Limit: 100}, []string{"3", "5", "6", "7"}},
		{"just after", ledger.AccountFilter{Flags: both, TimestampMin: at("3") + 1, Limit: 1}, []string{"5"}},
		{"to", ledger.AccountFilter{Flags: both, TimestampMax: at("3"), Limit: 100}, []string{"1", "2", "3"}},
		{"to, from the end", ledger.AccountFilter{Flags: both | reversed, TimestampMax: at("5") - 1, Limit: 2}, []string{"3", "2"}},
		{"one moment", ledger.AccountFilter{Flags: both, TimestampMin: at("5"), TimestampMax: at("5"), Limit: 100}, []string{"5"}},
	} {
		c.filter.AccountID = b.id("A")
		got, err := b.eng.GetAccountTransfers(b.Context(), c.filter)
		if names := b.names(got); err != nil || !slices.Equal(names, c.want) {
			b.Errorf("%s: %v, %v; want %v", c.name, names, err, c.want)
		}
	}
	got, err := b.eng.GetAccountTransfers(b.Context(), ledger.AccountFilter{AccountID: b.id("nobody"), Flags: both, Limit: 100})
	if err != nil || len(got) != 0 {
		b.Errorf("an account that does not exist: %v, %v", got, err)
	}
}

func queries(b *books) {
	mine := newID() // others may use the engine too
	data := func(ud64 uint64, ud32 uint32, code uint16) func(*ledger.Account) {
		return func(a *ledger.Account) { a.UserData128, a.UserData64, a.UserData32, a.Code = mine, ud64, ud32, code }
	}
	accounts := b.create(
		open{name: "1", with: data(8, 0, 1)},
		open{name: "2", with: data(8, 9, 2)},
		open{name: "3", with: data(0, 9, 1)},
		open{name: "4", with: func(a *ledger.Account) { data(8, 9, 2)(a); a.Ledger++ }},
	)
	transferData := func(ud64 uint64, ud32 uint32, code uint16) func(*ledger.Transfer) {
		return func(t *ledger.Transfer) { t.UserData128, t.UserData64, t.UserData32, t.Code = mine, ud64, ud32, code }
	}
	b.create(open{name: "5", with: func(a *ledger.Account) { a.Ledger++ }})
	transfers := b.send(
		move{id: "t1", debit: "1", credit: "2", amount: 1, with: transferData(8, 0, 1)},
		move{id: "t2", debit: "2", credit: "1", amount: 1, with: transferData(8, 9, 2)},
		move{id: "t3", debit: "1", credit: "3", amount: 1, with: transferData(0, 9, 1)},
		move{id: "t4", debit: "4", credit: "5", amount: 1, with: func(t *ledger.Transfer) { transferData(8, 9, 2)(t); t.Ledger++ }},
	)
	for _, c := range []struct {
		name     string
		filter   ledger.QueryFilter
		min, max int // the window, from the first of these to the last; 0 for none
		want     []int
	}{
		{"all", ledger.QueryFilter{Limit: 8189}, 0, 0, []int{1, 2, 3, 4}},
		{"newest first", ledger.QueryFilter{Flags: ledger.FilterQueryReversed, Limit: 100}, 0, 0, []int{4, 3, 2, 1}},
		{"a limit", ledger.QueryFilter{Limit: 3}, 0, 0, []int{1, 2, 3}},
		{"a limit from the end", ledger.QueryFilter{Flags: ledger.FilterQueryReversed, Limit: 1}, 0, 0, []int{4}},
		{"ledger", ledger.QueryFilter{Ledger: b.ledger, Limit: 100}, 0, 0, []int{1, 2, 3}},
		{"user_data_64", ledger.QueryFilter{UserData64: 8, Limit: 100}, 0, 0, []int{1, 2, 4}},
		{"user_data_32", ledger.QueryFilter{UserData32: 9, Limit: 100}, 0, 0, []int{2, 3, 4}},
		{"code", ledger.QueryFilter{Code: 1, Limit: 100}, 0, 0, []int{1, 3}},
		{"all of them", ledger.QueryFilter{UserData64: 8, UserData32: 9, Code: 2, Ledger: b.ledger, Limit: 100}, 0, 0, []int{2}},
		{"a window", ledger.QueryFilter{Limit: 100}, 2, 3, []int{2, 3}},
		{"a window and a code", ledger.QueryFilter{Code: 2, Limit: 100}, 1, 3, []int{2}},
		{"up to", ledger.QueryFilter{Limit: 1, Flags: ledger.FilterQueryReversed}, 0, 3, []int{3}},
		{"from", ledger.QueryFilter{Limit: 100}, 3, 0, []int{3, 4}},
	} {
		name := func(prefix string, n []int) []string {
			out := []string{}
			for _, i := range n {
				out = append(out, prefix+string(rune('0'+i)))
			}
			return out
		}
		c.filter.UserData128 = mine
		f := c.filter
		if c.min > 0 {
			f.TimestampMin = accounts[c.min-1].Timestamp
		}
		if c.max > 0 {
			f.TimestampMax = accounts[c.max-1].Timestamp
		}
		foundA, err := b.eng.QueryAccounts(b.Context(), f)
		var asTransfers []ledger.Transfer
		for _, a := range foundA {
			asTransfers = append(asTransfers, ledger.Transfer{ID: a.ID})
		}
		if names := b.names(asTransfers); err != nil || !slices.Equal(names, name("", c.want)) {
			b.Errorf("accounts, %s: %v, %v; want %v", c.name, names, err, c.want)
		}
		f = c.filter
		if c.min > 0 {
			f.TimestampMin = transfers[c.min-1].Timestamp
		}
		if c.max > 0 {
			f.TimestampMax = transfers[c.max-1].Timestamp
		}
		foundT, err := b.eng.QueryTransfers(b.Context(), f)
		if names := b.names(foundT); err != nil || !slices.Equal(names, name("t", c.want)) {
			b.Errorf("transfers, %s: %v, %v; want %v", c.name, names, err, c.want)
		}
	}
	// A filter without any field but a window.
	foundA, err := b.eng.QueryAccounts(b.Context(), ledger.QueryFilter{TimestampMin: accounts[0].Timestamp, TimestampMax: accounts[0].Timestamp, Limit: 9})
	if err != nil || len(foundA) != 1 || foundA[0] != b.account("1") {
		b.Errorf("the account of one moment: %v, %v", foundA, err)
	}
	foundT, err := b.eng.QueryTransfers(b.Context(), ledger.QueryFilter{TimestampMin: transfers[1].Timestamp, TimestampMax: transfers[1].Timestamp, Limit: 9})
	if names := b.names(foundT); err != nil || !slices.Equal(names, []string{"t2"}) {
		b.Errorf("the transfer of one moment: %v, %v", names, err)
	}
}

func invalidFilters(b *books) {
	b.accounts(ledger.AccountHistory, "A", "B")
	b.send(move{id: "1", debit: "A", credit: "B", amount: 1})
	for _, c := range []struct {
		name string
		edit func(f *ledger.AccountFilter)
		want int
	}{
		{"valid", func(*ledger.AccountFilter) {}, 1},
		{"no limit", func(f *ledger.AccountFilter) { f.Limit = 0 }, 0},
		{"no account", func(f *ledger.AccountFilter) { f.AccountID = ledger.ID{} }, 0},
		{"account 2^128-1", func(f *ledger.AccountFilter) { f.AccountID = ledger.AmountMax }, 0},
		{"no side", func(f *ledger.AccountFilter) { f.Flags = ledger.FilterReversed }, 0},
		{"unknown flag", func(f *ledger.AccountFilter) { f.Flags |= 1 << 20 }, 0},
		{"window upside down", func(f *ledger.AccountFilter) { f.TimestampMin, f.TimestampMax = 2, 1 }, 0},
		{"from 2^63", func(f *ledger.AccountFilter) { f.TimestampMin = ledger.TimestampMax + 1 }, 0},
		{"to 2^64-1", func(f *ledger.AccountFilter) { f.TimestampMax = ^uint64(0) }, 0},
		{"to the last timestamp", func(f *ledger.AccountFilter) { f.TimestampMax = ledger.TimestampMax }, 1},
	} {
		f := ledger.AccountFilter{AccountID: b.id("A"), Limit: 9, Flags: ledger.FilterDebits}
		c.edit(&f)
		transfers, err := b.eng.GetAccountTransfers(b.Context(), f)
		if err != nil || len(transfers) != c.want {
			b.Errorf("transfers, %s: %d, %v", c.name, len(transfers), err)
		}
		rows, err := b.eng.GetAccountBalances(b.Context(), f)
		if err != nil || len(rows) != c.want {
			b.Errorf("balances, %s: %d, %v", c.name, len(rows), err)
		}
	}
	for _, c := range []struct {
		name              string
		edit              func(f *ledger.QueryFilter)
		accounts, entries int
	}{
		{"valid", func(*ledger.QueryFilter) {}, 2, 1},
		{"no limit", func(f *ledger.QueryFilter) { f.Limit = 0 }, 0, 0},
		{"unknown flag", func(f *ledger.QueryFilter) { f.Flags = 2 }, 0, 0},
		{"window upside down", func(f *ledger.QueryFilter) { f.TimestampMin, f.TimestampMax = 2, 1 }, 0, 0},
		{"from 2^63", func(f *ledger.QueryFilter) { f.TimestampMin = ledger.TimestampMax + 1 }, 0, 0},
		{"to 2^64-1", func(f *ledger.QueryFilter) { f.TimestampMax = ^uint64(0) }, 0, 0},
	} {
		f := ledger.QueryFilter{Ledger: b.ledger, Limit: 9}
		c.edit(&f)
		accounts, err := b.eng.QueryAccounts(b.Context(), f)
		if err != nil || len(accounts) != c.accounts {
			b.Errorf("query accounts, %s: %d, %v", c.name, len(accounts), err)
		}
		transfers, err := b.eng.QueryTransfers(b.Context(), f)
		if err != nil || len(transfers) != c.entries {
			b.Errorf("query transfers, %s: %d, %v", c.name, len(transfers), err)
		}
	}
}
