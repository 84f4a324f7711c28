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
	Begin        Effect = "the time to pay runs from the event"
	ChangePrice  Effect = "the price changes, fee and tax with it, and the time to pay runs from the event"
	HoldPayment  Effect = "the payment is held in escrow"
	Reserve      Effect = "the payment is promised and not held yet"
	HoldCaptured Effect = "of what was authorised all, or a part, is held in escrow"
	Unreserve    Effect = "the authorisation is voided"
	StartConfirm Effect = "the time to confirm runs from the event"
	MoveDeadline Effect = "the deadline moves, at once or when both have asked for the same"
	ReleaseAll   Effect = "all that is held goes to the seller, less the fee"
	RefundAll    Effect = "all that is held goes back to the buyer"
	RefundPart   Effect = "a part of what is held, or all, goes back to the buyer"
	Freeze       Effect = "all that is held is frozen or, after the release, of the seller's part as much as is available kept"
	Negotiate    Effect = "the time to agree runs from the event"
	PutOffer     Effect = "the offer takes the place of the one before"
	TakeOffer    Effect = "what the dispute is about is split by the offer: at once, when the goods are back, or when others have come in their place"
	GrantClaim   Effect = "the freeze ends, what was claimed goes back to the buyer, the rest to the seller"
	GrantOther   Effect = "the freeze ends and what the other party claims is granted: to the buyer what was claimed or, of goods that came back damaged, what was to be paid for them; to the seller the damage, out of that"
	DropClaim    Effect = "the freeze ends and all goes to the seller, less the fee"
	Unfreeze     Effect = "the freeze ends and the order's clock runs on"
	Hear         Effect = "the time for evidence runs from the event"
	AddEvidence  Effect = "a file is noted"
	EndEvidence  Effect = "the marketplace rules; without evidence of the buyer's the claim falls, without any of the seller's a claim for damage"
	Decide       Effect = "the freeze ends and what the dispute is about is split by the ruling: at once, when nobody has appealed, when the goods are back, or when others have come in their place"
	Reopen       Effect = "the ruling falls and the marketplace rules once more"
	CarryOut     Effect = "the freeze ends and what the dispute is about is split by the ruling: at once, when the goods are back, or when others have come in their place"
	TakeBack     Effect = "the time to inspect what came back runs from the event"
	GrantReturn  Effect = "the freeze ends and what the dispute is about is split as agreed for the return"
	DenyReturn   Effect = "the time for evidence runs from the event: the return falls, or the seller claims damage"
	SendAgain    Effect = "the freeze ends and the time to confirm what comes anew runs from the event"
	StartParts   Effect = "the time to confirm the parts runs from the event"
	ReleaseParts Effect = "what is held of the parts goes to the seller, less its share of the fee"
	ReleaseDue   Effect = "what is held of the parts whose time to confirm has passed goes to the seller, less its share of the fee"
	RefundDue    Effect = "what is held goes back to the buyer; of an order in parts, of those whose time to ship has passed"
	RefundRest   Effect = "what is held of the parts that were not shipped goes back to the buyer"
	NoteScan     Effect = "where the goods are is noted"
	MatureDue    Effect = "what was released of the parts whose time has come becomes available to the seller, but for a reserve"
	MatureAll    Effect = "what was released becomes available to the seller, but for a reserve"
	FreeReserve  Effect = "what is left of the reserve becomes available to the seller"
	TakePayment  Effect = "the provider takes the payment back: all that is held is frozen, and of what was released the seller's part is kept"
	AwaitBank    Effect = "the time for the bank's decision runs from the event"
	Resume       Effect = "what was taken, frozen and kept is back, and the order goes on where it stood"
	BearLoss     Effect = "what is held pays for what was taken, and then the seller or the marketplace"
	GiveBack     Effect = "a part of what was released, or all, goes back to the buyer"
)

