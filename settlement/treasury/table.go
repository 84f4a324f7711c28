package treasury

import (
	"slices"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
)

// Row is one line of the table: in From, Who may cause Event of an entry of
// this Kind, which moves Legs and leads to To.
type Row struct {
	Kind   Kind
	From   State
	Event  Event
	Whose  Whose // of which of the kind's entries it is a row
	Who    []order.Role
	Legs   []Leg
	To     State
	Checks bool // a person has to be named; who approves is not who proposed
}

// Whose tells entries of a kind apart by their party.
type Whose uint8

// A row is one of Anybodys entries, of those that have a party, or of those
// that have none.
const (
	Anybodys Whose = iota
	Somebodys
	Nobodys
)

func (w Whose) fits(party string) bool { return w == Anybodys || (w == Somebodys) == (party != "") }

// Leg is one movement: the chart says between which accounts its code moves
// money, Of how much and in which ledger.
type Leg struct {
	Code chart.TransferCode
	How  ledger.TransferFlags // 0 at once, or pending, posted, voided
	Of   Part
}

// Part is one of the amounts of an entry's terms, which stands in one of its
// ledgers.
type Part uint8

// The parts.
const (
	Whole  Part = iota // the amount
	Fee                // what a provider kept
	Spread             // what the marketplace keeps of a conversion
	Other              // what a conversion comes to, in the other ledger
)

// of is the part's ledger and amount.
func (p Part) of(t *Terms) (books uint32, amount int64) {
	switch p {
	case Fee:
		return t.Ledger, t.Fee
	case Spread:
		return t.Ledger, t.To.Spread
	case Other:
		return t.To.Ledger, t.To.Amount
	}
	return t.Ledger, t.Amount
}

func leg(c chart.TransferCode) []Leg { return []Leg{{Code: c}} }

const (
	pending = ledger.TransferPending
	post    = ledger.TransferPostPending
	void    = ledger.TransferVoidPending
)

var (
	operator = []order.Role{order.Operator}
	anyone   = []order.Role{order.Operator, order.System}
	system   = []order.Role{order.System}
)

// Rules is the table: the rest of the money table, beside that of
// settlement/order. What is not in it is refused.
var Rules = slices.Concat([]Row{
	{Kind: Payout, From: None, Event: Send, Who: anyone, Legs: []Leg{{Code: chart.Payout, How: pending}}, To: Sent},
	{Kind: Payout, From: Sent, Event: Accept, Who: operator, Legs: []Leg{{Code: chart.Payout, How: post}}, To: Accepted},
	{Kind: Payout, From: Sent, Event: Fail, Who: operator, Legs: []Leg{{Code: chart.Payout, How: void}}, To: Failed},
	{Kind: Payout, From: Accepted, Event: Settle, Who: operator, Legs: leg(chart.PayoutSettled), To: Paid},
	{Kind: Payout, From: Accepted, Event: Return, Who: operator, Legs: leg(chart.PayoutUndone), To: Returned},
	{Kind: Payout, From: Paid, Event: Return, Who: operator, Legs: leg(chart.PayoutReturned), To: Returned},

	{Kind: Receipt, From: None, Event: Receive, Whose: Somebodys, Who: operator, Legs: leg(chart.PaymentReceived), To: Done},
	{Kind: Receipt, From: None, Event: Receive, Whose: Nobodys, Who: operator, Legs: leg(chart.ReceivedUnknown), To: Unidentified},
	{Kind: Receipt, From: Unidentified, Event: Assign, Who: operator, Legs: leg(chart.ReceiptAssigned), To: Done},
	{Kind: Receipt, From: Unidentified, Event: SendBack, Who: operator, Legs: leg(chart.ReceiptSentBack), To: SentBack},

	{Kind: Repayment, From: None, Event: Start, Who: operator, Legs: leg(chart.RefundDue), To: Due},
	{Kind: Repayment, From: Due, Event: Send, Who: operator, Legs: leg(chart.RefundSent), To: Sent},
	{Kind: Repayment, From: Due, Event: Reject, Who: operator, Legs: leg(chart.RefundUndone), To: Rejected},
	{Kind: Repayment, From: Sent, Event: Settle, Who: operator, To: Done},
	{Kind: Repayment, From: Sent, Event: Reject, Who: operator, Legs: []Leg{{Code: chart.RefundRejected}, {Code: chart.RefundUndone}}, To: Rejected},

	{Kind: Recovery, From: None, Event: Recover, Who: anyone, Legs: leg(chart.DebtRecovered), To: Done},

	{Kind: PSPSettlement, From: None, Event: Settle, Who: operator, Legs: []Leg{{Code: chart.PSPSettled}, {Code: chart.PSPFee, Of: Fee}}, To: Done},
	{Kind: FeeSweep, From: None, Event: Sweep, Who: operator, Legs: leg(chart.FeeSwept), To: Done},

	// A buyer's balance into another currency; or what the marketplace has of a
	// currency, sold at the bank for another.
	{Kind: Conversion, From: None, Event: Propose, Who: operator, To: Proposed},
	{Kind: Conversion, From: Proposed, Event: Approve, Whose: Somebodys, Who: operator, To: Done, Checks: true,
		Legs: []Leg{{Code: chart.FXFromBuyer}, {Code: chart.FXSpreadKept, Of: Spread}, {Code: chart.FXToBuyer, Of: Other}}},
	{Kind: Conversion, From: Proposed, Event: Approve, Whose: Nobodys, Who: operator, To: Done, Checks: true,
		Legs: []Leg{{Code: chart.FXSold}, {Code: chart.FXBought, Of: Other}}},
	{Kind: Conversion, From: Proposed, Event: Reject, Who: operator, To: Rejected, Checks: true},
	{Kind: Conversion, From: Proposed, Event: Expire, Who: system, To: Expired},
}, fourEyes(WriteOff, leg(chart.WrittenOff)), fourEyes(Adjustment, leg(chart.Adjustment)), fourEyes(BankDetails, nil), fourEyes(Ruling, nil), fourEyes(Policy, nil))

