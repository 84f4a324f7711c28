// Package treasury is the money that moves for no order: payouts to sellers,
// receipts that nobody announced, refunds on their way to the payer, sellers'
// debts, what providers and banks settle, currencies converted, and corrections
// by hand. It is pure, as settlement/order is: Plan(entry, command) is the next
// state and the transfers that go with it, and settlement/posting stores and
// submits those on the one write path.
//
// One such movement is an Entry. Its terms are fixed when it is made and never
// change; Rules in table.go says which events each kind of entry has, what they
// move, and who may cause them.
//
// # Four eyes
//
// Entries that no outside event proves (an adjustment, a write-off, a seller's
// bank details, a conversion, a ruling, a policy) are proposed by one person and
// approved by another. The approval names the Digest of the terms, so it binds exactly what
// the checker has seen; terms cannot be edited, so there is nothing to edit after
// it. A proposal that nobody decides within ProposalWithin expires.
//
// # Conversions
//
// A conversion is the one kind with two ledgers of the marketplace, and with a
// second amount; the rate must give exactly that. With a party it moves a buyer's
// balance into another currency, as before a refund is repaid in the currency
// that was paid, and the marketplace may keep a spread:
//
//	2000 -> 1400 the amount; 1400 -> 4110 the spread; other ledger: 1400 -> 2000
//
// Without a party it is what the marketplace sells at the bank:
//
//	1400 -> 1010 what is sold; other ledger: 1010 -> 1400 what is bought
//
// Both take four eyes. A statement shows in the end what was sold and bought; but
// no statement would ever contradict the rate of a buyer's conversion, and a wrong
// one gives money away.
//
// Amounts are minor units of the ledger's currency, times UTC with
// microseconds.
package treasury

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
)

// Kind says what an entry is about.
type Kind string

// The kinds.
const (
	Payout        Kind = "payout"         // available money to the seller's bank
	Receipt       Kind = "receipt"        // money that came in for no order in particular
	Repayment     Kind = "repayment"      // a buyer's balance back to the payer
	Recovery      Kind = "recovery"       // a seller's debt, paid from what is available
	WriteOff      Kind = "write_off"      // a seller's debt that is given up; four eyes
	Adjustment    Kind = "adjustment"     // a correction between any two accounts; four eyes
	PSPSettlement Kind = "psp_settlement" // a provider paid what it collected, less its fee
	FeeSweep      Kind = "fee_sweep"      // earned fees leave the safeguarded bank
	BankDetails   Kind = "bank_details"   // where a seller is paid out to; four eyes, no money
	Conversion    Kind = "conversion"     // a buyer's balance, or the marketplace's position, into another currency; four eyes
	Ruling        Kind = "ruling"         // how an order's dispute is split; four eyes, the order's event moves the money
	Policy        Kind = "policy"         // the next version of a policy; four eyes, no money
)

// Kinds lists every kind.
var Kinds = []Kind{Payout, Receipt, Repayment, Recovery, WriteOff, Adjustment, PSPSettlement, FeeSweep, BankDetails, Conversion, Ruling, Policy}

// State is where an entry stands.
type State string

// The states. None is an entry that does not exist yet.
const (
	None         State = ""
	Proposed     State = "proposed"
	Sent         State = "sent"
	Accepted     State = "accepted"
	Paid         State = "paid"
	Due          State = "due"
	Unidentified State = "unidentified"

	Done     State = "done"
	Failed   State = "failed"
	Returned State = "returned"
	Rejected State = "rejected"
	SentBack State = "sent_back"
	Expired  State = "expired"
	Refused  State = "refused" // the ledger refused the first event; nothing moved
)

// States lists every state.
var States = []State{Proposed, Sent, Accepted, Paid, Due, Unidentified, Done, Failed, Returned, Rejected, SentBack, Expired, Refused}

// Event is something that happens to an entry.
type Event string