// Rules is the state table. A pair of state and event that is not in it is
// refused.
var Rules = slices.Concat([]Row{
	{None, Agree, roles(Operator, Buyer, Seller), Begin, to(Agreed)},

	{Agreed, Reprice, roles(Operator), ChangePrice, to(Agreed)},
	{Agreed, Pay, roles(Buyer, Operator), HoldPayment, to(Held)},
	{Agreed, Authorise, roles(Buyer, Operator), Reserve, to(Authorised)},
	{Agreed, Cancel, roles(Buyer, Seller, Operator), NoMoney, to(Canceled)},
	{Agreed, Expire, roles(System), NoMoney, to(Expired)},

	{Authorised, Capture, roles(Buyer, Operator), HoldCaptured, to(Held)},
	{Authorised, Void, roles(Buyer, Seller, Operator), Unreserve, to(Canceled)},
	{Authorised, ExpireAuthorisation, roles(System), Unreserve, to(Expired)},

	{Held, Ship, roles(Seller, Operator), StartConfirm, to(Shipped)},
	{Held, ShipPart, roles(Seller, Operator), StartParts, to(PartShipped, Shipped)},
	{Held, Extend, roles(Seller, Buyer), MoveDeadline, to(Held)},
	{Held, Cancel, roles(Buyer, Seller, Operator), RefundAll, to(Canceled)},
	{Held, Refund, roles(Seller, Operator), RefundPart, to(Held, Refunded)},
	{Held, CancelUnshipped, roles(System), RefundDue, to(Canceled, Held)},

	{PartShipped, ShipPart, roles(Seller, Operator), StartParts, to(PartShipped, Shipped)},
	{PartShipped, Ship, roles(Seller, Operator), StartConfirm, to(Shipped)},
	{PartShipped, Track, roles(Carrier, Seller, Operator), NoteScan, to(PartShipped)},
	{PartShipped, DeliverPart, roles(Carrier, Seller, Operator), StartParts, to(PartShipped)},
	{PartShipped, ReleasePart, roles(Buyer), ReleaseParts, to(PartShipped)},
	{PartShipped, Extend, roles(Seller, Buyer), MoveDeadline, to(PartShipped)},
	{PartShipped, Cancel, roles(Buyer, Seller, Operator), RefundRest, to(Shipped, Delivered, Released, Refunded)},
	{PartShipped, Refund, roles(Seller, Operator), RefundPart, to(PartShipped, Shipped, Delivered, Released, Refunded)},
	{PartShipped, Dispute, roles(Buyer), Freeze, to(Disputed)},
	{PartShipped, CancelUnshipped, roles(System), RefundDue, to(PartShipped, Shipped, Delivered, Released, Refunded)},
	{PartShipped, ReleasePartUnconfirmed, roles(System), ReleaseDue, to(PartShipped)},
	{PartShipped, MaturePart, roles(System), MatureDue, to(PartShipped)},

	{Shipped, Deliver, roles(Carrier, Seller, Operator), StartConfirm, to(Delivered)},
	{Shipped, Track, roles(Carrier, Seller, Operator), NoteScan, to(Shipped)},
	{Shipped, DeliverPart, roles(Carrier, Seller, Operator), StartParts, to(Shipped, Delivered)},
	{Shipped, ReleasePart, roles(Buyer), ReleaseParts, to(Shipped, Delivered, Released)},
	{Shipped, Confirm, roles(Buyer), ReleaseAll, to(Released)},
	{Shipped, Extend, roles(Buyer, Seller), MoveDeadline, to(Shipped)},
	{Shipped, Refund, roles(Seller, Operator), RefundPart, to(Shipped, Refunded, Delivered, Released)},
	{Shipped, Dispute, roles(Buyer), Freeze, to(Disputed)},
	{Shipped, ReleasePartUnconfirmed, roles(System), ReleaseDue, to(Shipped, Delivered, Released)},
	{Shipped, MaturePart, roles(System), MatureDue, to(Shipped)},
	{Shipped, ReleaseUnconfirmed, roles(System), ReleaseAll, to(Released)},

	{Delivered, Confirm, roles(Buyer), ReleaseAll, to(Released)},
	{Delivered, Track, roles(Carrier, Seller, Operator), NoteScan, to(Delivered)},
	{Delivered, ReleasePart, roles(Buyer), ReleaseParts, to(Delivered, Released)},
	{Delivered, Extend, roles(Buyer, Seller), MoveDeadline, to(Delivered)},
	{Delivered, Refund, roles(Seller, Operator), RefundPart, to(Delivered, Refunded, Released)},
	{Delivered, Dispute, roles(Buyer), Freeze, to(Disputed)},
	{Delivered, ReleasePartUnconfirmed, roles(System), ReleaseDue, to(Delivered, Released)},
	{Delivered, MaturePart, roles(System), MatureDue, to(Delivered)},
	{Delivered, ReleaseUnconfirmed, roles(System), ReleaseAll, to(Released)},

	{Disputed, AcceptClaim, roles(Seller), GrantClaim, split()},
	{Disputed, Contest, roles(Seller), Negotiate, to(Negotiating)},
	{Disputed, GiveEvidence, roles(Buyer, Seller), AddEvidence, to(Disputed)},
	{Disputed, Withdraw, roles(Buyer), Unfreeze, to(Shipped, Delivered, PartShipped, Released, Reserved, Closed)},
	{Disputed, Rule, roles(Operator), Decide, split(Decided, Returning, Replacing)},
	{Disputed, GrantUnanswered, roles(System), GrantClaim, split()},

	{Negotiating, MakeOffer, roles(Seller, Buyer), PutOffer, to(Negotiating)},
	{Negotiating, AcceptOffer, roles(Buyer, Seller), TakeOffer, split(Returning, Replacing)},
	{Negotiating, AcceptClaim, roles(Seller), GrantClaim, split()},
	{Negotiating, GiveEvidence, roles(Buyer, Seller), AddEvidence, to(Negotiating)},
	{Negotiating, Withdraw, roles(Buyer), Unfreeze, to(Shipped, Delivered, PartShipped, Released, Reserved, Closed)},
	{Negotiating, Escalate, roles(Buyer, Seller, Operator), Hear, to(Escalated)},
	{Negotiating, EscalateUnsettled, roles(System), Hear, to(Escalated)},

	{Escalated, GiveEvidence, roles(Buyer, Seller), AddEvidence, to(Escalated)},
	{Escalated, MakeOffer, roles(Seller, Buyer), PutOffer, to(Escalated)},
	{Escalated, AcceptOffer, roles(Buyer, Seller), TakeOffer, split(Returning, Replacing)},
	{Escalated, AcceptClaim, roles(Seller, Buyer), GrantOther, split()},
	{Escalated, Withdraw, roles(Buyer), Unfreeze, to(Shipped, Delivered, PartShipped, Released, Reserved, Closed)},
	{Escalated, Rule, roles(Operator), Decide, split(Decided, Returning, Replacing)},
	{Escalated, CloseEvidence, roles(System), EndEvidence, split(Arbitration)},

	{Arbitration, AcceptClaim, roles(Seller, Buyer), GrantOther, split()},
	{Arbitration, Withdraw, roles(Buyer), Unfreeze, to(Shipped, Delivered, PartShipped, Released, Reserved, Closed)},
	{Arbitration, Rule, roles(Operator), Decide, split(Decided, Returning, Replacing)},

	{Decided, Appeal, roles(Buyer, Seller), Reopen, to(Arbitration)},
	{Decided, ExecuteRuling, roles(System), CarryOut, split(Returning, Replacing)},

	{Returning, ShipBack, roles(Buyer), TakeBack, to(Returned)},
	{Returning, ReceiveReturn, roles(Seller), GrantReturn, split()},
	{Returning, DropUnreturned, roles(System), DropClaim, to(Released, Reserved, Closed)},

	{Returned, ReceiveReturn, roles(Seller), GrantReturn, split()},
	{Returned, RefuseReturn, roles(Seller), DenyReturn, to(Escalated)},
	{Returned, GrantUninspected, roles(System), GrantReturn, split()},

	{Replacing, ShipReplacement, roles(Seller, Operator), SendAgain, to(Shipped, PartShipped)},
	{Replacing, AcceptClaim, roles(Seller), GrantClaim, to(Refunded, Ruled)},
	{Replacing, GrantUnreplaced, roles(System), GrantClaim, to(Refunded, Ruled)},

	{Ruled, MaturePart, roles(System), MatureDue, to(Ruled)},
	{Ruled, Mature, roles(System), MatureAll, to(Closed, Reserved)},
	{Ruled, RefundReleased, roles(Seller, Operator), GiveBack, to(Ruled, Refunded, Reserved)},
	{Released, MaturePart, roles(System), MatureDue, to(Released)},
	{Released, Mature, roles(System), MatureAll, to(Closed, Reserved)},
	{Released, Dispute, roles(Buyer), Freeze, to(Disputed)},
	{Released, RefundReleased, roles(Seller, Operator), GiveBack, to(Released, Refunded, Reserved)},

	{Reserved, ReleaseReserve, roles(System), FreeReserve, to(Closed, Refunded)},
	{Reserved, Dispute, roles(Buyer), Freeze, to(Disputed)},
	{Reserved, RefundReleased, roles(Seller, Operator), GiveBack, to(Reserved)},

	{Closed, Dispute, roles(Buyer), Freeze, to(Disputed)},
	{Closed, RefundReleased, roles(Seller, Operator), GiveBack, to(Closed, Refunded)},
}, chargebackRows())

