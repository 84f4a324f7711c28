package order

import "slices"

// Row is one line of the state table: in From, Who may cause Event, which
// does what Effect says and leads to To. Where To lists several states the
// effect decides, by what is left of the money.
type Row struct {
	From   State
	Event  Event
	Who    []Role
	Effect Effect
	To     []State
}

// Effect is what an event does to the money and the deadline.
type Effect string

// The effects; effects.go has a function for each.
const (
	NoMoney      Effect = "no money moves"
	HoldPayment  Effect = "the payment is held in escrow"
	StartConfirm Effect = "the time to confirm runs from the event"
	MoveDeadline Effect = "the deadline moves"
	ReleaseAll   Effect = "all that is held goes to the seller, less the fee"
	RefundAll    Effect = "all that is held goes back to the buyer"
	RefundPart   Effect = "a part of what is held, or all, goes back to the buyer"
	Freeze       Effect = "all that is held is frozen"
	Split        Effect = "the freeze ends and what was held is split by the ruling"
	MatureAll    Effect = "what was released becomes available to the seller"
)

// Rules is the state table. A pair of state and event that is not in it is
// refused.
var Rules = []Row{
	{None, Agree, roles(Operator, Buyer, Seller), NoMoney, to(Agreed)},

	{Agreed, Pay, roles(Buyer, Operator), HoldPayment, to(Held)},
	{Agreed, Cancel, roles(Buyer, Seller, Operator), NoMoney, to(Canceled)},
	{Agreed, Expire, roles(System), NoMoney, to(Expired)},

	{Held, Ship, roles(Seller, Operator), StartConfirm, to(Shipped)},
	{Held, Extend, roles(Seller, Buyer), MoveDeadline, to(Held)},
	{Held, Cancel, roles(Buyer, Seller, Operator), RefundAll, to(Canceled)},
	{Held, Refund, roles(Seller, Operator), RefundPart, to(Held, Refunded)},
	{Held, CancelUnshipped, roles(System), RefundAll, to(Canceled)},

	{Shipped, Deliver, roles(Carrier, Seller, Operator), StartConfirm, to(Delivered)},
	{Shipped, Confirm, roles(Buyer), ReleaseAll, to(Released)},
	{Shipped, Extend, roles(Buyer, Seller), MoveDeadline, to(Shipped)},
	{Shipped, Refund, roles(Seller, Operator), RefundPart, to(Shipped, Refunded)},
	{Shipped, Dispute, roles(Buyer), Freeze, to(Disputed)},
	{Shipped, ReleaseUnconfirmed, roles(System), ReleaseAll, to(Released)},

	{Delivered, Confirm, roles(Buyer), ReleaseAll, to(Released)},
	{Delivered, Extend, roles(Buyer, Seller), MoveDeadline, to(Delivered)},
	{Delivered, Refund, roles(Seller, Operator), RefundPart, to(Delivered, Refunded)},
	{Delivered, Dispute, roles(Buyer), Freeze, to(Disputed)},
	{Delivered, ReleaseUnconfirmed, roles(System), ReleaseAll, to(Released)},

	{Disputed, Rule, roles(Operator), Split, to(Released, Refunded, Ruled)},

	{Ruled, Mature, roles(System), MatureAll, to(Closed)},
	{Released, Mature, roles(System), MatureAll, to(Closed)},
}

// Due is what happens when a deadline passes: the event that a job books, or
// "" where nothing moves by itself and a person has to act.
var Due = map[Deadline]Event{
	PayBy:     Expire,
	ShipBy:    CancelUnshipped,
	ConfirmBy: ReleaseUnconfirmed,
	RuleBy:    "",
	MatureAt:  Mature,
}

// DueAt is the deadline whose passing causes the event, or NoDeadline.
func DueAt(e Event) Deadline {
	for d, due := range Due {
		if due == e && due != "" {
			return d
		}
	}
	return NoDeadline
}

// Open reports whether an order in s still waits for something.
func (s State) Open() bool {
	return slices.ContainsFunc(Rules, func(r Row) bool { return r.From == s && s != None })
}

func roles(r ...Role) []Role { return r }
func to(s ...State) []State  { return s }

// rules indexes Rules by state and event.
var rules = func() map[State]map[Event]Row {
	m := map[State]map[Event]Row{}
	for _, r := range Rules {
		if m[r.From] == nil {
			m[r.From] = map[Event]Row{}
		}
		m[r.From][r.Event] = r
	}
	return m
}()

// Lookup is the row for an event in a state, and whether there is one.
func Lookup(from State, e Event) (Row, bool) {
	r, ok := rules[from][e]
	return r, ok
}

// Allowed is an event that the state admits, and who may cause it.
type Allowed struct {
	Event Event  `json:"event"`
	By    []Role `json:"by"`
}

// AllowedIn lists what can happen to an order in s.
func AllowedIn(s State) []Allowed {
	list := []Allowed{}
	for _, r := range Rules {
		if r.From == s {
			list = append(list, Allowed{r.Event, r.Who})
		}
	}
	return list
}

// DefaultRole is who usually causes the event in the state: the first of the
// row, used where a caller does not say who acts.
func DefaultRole(from State, e Event) Role {
	if r, ok := rules[from][e]; ok {
		return r.Who[0]
	}
	return ""
}
