package api

import (
	"encoding/json"
	"time"
)

// EntryAccount names an account of the chart, for an adjustment.
type EntryAccount struct {
	Code  int    `json:"code" minimum:"1000" maximum:"5999" doc:"The chart's number." example:"5100"`
	Owner string `json:"owner,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Whose account: the seller, the buyer or the payment method; left out for an account that the ledger has once." example:"card"`
}

// ConvertTo is what a conversion comes to: exactly what the rate gives, rounded
// once, half a minor unit to the even one.
type ConvertTo struct {
	Currency string `json:"currency" minLength:"3" maxLength:"3" doc:"An ISO 4217 code in capital letters, not withdrawn." example:"JPY"`
	Amount   int64  `json:"amount" minimum:"1" maximum:"9007199254740991" doc:"Minor units of that currency; refused if the rate gives another, and the error says which." example:"14775"`
	Rate     string `json:"rate" maxLength:"25" pattern:"^[0-9]+(\\.[0-9]+)?$" doc:"Units of that currency for one unit of the entry's own, an exact decimal with up to 12 decimals." example:"149.25"`
	Spread   int64  `json:"spread,omitempty" minimum:"0" maximum:"9007199254740991" doc:"Of a buyer's conversion: how much of the entry's amount the marketplace keeps, in minor units of the entry's own currency." example:"100"`
}

// NewEntry is money that moves for no order.
type NewEntry struct {
	Kind      string          `json:"kind" enum:"payout,receipt,repayment,recovery,write_off,adjustment,psp_settlement,fee_sweep,bank_details,conversion,ruling,policy" doc:"payout: available money to the seller's bank. receipt: money that came in, of a buyer or of nobody known. repayment: a buyer's balance back to the payer. recovery: a seller's debt, paid from what is available. psp_settlement: a provider paid amount and kept fee. fee_sweep: earned fees leave the safeguarded bank. conversion: a buyer's balance, or without a party what the marketplace sells at the bank, into another currency. write_off, adjustment, bank_details, conversion, ruling and policy are proposed by one person and approved by another: a ruling then happens to the order that party names, and a policy becomes its next version." example:"payout"`
	Currency  string          `json:"currency,omitempty" minLength:"3" maxLength:"3" doc:"ISO 4217 code in capital letters; needed by all but bank_details, ruling and policy." example:"USD"`
	Amount    int64           `json:"amount,omitempty" minimum:"1" maximum:"9007199254740991" doc:"Minor units; needed by all but bank_details, ruling and policy." example:"95000"`
	Fee       int64           `json:"fee,omitempty" minimum:"0" maximum:"9007199254740991" doc:"psp_settlement: what the provider kept, in minor units." example:"310"`
	Reference string          `json:"reference,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"The outside world's own name for it, such as the line of a statement; unique within marketplace and kind, so that nothing is booked twice. Needed by receipt, psp_settlement and fee_sweep." example:"2026-03-01/17"`
	Party     string          `json:"party,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"The seller, or the buyer of a receipt, a repayment or a conversion; a conversion without one is the marketplace's own. Of a ruling the order's id. A receipt without a party is nobody's known until it is assigned." example:"seller-3"`
	Method    string          `json:"method,omitempty" pattern:"^[a-z][a-z0-9_-]{0,31}$" doc:"The payment method that it came or goes by: receipt, repayment, psp_settlement." example:"bank_transfer"`
	Orders    []string        `json:"orders,omitempty" nullable:"false" format:"uuid" maxItems:"100" doc:"Of a receipt: the orders that it was sent for, of one buyer, who is its party then. They are paid from the buyer's balance if that is enough for all of them and none is too late; otherwise the money is the buyer's, and unpaid says why."`
	Debit     EntryAccount    `json:"debit,omitzero" doc:"Of an adjustment."`
	Credit    EntryAccount    `json:"credit,omitzero" doc:"Of an adjustment."`
	To        ConvertTo       `json:"to,omitzero" doc:"Of a conversion: what amount, less the spread, comes to at the rate."`
	Details   json.RawMessage `json:"details,omitempty" doc:"Of bank_details: a JSON object of at most 4096 bytes, such as holder, iban and bic; a payout file has its fields. Of a ruling: to_buyer and to_seller, minor units, which sum to what the order holds, and return where the goods have to come back first, or replacement where others have to come. Of a policy: the document that POST /v1/policies takes." example:"{\"holder\":\"Bob Ltd\",\"iban\":\"DE02120300000000202051\"}"`
	Reason    string          `json:"reason,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Needed by write_off, adjustment and ruling." example:"rounding at the provider"`
	Person    string          `json:"person,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Who does it; needed where somebody else has to approve it." example:"eve@example.com"`
	At        time.Time       `json:"at,omitzero" doc:"When it took effect. Left out: the marketplace's now." example:"2026-03-01T09:30:00Z"`
}