// The events.
const (
	Propose  Event = "propose"
	Approve  Event = "approve"
	Reject   Event = "reject"
	Expire   Event = "expire"
	Send     Event = "send"
	Accept   Event = "accept"
	Fail     Event = "fail"
	Settle   Event = "settle"
	Return   Event = "return"
	Receive  Event = "receive"
	Assign   Event = "assign"
	SendBack Event = "send_back"
	Start    Event = "start"
	Recover  Event = "recover"
	Sweep    Event = "sweep"
)

// Account names one account of a ledger: its kind, and whose it is.
type Account struct {
	Code  chart.AccountCode `json:"code"`
	Owner string            `json:"owner,omitempty"` // the seller, the buyer, the method; "" for the whole ledger's
}

// Place is an account in its ledger.
type Place struct {
	Ledger uint32
	Account
}

// ConvertTo is what a conversion comes to. What is converted is the entry's
// amount, less the spread.
type ConvertTo struct {
	Ledger uint32 `json:"ledger"`
	Amount int64  `json:"amount"`           // minor units of that ledger's currency
	Rate   string `json:"rate"`             // units of that currency for one unit of the entry's own, see chart.ParseRate
	Spread int64  `json:"spread,omitempty"` // minor units of the entry's own currency
}

// Terms are what an entry is about and never change. Amounts are minor units.
type Terms struct {
	ID          ledger.ID       `json:"-"` // UUIDv7
	Marketplace uint32          `json:"-"`
	Kind        Kind            `json:"kind"`
	Ledger      uint32          `json:"ledger"`              // marketplace and currency, see chart.Ledger
	Reference   string          `json:"reference,omitempty"` // the outside world's own name, unique within marketplace and kind
	Party       string          `json:"party,omitempty"`     // the seller or the buyer; ruling: the order's id
	Method      string          `json:"method,omitempty"`    // the payment method whose clearing account it goes over
	Amount      int64           `json:"amount,omitempty"`
	Fee         int64           `json:"fee,omitempty"`     // psp_settlement: what the provider kept
	Debit       Account         `json:"debit,omitzero"`    // adjustment
	Credit      Account         `json:"credit,omitzero"`   // adjustment
	To          ConvertTo       `json:"to,omitzero"`       // conversion
	Details     json.RawMessage `json:"details,omitempty"` // bank_details: the details; payout: the entry that has them; ruling: see RulingTerms; policy: the document
	Reason      string          `json:"reason,omitempty"`
	Maker       string          `json:"maker,omitempty"` // the person who made it
	MadeAt      time.Time       `json:"made_at"`
}