// fourEyes are the rows of a kind that one person proposes and another
// approves.
func fourEyes(k Kind, legs []Leg) []Row {
	return []Row{
		{Kind: k, From: None, Event: Propose, Who: operator, To: Proposed},
		{Kind: k, From: Proposed, Event: Approve, Who: operator, Legs: legs, To: Done, Checks: true},
		{Kind: k, From: Proposed, Event: Reject, Who: operator, To: Rejected, Checks: true},
		{Kind: k, From: Proposed, Event: Expire, Who: system, To: Expired},
	}
}

// ProposalWithin is how long a proposal can be approved.
const ProposalWithin = 3 * 24 * time.Hour

// answeredWithin is how long an entry may stay in a state: a proposal expires
// then; of the others, it should have been heard from the bank or the provider,
// or a person should have found out whose money it is.
var answeredWithin = map[State]time.Duration{
	Proposed:     ProposalWithin,
	Sent:         5 * 24 * time.Hour,
	Due:          3 * 24 * time.Hour,
	Accepted:     5 * 24 * time.Hour,
	Unidentified: 30 * 24 * time.Hour,
}

// kinds are what the terms of each kind need. brings are the parts that bring
// money into a ledger that was not in it before, and so are not made in a currency
// that is withdrawn. All else ends what was there before, and goes on.
var kinds = map[Kind]struct {
	first                                                    Event
	amount, party, method, reference, reason, maker, details bool
	brings                                                   []Part
}{
	Payout:        {first: Send, amount: true, party: true},
	Receipt:       {first: Receive, amount: true, method: true, reference: true, brings: []Part{Whole}},
	Repayment:     {first: Start, amount: true, party: true, method: true},
	Recovery:      {first: Recover, amount: true, party: true},
	WriteOff:      {first: Propose, amount: true, party: true, reason: true, maker: true},
	Adjustment:    {first: Propose, amount: true, reason: true, maker: true},
	PSPSettlement: {first: Settle, amount: true, method: true, reference: true},
	FeeSweep:      {first: Sweep, amount: true, reference: true},
	BankDetails:   {first: Propose, party: true, maker: true, details: true},
	Ruling:        {first: Propose, amount: true, party: true, reason: true, maker: true, details: true},
	Policy:        {first: Propose, maker: true, details: true},
	Conversion:    {first: Propose, amount: true, maker: true, brings: []Part{Other}},
}

// InLedger reports whether entries of the kind are about an amount of one of
// the ledgers.
func (k Kind) InLedger() bool { return kinds[k].amount }

// Lookup is the row for an event of an entry as it stands, and whether there is
// one.
func Lookup(e *Entry, event Event) (Row, bool) {
	for _, r := range Rules {
		if r.Kind == e.Kind && r.From == e.State && r.Event == event && r.Whose.fits(e.Party) {
			return r, true
		}
	}
	return Row{}, false
}

// AllowedIn lists what can happen to an entry as it stands.
func AllowedIn(e *Entry) []order.Allowed {
	list := []order.Allowed{}
	for _, r := range Rules {
		if r.Kind == e.Kind && r.From == e.State && r.Whose.fits(e.Party) {
			list = append(list, order.Allowed{Event: order.Event(r.Event), By: r.Who})
		}
	}
	return list
}

// Open reports whether an entry waits for something.
func (e *Entry) Open() bool { return len(AllowedIn(e)) > 0 && e.State != None && e.State != Paid }

// places are the accounts of a leg of the entry.
func (l Leg) places(e *Entry) (debit, credit Place) {
	books, _ := l.Of.of(&e.Terms)
	if l.Code == chart.Adjustment {
		return Place{books, e.Debit}, Place{books, e.Credit}
	}
	row, _ := l.Code.Lookup()
	return Place{books, e.account(row.Debit)}, Place{books, e.account(row.Credit)}
}

// account is the entry's account of a kind.
func (e *Entry) account(code chart.AccountCode) Account {
	switch code.Scope() {
	case chart.PerSeller, chart.PerBuyer:
		return Account{code, e.Owner}
	case chart.PerMethod:
		return Account{code, e.Method}
	}
	return Account{Code: code}
}