// chargeable are the states in which there is money of the order to take.
var chargeable = []State{Held, PartShipped, Shipped, Delivered, Disputed, Negotiating, Escalated, Arbitration, Decided,
	Returning, Returned, Replacing, Ruled, Released, Reserved, Closed}

// chargebackRows are the state table's rows of chargebacks: the first two are the
// same from each state that has money.
func chargebackRows() (rows []Row) {
	for _, s := range chargeable {
		rows = append(rows,
			Row{s, TakeBackPayment, roles(Operator), TakePayment, to(ChargedBack)},
			Row{s, SecondChargeback, roles(Operator), TakePayment, to(ChargedBack)})
	}
	lost := to(Held, PartShipped, Shipped, Delivered, Ruled, Released, Reserved, Closed, Refunded)
	return append(rows,
		Row{ChargedBack, Represent, roles(Operator), AwaitBank, to(Represented)},
		Row{ChargedBack, WinChargeback, roles(Operator), Resume, chargeable},
		Row{ChargedBack, LoseChargeback, roles(Operator), BearLoss, lost},
		Row{ChargedBack, LoseUnrepresented, roles(System), BearLoss, lost},
		Row{Represented, WinChargeback, roles(Operator), Resume, chargeable},
		Row{Represented, LoseChargeback, roles(Operator), BearLoss, lost})
}