// EntryAct is an event of an entry.
type EntryAct struct {
	Person string    `json:"person,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Who does it; needed to approve and to reject." example:"max@example.com"`
	Digest string    `json:"digest,omitempty" maxLength:"64" pattern:"^[0-9a-f]*$" doc:"approve: the digest of the entry as the person has seen it." example:"9b74c9897bac770ffc029102a200c5de9b74c9897bac770ffc029102a200c5de"`
	Party  string    `json:"party,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"assign: the buyer whose money it is." example:"buyer-7"`
	Note   string    `json:"note,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"What else is to be remembered, such as the bank's reason." example:"account closed"`
	At     time.Time `json:"at,omitzero" doc:"When it took effect. Left out: the marketplace's now." example:"2026-03-02T09:30:00Z"`
}

// Entry is money that moves for no order, as it stands.
type Entry struct {
	ID        string          `json:"id" format:"uuid"`
	Kind      string          `json:"kind" example:"payout"`
	State     string          `json:"state" enum:"proposed,sent,accepted,paid,due,unidentified,done,failed,returned,rejected,sent_back,expired,refused" doc:"Where it stands. refused: the ledger refused it and nothing moved." example:"sent"`
	Currency  string          `json:"currency,omitempty" example:"USD"`
	Amount    int64           `json:"amount,omitempty" doc:"Minor units." example:"95000"`
	Fee       int64           `json:"fee,omitempty" doc:"Minor units."`
	Reference string          `json:"reference,omitempty"`
	Party     string          `json:"party,omitempty" doc:"The seller or the buyer whose money it is." example:"seller-3"`
	Method    string          `json:"method,omitempty"`
	Debit     EntryAccount    `json:"debit,omitzero"`
	Credit    EntryAccount    `json:"credit,omitzero"`
	To        ConvertTo       `json:"to,omitzero" doc:"What a conversion comes to."`
	Details   json.RawMessage `json:"details,omitempty"`
	Reason    string          `json:"reason,omitempty"`
	Maker     string          `json:"maker,omitempty" doc:"Who proposed it."`
	MadeAt    time.Time       `json:"made_at"`
	At        time.Time       `json:"at" doc:"When its last event took effect."`
	DueAt     time.Time       `json:"due_at,omitzero" doc:"A proposal expires then; the others should have been heard of."`
	Digest    string          `json:"digest" doc:"SHA-256 of its id and terms: what an approval names."`
	Events    int32           `json:"events" doc:"How many events took place." example:"1"`
}

// EntryMade is an entry just made; of a receipt for orders, what became of them.
type EntryMade struct {
	Entry
	Paid   []Order  `json:"paid,omitempty" doc:"The orders that were paid."`
	Unpaid *Problem `json:"unpaid,omitempty" doc:"Why the orders were not paid."`
}

// EntryDetail is an entry and all that happened to it.
type EntryDetail struct {
	Entry
	Timeline []EntryEvent `json:"timeline" nullable:"false"`
	Allowed  []Allowed    `json:"allowed" nullable:"false" doc:"What can happen now, and by whom."`
}

