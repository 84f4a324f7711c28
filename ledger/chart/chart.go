// Package chart is the chart of accounts, the list of reasons for which money
// moves, and the currencies. It is pure: tables, and lookups in them.
//
// Numbers are written into the ledger and can never be given another meaning:
// a row may be added, never renumbered. What an account or a transfer is
// called can change freely.
//
// A ledger (ledger.Account.Ledger) is one currency of one marketplace, so no
// transfer can cross tenants or currencies; see Ledger.
package chart

import (
	"fmt"
	"slices"

	"escrowd/ledger"
)

// AccountCode is the chart's number of a kind of account
// (ledger.Account.Code). Thousands tell the family: 1 what we have or are
// owed, 2 what we owe, 4 income, 5 expense.
type AccountCode uint16

// The chart of accounts.
const (
	BankSafeguarded      AccountCode = 1010
	BankOperating        AccountCode = 1020
	PayinClearing        AccountCode = 1100
	ChargebackReceivable AccountCode = 1300
	SellerReceivable     AccountCode = 1310
	SellerCollection     AccountCode = 1320
	FXPosition           AccountCode = 1400
	Buyer                AccountCode = 2000
	Escrow               AccountCode = 2100
	DisputeSuspense      AccountCode = 2110
	SellerPending        AccountCode = 2200
	SellerAvailable      AccountCode = 2210
	SellerReserve        AccountCode = 2220
	RefundPayable        AccountCode = 2300
	PayoutClearing       AccountCode = 2400
	TaxPayable           AccountCode = 2500
	Unidentified         AccountCode = 2900
	FeeRevenue           AccountCode = 4100
	FXSpread             AccountCode = 4110
	Rounding             AccountCode = 4900
	PSPCost              AccountCode = 5100
	ChargebackLoss       AccountCode = 5200
	WriteOff             AccountCode = 5900
)

// Side is the side of an account on which its balance normally stands.
type Side uint8

// The sides. Either is for an account whose balance may stand on both, as an
// FX position does; it is reported as debits less credits.
const (
	Either Side = iota
	Debit
	Credit
)

func (s Side) String() string {
	switch s {
	case Debit:
		return "debit"
	case Credit:
		return "credit"
	}
	return "either"
}

// Scope says how many accounts of a kind a ledger has: one, or one for each
// payment method, buyer, order or seller.
type Scope uint8

// The scopes.
const (
	PerMarketplace Scope = iota
	PerMethod
	PerBuyer
	PerOrder
	PerSeller
)

func (s Scope) String() string {
	switch s {
	case PerMethod:
		return "payment method"
	case PerBuyer:
		return "buyer"
	case PerOrder:
		return "order"
	case PerSeller:
		return "seller"
	}
	return "marketplace"
}

// Account is one row of the chart.
type Account struct {
	Code   AccountCode
	Slug   string // for files, metrics and URLs: stable, [a-z_]
	Name   string // for people
	Normal Side
	Scope  Scope
	// Flags are what an account of this kind is created with: the limit that
	// the ledger itself enforces, and whether it keeps a row per balance.
	Flags ledger.AccountFlags
}

// What the ledger refuses even if the code above it is wrong. Accounts that
// mirror the outside world (banks, providers) have no limit: their statements
// may arrive in any order, and a refusal would not undo what has happened.
const (
	noLimit      = ledger.AccountFlags(0)
	notOverdrawn = ledger.AccountDebitsMustNotExceedCredits // pays out only what came in
	notOverpaid  = ledger.AccountCreditsMustNotExceedDebits // a debt is not paid back twice
)