// Due is what happens when a deadline passes: the event that a job books, or
// "" where nothing moves by itself and a person has to act.
var Due = map[Deadline]Event{
	PayBy:       Expire,
	CaptureBy:   ExpireAuthorisation,
	ShipBy:      CancelUnshipped,
	ConfirmBy:   ReleaseUnconfirmed,
	RespondBy:   GrantUnanswered,
	NegotiateBy: EscalateUnsettled,
	EvidenceBy:  CloseEvidence,
	RuleBy:      "",
	AppealBy:    ExecuteRuling,
	ReturnBy:    DropUnreturned,
	InspectBy:   GrantUninspected,
	ReplaceBy:   GrantUnreplaced,
	MatureAt:    Mature,

	ConfirmPartBy: ReleasePartUnconfirmed,
	MaturePartAt:  MaturePart,

	ReserveUntil: ReleaseReserve,
	RepresentBy:  LoseUnrepresented,
	DecisionBy:   "",
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

// Open reports whether an order in s still waits for something. A closed one
// does not, though of what was released something can still go back.
func (s State) Open() bool {
	switch s {
	case None, Refunded, Canceled, Expired, Closed:
		return false
	}
	return true
}

// Frozen reports whether all that is held is frozen in s: in every state of a
// dispute or a chargeback.
func (s State) Frozen() bool {
	switch s {
	case Disputed, Negotiating, Escalated, Arbitration, Decided, Returning, Returned, Replacing, ChargedBack, Represented:
		return true
	}
	return false
}

// split is where a dispute ends that is settled or ruled on: by what the buyer gets
// of what is held or, after the release, where the order stood, unless all of it
// has gone back. Before that it can lead to others.
func split(others ...State) []State {
	return append([]State{Released, Refunded, Ruled, Reserved, Closed}, others...)
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