// Digest is the SHA-256 of the entry's id and terms, in hex: what an approval
// binds.
func (t *Terms) Digest() string {
	b, err := json.Marshal(struct {
		ID string `json:"id"`
		*Terms
	}{t.ID.UUID(), t})
	if err != nil {
		panic(err) // numbers, words and JSON always have a JSON form
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Progress is what events change.
type Progress struct {
	State   State
	Owner   string    // whose it is; of a receipt, once that is known
	Pending ledger.ID // the pending transfer that it waits on
	DueAt   time.Time // when it expires, or should have been answered; zero for neither
	At      time.Time // when the last event took effect
}

// Entry is one entry as it stands after Seq events.
type Entry struct {
	Terms
	Progress
	// Seq counts the events that took place. Attempt counts the times that
	// the ledger refused the next one.
	Seq     int32
	Attempt int16
}

// Command asks for one event.
type Command struct {
	Event  Event
	By     order.Role
	Person string    // who acts; required where the row says so
	At     time.Time // when it took effect

	// Intent is the id under which the event is recorded, see order.LegID.
	Intent   ledger.ID
	Accounts map[Place]ledger.ID // the accounts that Needs names

	Party  string // assign: whose money it is
	Digest string // approve: of the terms that the person has seen
	Note   string // what else is to be remembered of it, such as the bank's reason
	// Verified is the approved entry with the seller's bank details, zero if
	// there is none; of a payout. It is filled in by the write path.
	Verified ledger.ID
	Blocked  string // why the seller is not paid out, "" if it is; filled in by the write path
}

// Said is what is kept of an event beside what it did.
type Said struct {
	Owner  string `json:"owner,omitempty"`  // whose the entry is after it
	Person string `json:"person,omitempty"` // who acted
	Note   string `json:"note,omitempty"`
	Digest string `json:"digest,omitempty"` // approve: what was approved
	Result string `json:"result,omitempty"` // approve: what else it brought about, such as a policy's version
}

// Change is what an event does: the entry afterwards and the transfers, one
// linked chain.
type Change struct {
	Event    Event
	After    Entry
	Legs     []ledger.Transfer
	Accounts []ledger.Account
}

// The rules that Plan refuses by, beside those of settlement/order.
const (
	RuleFourEyes   = order.RuleFourEyes // the maker cannot approve, and an approval names what was seen
	RulePerson     = "person"           // a person has to be named
	RuleUnverified = "unverified"       // the seller's bank details are not approved
	RuleBlocked    = "blocked"          // the seller is not paid out
	RuleParty      = "party"            // whose money it is has to be said
)

// Check says what is wrong with an entry's terms: the field and why; "" for
// nothing.
func (t *Terms) Check() (field, detail string) {
	k, ok := kinds[t.Kind]
	if !ok {
		return "kind", "not a kind of entry"
	}
	switch {
	case k.amount && (t.Amount < 1 || t.Amount > order.MaxAmount):
		return "amount", "must be from 1 to 9007199254740991 minor units"
	case !k.amount && t.Amount != 0:
		return "amount", "this kind moves no money"
	case t.Fee < 0 || t.Fee > order.MaxAmount || t.Fee > 0 && t.Kind != PSPSettlement:
		return "fee", "only of psp_settlement, from 0 to 9007199254740991 minor units"
	case k.party && t.Party == "":
		return "party", "is required"
	case k.method && !order.PolicyWord(t.Method):
		return "method", "must name a payment method"
	case !k.method && t.Method != "":
		return "method", "this kind goes over no payment method"
	case k.reference && t.Reference == "":
		return "reference", "is required: the same line of a statement must not be booked twice"
	case k.reason && t.Reason == "":
		return "reason", "is required"
	case k.maker && t.Maker == "":
		return "person", "is required: somebody else has to approve it"
	case k.details && (len(t.Details) == 0 || t.Details[0] != '{' || !json.Valid(t.Details)):
		return "details", "must be a JSON object"
	case !k.details && len(t.Details) > 0:
		return "details", "only of bank_details, ruling and policy"
	case t.Kind != Conversion && t.To != (ConvertTo{}):
		return "to", "only of a conversion"
	}
	switch t.Kind {
	case Conversion:
		if field, detail := t.checkConversion(); field != "" {
			return field, detail
		}
	case Ruling:
		if detail := t.checkRuling(); detail != "" {
			return "details", detail
		}
	case Policy:
		if _, err := t.PolicyDocument(); err != nil {
			return "details", err.Error()
		}
	}
	if t.Kind != Adjustment {
		if t.Debit != (Account{}) {
			return "debit", "only of an adjustment"
		}
		if t.Credit != (Account{}) {
			return "credit", "only of an adjustment"
		}
		return "", ""
	}
	for _, a := range []struct {
		name string
		of   Account
	}{{"debit", t.Debit}, {"credit", t.Credit}} {
		row, ok := a.of.Code.Lookup()
		switch {
		case !ok:
			return a.name, "not an account of the chart"
		case row.Scope == chart.PerOrder || slices.Contains(ofOrders, a.of.Code):
			return a.name, "an order's money moves by the order's events alone"
		case (row.Scope == chart.PerMarketplace) != (a.of.Owner == ""):
			return a.name, fmt.Sprintf("account %d is one for each %s", a.of.Code, row.Scope)
		}
	}
	if t.Debit == t.Credit {
		return "credit", "the same account as debit"
	}
	return "", ""
}

// ofOrders are accounts of the whole ledger whose balance follows from the orders:
// check-books compares it.
var ofOrders = []chart.AccountCode{chart.DisputeSuspense, chart.ChargebackReceivable, chart.SellerCollection}

// checkConversion is Check for what only a conversion has.
func (t *Terms) checkConversion() (field, detail string) {
	market, from, _ := chart.SplitLedger(t.Ledger)
	other, to, ok := chart.SplitLedger(t.To.Ledger)
	switch {
	case !ok:
		return "to/currency", "not an ISO 4217 currency"
	case other != market:
		return "to/currency", "not a ledger of this marketplace"
	case t.To.Ledger == t.Ledger:
		return "to/currency", "the same as currency"
	case t.To.Amount < 1 || t.To.Amount > order.MaxAmount:
		return "to/amount", "must be from 1 to 9007199254740991 minor units"
	case t.To.Spread < 0 || t.To.Spread >= t.Amount:
		return "to/spread", "must be from 0 to less than what is converted"
	case t.To.Spread > 0 && t.Party == "":
		return "to/spread", "only of a buyer's: what a bank keeps is in its rate"
	}
	if _, err := chart.ParseRate(t.To.Rate); err != nil {
		return "to/rate", err.Error()
	}
	if detail := order.Converts(from, t.Amount, t.To.Spread, t.To.Rate, to, t.To.Amount); detail != "" {
		return "to/amount", detail
	}
	return "", ""
}

// open says why an entry that brings money into a ledger cannot be made at a
// moment: its currency is withdrawn.
func (t *Terms) open(at time.Time) error {
	for _, p := range kinds[t.Kind].brings {
		books, _ := p.of(t)
		if _, cur, ok := chart.SplitLedger(books); ok {
			if err := cur.Open(at); err != nil {
				return err
			}
		}
	}
	return nil
}

// First is the event that makes an entry of the kind with these terms.
func (t *Terms) First() Event { return kinds[t.Kind].first }

// Plan decides one event: the entry afterwards and the transfers, or an
// *order.Refusal. It changes nothing.
func Plan(e Entry, c Command) (*Change, error) {
	row, ok := Lookup(&e, c.Event)
	if !ok {
		return nil, refuse(&e, &c, order.RuleState, "a %s that is %s does not admit %s", e.Kind, stateWord(e.State), c.Event)
	}
	if !slices.Contains(row.Who, c.By) {
		return nil, refuse(&e, &c, order.RuleRole, "%s is not for the %s to say", c.Event, c.By)
	}
	if c.At.Before(e.At) {
		return nil, refuse(&e, &c, order.RuleOrderOfTime, "it would take effect at %s, before the last event at %s", stamp(c.At), stamp(e.At))
	}
	if e.State == Proposed {
		if late := c.At.After(e.DueAt); late && c.Event != Expire {
			return nil, refuse(&e, &c, order.RuleTooLate, "the proposal expired at %s", stamp(e.DueAt))
		}
		if c.Event == Expire && !c.At.Equal(e.DueAt) {
			return nil, refuse(&e, &c, order.RuleNotDue, "the proposal expires at %s", stamp(e.DueAt))
		}
	}
	if row.Checks {
		switch {
		case c.Person == "":
			return nil, refuse(&e, &c, RulePerson, "who does that has to be named")
		case c.Event == Approve && c.Person == e.Maker:
			return nil, refuse(&e, &c, RuleFourEyes, "who proposed it cannot approve it")
		case c.Event == Approve && c.Digest != e.Digest():
			return nil, refuse(&e, &c, RuleFourEyes, "the digest is not that of this entry: look at it again")
		}
	}
	if e.Kind == Payout && c.Event == Send {
		switch {
		case c.Blocked != "":
			return nil, refuse(&e, &c, RuleBlocked, "the seller is not paid out: %s", c.Blocked)
		case c.Verified.IsZero():
			return nil, refuse(&e, &c, RuleUnverified, "the seller has no bank details that were approved")
		}
	}
	if e.State == None {
		if err := e.open(c.At); err != nil {
			return nil, refuse(&e, &c, order.RuleCurrency, "%s", err)
		}
	}
	ch := &Change{Event: c.Event, After: e}
	after := &ch.After
	after.Seq++
	after.Attempt, after.At, after.State = 0, c.At, row.To
	if e.State == None {
		after.Owner = e.Party
	}
	if c.Event == Assign {
		if c.Party == "" {
			return nil, refuse(&e, &c, RuleParty, "name the buyer whose money it is")
		}
		after.Owner = c.Party
	}
	after.DueAt = time.Time{}
	if within := answeredWithin[after.State]; within > 0 {
		after.DueAt = c.At.Add(within)
	}
	if err := ch.move(&e, &c, row); err != nil {
		return nil, err
	}
	return ch, nil
}

// move adds the legs of the row, linked.
func (ch *Change) move(e *Entry, c *Command, row Row) error {
	for _, l := range row.Legs {
		books, amount := l.Of.of(&e.Terms)
		if amount == 0 {
			continue // a leg of zero is left out
		}
		debit, credit := l.places(&ch.After)
		t := ledger.Transfer{
			ID:          order.LegID(c.Intent, e.Attempt, len(ch.Legs)),
			Amount:      ledger.U64(uint64(amount)),
			UserData128: e.ID,
			UserData64:  uint64(c.At.UnixMicro()),
			Ledger:      books,
			Code:        uint16(l.Code),
			Flags:       l.How,
		}
		switch l.How {
		case ledger.TransferPostPending, ledger.TransferVoidPending:
			t.PendingID = e.Pending
			ch.After.Pending = ledger.ID{}
		default:
			for _, a := range []struct {
				name Place
				id   *ledger.ID
			}{{debit, &t.DebitAccountID}, {credit, &t.CreditAccountID}} {
				id, ok := c.Accounts[a.name]
				if !ok {
					return fmt.Errorf("treasury: account %d %q is not known", a.name.Code, a.name.Owner)
				}
				*a.id = id
				ch.Accounts = append(ch.Accounts, ledger.Account{ID: id, Ledger: books, Code: uint16(a.name.Code), Flags: a.name.Code.Flags()})
			}
			if l.How == ledger.TransferPending {
				ch.After.Pending = t.ID
			}
		}
		ch.Legs = append(ch.Legs, t)
	}
	for i := range ch.Legs[:max(0, len(ch.Legs)-1)] {
		ch.Legs[i].Flags |= ledger.TransferLinked
	}
	return nil
}

// Needs names the accounts that an event's legs use; none for an event that the
// entry does not admit.
func Needs(e *Entry, c *Command) (list []Place) {
	row, _ := Lookup(e, c.Event)
	after := *e
	switch {
	case e.State == None:
		after.Owner = e.Party
	case c.Event == Assign:
		after.Owner = c.Party
	}
	for _, l := range row.Legs {
		if l.How == ledger.TransferPostPending || l.How == ledger.TransferVoidPending {
			continue
		}
		debit, credit := l.places(&after)
		list = append(list, debit, credit)
	}
	return list
}

func refuse(e *Entry, c *Command, rule, format string, args ...any) *order.Refusal {
	return &order.Refusal{Rule: rule, Event: order.Event(c.Event), State: order.State(e.State),
		Detail: fmt.Sprintf(format, args...), Allowed: AllowedIn(e)}
}

func stateWord(s State) string {
	if s == None {
		return "new"
	}
	return string(s)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999Z07:00") }