// EntryEvent is one thing that happened to an entry.
type EntryEvent struct {
	Intent          string    `json:"intent" format:"uuid"`
	Seq             int32     `json:"seq" example:"1"`
	Event           string    `json:"event" example:"send"`
	By              string    `json:"by" example:"operator"`
	Person          string    `json:"person,omitempty"`
	Note            string    `json:"note,omitempty"`
	Digest          string    `json:"digest,omitempty" doc:"What was approved."`
	Result          string    `json:"result,omitempty" doc:"What the approval brought about beside it: a policy's version, or where a ruling left its order." example:"policy shop version 3"`
	State           string    `json:"state" doc:"The entry's state after it." example:"sent"`
	At              time.Time `json:"at" doc:"When it took effect."`
	RecordedAt      time.Time `json:"recorded_at" doc:"When it was decided."`
	LedgerTimestamp string    `json:"ledger_timestamp,omitempty" doc:"The ledger's, in nanoseconds; left out where no money moved."`
}

// Entries is a page of entries.
type Entries struct {
	Entries []Entry `json:"entries" nullable:"false"`
	Next    string  `json:"next,omitempty" doc:"The cursor of the next page; left out on the last."`
}

// SetPayee says how a seller is paid out.
type SetPayee struct {
	Seller   string `json:"seller" minLength:"1" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" example:"seller-3"`
	Schedule string `json:"schedule" enum:"manual,daily,weekly,monthly" doc:"When all that is available is paid out, by the marketplace's clock, UTC: every day, on Mondays, on the first of the month, or by hand alone." example:"weekly"`
	Minimum  int64  `json:"minimum,omitempty" minimum:"0" maximum:"9007199254740991" doc:"Less than this is not paid out by the schedule; minor units of whichever currency." example:"1000"`
	Blocked  string `json:"blocked,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Why the seller is not paid out at all; left out if it is." example:"under investigation"`
}

// Payee is how a seller is paid out.
type Payee struct {
	SetPayee
	BankDetails string `json:"bank_details,omitempty" format:"uuid" doc:"The entry with the bank details that were approved; left out where there are none: then nothing can be paid out."`
}

// SentPayouts are payouts that are on their way: what a file for the bank is made of.
type SentPayouts struct {
	Payouts []SentPayout `json:"payouts" nullable:"false"`
	Next    string       `json:"next,omitempty" doc:"The cursor of the next page; left out on the last."`
}

// SentPayout is a payout that the bank has not answered yet.
type SentPayout struct {
	Payout   string          `json:"payout" format:"uuid" doc:"The entry's id, which the bank has to give back: accept or fail it."`
	Currency string          `json:"currency" example:"USD"`
	Amount   int64           `json:"amount" doc:"Minor units." example:"95000"`
	Seller   string          `json:"seller" example:"seller-3"`
	SentAt   time.Time       `json:"sent_at"`
	Details  json.RawMessage `json:"details" doc:"The bank details that were approved when it was sent." example:"{\"iban\":\"DE02120300000000202051\"}"`
}

// Balances are what a buyer or a seller has.
type Balances struct {
	Balances []Balance `json:"balances" nullable:"false"`
}

// Balance is an account of a buyer or a seller, as the ledger has it now.
type Balance struct {
	Currency string `json:"currency" example:"USD"`
	Code     int    `json:"code" doc:"The chart's number." example:"2210"`
	Account  string `json:"account" doc:"buyer; seller_pending: released and not yet matured; seller_available: can be paid out; seller_reserve; seller_receivable: what the seller owes." example:"seller_available"`
	Amount   string `json:"amount" pattern:"^[0-9]+$" doc:"Minor units, as a string: the ledger's numbers have 128 bits." example:"95000"`
	Pending  string `json:"pending" pattern:"^[0-9]+$" doc:"Of amount, what is on its way out: a payout that the bank has not taken yet." example:"0"`
}