var accounts = []Account{
	{BankSafeguarded, "bank_safeguarded", "safeguarded bank", Debit, PerMarketplace, noLimit},
	{BankOperating, "bank_operating", "operating bank", Debit, PerMarketplace, noLimit},
	{PayinClearing, "payin_clearing", "pay-in clearing", Debit, PerMethod, noLimit},
	{ChargebackReceivable, "chargeback_receivable", "chargeback receivable", Debit, PerMarketplace, noLimit},
	{SellerReceivable, "seller_receivable", "seller receivable", Debit, PerSeller, notOverpaid},
	// What sellers owe, within a chain in which the ledger decides which of their
	// accounts pays: between chains it is empty.
	{SellerCollection, "seller_collection", "seller collection", Debit, PerMarketplace, notOverpaid},
	{FXPosition, "fx_position", "FX position", Either, PerMarketplace, noLimit},
	{Buyer, "buyer", "buyer", Credit, PerBuyer, notOverdrawn},
	// History, because "what was held when" is the question an escrow is asked.
	{Escrow, "escrow", "escrow", Credit, PerOrder, notOverdrawn | ledger.AccountHistory},
	{DisputeSuspense, "dispute_suspense", "dispute suspense", Credit, PerMarketplace, noLimit},
	{SellerPending, "seller_pending", "seller pending", Credit, PerSeller, notOverdrawn},
	{SellerAvailable, "seller_available", "seller available", Credit, PerSeller, notOverdrawn},
	{SellerReserve, "seller_reserve", "seller reserve", Credit, PerSeller, notOverdrawn},
	{RefundPayable, "refund_payable", "refund payable", Credit, PerMarketplace, notOverdrawn},
	{PayoutClearing, "payout_clearing", "payout clearing", Credit, PerMarketplace, noLimit},
	{TaxPayable, "tax_payable", "tax payable", Credit, PerMarketplace, noLimit},
	{Unidentified, "unidentified", "unidentified receipts", Credit, PerMarketplace, noLimit},
	{FeeRevenue, "fee_revenue", "fee revenue", Credit, PerMarketplace, noLimit},
	{FXSpread, "fx_spread", "FX spread", Credit, PerMarketplace, noLimit},
	{Rounding, "rounding", "rounding", Credit, PerMarketplace, noLimit},
	{PSPCost, "psp_cost", "payment provider cost", Debit, PerMarketplace, noLimit},
	{ChargebackLoss, "chargeback_loss", "chargeback loss", Debit, PerMarketplace, noLimit},
	{WriteOff, "write_off", "write-off", Debit, PerMarketplace, noLimit},
}

var accountByCode = func() map[AccountCode]Account {
	m := make(map[AccountCode]Account, len(accounts))
	for _, a := range accounts {
		m[a.Code] = a
	}
	return m
}()

// Accounts is the whole chart, in order of number. The slice is the caller's.
func Accounts() []Account { return slices.Clone(accounts) }

// Lookup is the chart's row for c, and whether there is one.
func (c AccountCode) Lookup() (Account, bool) {
	a, ok := accountByCode[c]
	return a, ok
}

// Name is what people call the account: "seller pending". A number that is
// not in the chart is named by itself.
func (c AccountCode) Name() string {
	if a, ok := accountByCode[c]; ok {
		return a.Name
	}
	return fmt.Sprintf("account code %d", uint16(c))
}

// String is the number and the name: "2200 seller pending".
func (c AccountCode) String() string {
	if a, ok := accountByCode[c]; ok {
		return fmt.Sprintf("%d %s", uint16(c), a.Name)
	}
	return c.Name()
}

// Slug is the stable short name for files, metrics and URLs:
// "seller_pending"; "" for a number that is not in the chart.
func (c AccountCode) Slug() string { return accountByCode[c].Slug }

// NormalSide is the side on which the balance normally stands.
func (c AccountCode) NormalSide() Side { return accountByCode[c].Normal }

// Flags are the flags an account of this kind is created with.
func (c AccountCode) Flags() ledger.AccountFlags { return accountByCode[c].Flags }

// Scope says for whom there is one such account in each ledger.
func (c AccountCode) Scope() Scope { return accountByCode[c].Scope }

// PerParty reports whether each buyer or each seller has such an account.
func (c AccountCode) PerParty() bool {
	s := c.Scope()
	return s == PerBuyer || s == PerSeller
}
