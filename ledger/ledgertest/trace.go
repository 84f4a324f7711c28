package ledgertest

import (
	"fmt"

	"escrowd/ledger"
)

// line is one line of a trace: a request and its answer.
type line struct {
	Op             string      `json:"op"`
	Sent           uint64      `json:"sent"`      // ns UTC, when the request went out
	Timestamp      uint64      `json:"timestamp"` // ns UTC, the batch's own; 0 if no result told it
	Accounts       []account   `json:"accounts"`
	Transfers      []transfer  `json:"transfers"`
	IDs            []ledger.ID `json:"ids"`
	Filter         *filter     `json:"filter"`
	Results        []result    `json:"results"`
	FoundAccounts  []account   `json:"found_accounts"`
	FoundTransfers []transfer  `json:"found_transfers"`
	FoundBalances  []balance   `json:"found_balances"`
}

type account struct {
	ID             ledger.ID           `json:"id"`
	DebitsPending  ledger.Amount       `json:"debits_pending"`
	DebitsPosted   ledger.Amount       `json:"debits_posted"`
	CreditsPending ledger.Amount       `json:"credits_pending"`
	CreditsPosted  ledger.Amount       `json:"credits_posted"`
	UserData128    ledger.Uint128      `json:"user_data_128"`
	UserData64     uint64              `json:"user_data_64"`
	UserData32     uint32              `json:"user_data_32"`
	Reserved       uint32              `json:"reserved"`
	Ledger         uint32              `json:"ledger"`
	Code           uint16              `json:"code"`
	Flags          ledger.AccountFlags `json:"flags"`
	Timestamp      uint64              `json:"timestamp"`
}

// ledger converts; the two types differ in their tags alone.
func (a account) ledger() ledger.Account { return ledger.Account(a) }

type transfer struct {
	ID              ledger.ID            `json:"id"`
	DebitAccountID  ledger.ID            `json:"debit_account_id"`
	CreditAccountID ledger.ID            `json:"credit_account_id"`
	Amount          ledger.Amount        `json:"amount"`
	PendingID       ledger.ID            `json:"pending_id"`
	UserData128     ledger.Uint128       `json:"user_data_128"`
	UserData64      uint64               `json:"user_data_64"`
	UserData32      uint32               `json:"user_data_32"`
	Timeout         uint32               `json:"timeout"`
	Ledger          uint32               `json:"ledger"`
	Code            uint16               `json:"code"`
	Flags           ledger.TransferFlags `json:"flags"`
	Timestamp       uint64               `json:"timestamp"`
}

func (t transfer) ledger() ledger.Transfer { return ledger.Transfer(t) }

type balance struct {
	DebitsPending  ledger.Amount `json:"debits_pending"`
	DebitsPosted   ledger.Amount `json:"debits_posted"`
	CreditsPending ledger.Amount `json:"credits_pending"`
	CreditsPosted  ledger.Amount `json:"credits_posted"`
	Timestamp      uint64        `json:"timestamp"`
}

func (b balance) ledger() ledger.AccountBalance { return ledger.AccountBalance(b) }

// result is the answer to one event. Name repeats Status in words, for
// readers; it is not compared.
type result struct {
	Status    uint32 `json:"status"`
	Name      string `json:"name"`
	Timestamp uint64 `json:"timestamp"`
}

func (r result) account() ledger.AccountResult {
	return ledger.AccountResult{Status: ledger.AccountStatus(r.Status), Timestamp: r.Timestamp}
}

func (r result) transfer() ledger.TransferResult {
	return ledger.TransferResult{Status: ledger.TransferStatus(r.Status), Timestamp: r.Timestamp}
}

// filter is either of the two filters; a query_ filter has no account_id, a
// get_account_ filter no ledger.
type filter struct {
	AccountID    ledger.ID          `json:"account_id"`
	UserData128  ledger.Uint128     `json:"user_data_128"`
	UserData64   uint64             `json:"user_data_64"`
	UserData32   uint32             `json:"user_data_32"`
	Ledger       uint32             `json:"ledger"`
	Code         uint16             `json:"code"`
	TimestampMin uint64             `json:"timestamp_min"`
	TimestampMax uint64             `json:"timestamp_max"`
	Limit        uint32             `json:"limit"`
	Flags        ledger.FilterFlags `json:"flags"`
}

func (f filter) account() ledger.AccountFilter {
	return ledger.AccountFilter{
		AccountID:    f.AccountID,
		UserData128:  f.UserData128,
		UserData64:   f.UserData64,
		UserData32:   f.UserData32,
		Code:         f.Code,
		TimestampMin: f.TimestampMin,
		TimestampMax: f.TimestampMax,
		Limit:        f.Limit,
		Flags:        f.Flags,
	}
}

func (f filter) query() ledger.QueryFilter {
	return ledger.QueryFilter{
		UserData128:  f.UserData128,
		UserData64:   f.UserData64,
		UserData32:   f.UserData32,
		Ledger:       f.Ledger,
		Code:         f.Code,
		TimestampMin: f.TimestampMin,
		TimestampMax: f.TimestampMax,
		Limit:        f.Limit,
		Flags:        f.Flags,
	}
}

// each converts a slice.
func each[A, B any](in []A, convert func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = convert(v)
	}
	return out
}

func showAccount(a ledger.Account) string {
	return fmt.Sprintf("account %v (debits %v + %v pending, credits %v + %v pending, user_data %v %d %d, ledger %d, code %d, flags %#x) at %d",
		a.ID, a.DebitsPosted, a.DebitsPending, a.CreditsPosted, a.CreditsPending,
		a.UserData128, a.UserData64, a.UserData32, a.Ledger, a.Code, uint16(a.Flags), a.Timestamp)
}

func showTransfer(t ledger.Transfer) string {
	return fmt.Sprintf("transfer %v (%v -> %v, amount %v, pending_id %v, user_data %v %d %d, timeout %d, ledger %d, code %d, flags %#x) at %d",
		t.ID, t.DebitAccountID, t.CreditAccountID, t.Amount, t.PendingID,
		t.UserData128, t.UserData64, t.UserData32, t.Timeout, t.Ledger, t.Code, uint16(t.Flags), t.Timestamp)
}

func showBalance(b ledger.AccountBalance) string {
	return fmt.Sprintf("balance (debits %v + %v pending, credits %v + %v pending) at %d",
		b.DebitsPosted, b.DebitsPending, b.CreditsPosted, b.CreditsPending, b.Timestamp)
}
