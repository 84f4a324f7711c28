// Package order is the life of one escrow order: its states, the events that
// move it on, its deadlines, and how its money is split. It is pure: no SQL,
// no HTTP, no clock. Plan(order, command) is the next state and the transfers
// that go with it; everything else in settlement stores and submits those.
//
//	            agree
//	              |            expire (nobody paid by pay_by)
//	              v          .----------------------------------> expired
//	 cancel <- agreed ------'
//	   |          | pay
//	   v          v            cancel, cancel_unshipped (ship_by)
//	canceled <-- held -----------------------------------------> canceled
//	              | ship                   refund (all) -------> refunded
//	              v
//	           shipped -----. dispute       rule (all to the buyer)
//	              | deliver  >----------> disputed ------------> refunded
//	              v         |             (below)| rule (split)
//	          delivered ----'                v
//	              |                        ruled
//	              | confirm, or              |
//	              | release_unconfirmed      | mature
//	              v (confirm_by)             v
//	           released ----- mature ----> closed
//
// What was released can go back to the buyer for a while, before it matures and
// after. The order stays where it is, until all of it has gone. And a share can
// be kept in reserve, as the policy says, when the rest matures:
//
//	released, ruled, reserved, closed -- refund_released --> the same, or refunded
//	released, ruled -- mature --> reserved -- release_reserve --> closed, or refunded
//	                                          (reserve_until)
//
// It can be disputed too, and be in all the states of a dispute but replacing; it
// ends where it stood, or refunded (released_dispute.go):
//
//	released, reserved, closed -- dispute --> disputed
//
// As long as nobody has paid the price can change, and the time to pay runs anew:
//
//	agreed -- reprice --> agreed
//
// A payment can be authorised first: a bank has promised it, and nothing is
// held before it is captured:
//
//	agreed -- authorise --> authorised -- capture (all, or a part) --> held
//	                           | '------- void ----------------------> canceled
//	                           '--------- expire_authorisation ------> expired
//	                                      (capture_by)
//
// In the ledger it is a pending transfer, which the capture posts and the others
// void. It has no timeout there: the deadline's job voids it, so that the
// marketplace's clock alone says when.
//
// A dispute goes on, as far as the order's policy has these steps; in each of
// its states all that is held is frozen, and what ends it splits the money
// (released, refunded or ruled):
//
//	disputed ----- accept_claim, grant_unanswered (respond_by) ----------------> split
//	   | contest                                    withdraw, from each -> shipped, delivered
//	   v
//	negotiating -- accept_claim, accept_offer ---------------------------------> split
//	   |    '----- accept_offer (of a return) -> returning -> returned --------> split
//	   | escalate, escalate_unsettled           (return_by) (inspect_by) |
//	   v                                                                 | refuse_return
//	escalated <----------------------------------------------------------'
//	   | close_evidence (evidence_by); without any of the buyer's the claim falls -> released,
//	   |                                without any of the seller's a claim for damage ----> split
//	   v
//	arbitration -- rule -> decided -- execute_ruling (appeal_by) --------------> split
//	   ^                      | appeal, once      of a return -> returning
//	   '----------------------'
//
// Who accepts a claim accepts the other party's: the seller the buyer's, and the
// buyer the seller's, of goods that came back damaged (Damage).
//
// An accepted offer, or a ruling, can also be that the goods are replaced:
//
//	replacing -- ship_replacement --> shipped, and the buyer may dispute once more
//	    '------- accept_claim, grant_unreplaced (replace_by) ------------------> split
//
// An order can be agreed in parts: part shipments, or the milestones of a piece
// of work. Each part goes the way of an order by itself, held, shipped,
// delivered, then released or refunded, with a deadline of its own; the order is
// where the least advanced of those is that still hold money, and its deadline
// is the earliest of theirs. A part can have a date of shipment of its own: if it
// is not shipped by then it goes back, and the others go on.
//
//	        ship_part                ship, or ship_part of the last
//	held --------------> part_shipped ------------------------------> shipped
//	   |                   |  ^  |  | cancel, cancel_unshipped (ship_by):
//	   | ship              '--'  |  | what was not shipped is refunded
//	   v            deliver_part |  '---------------------> shipped, delivered
//	shipped         release_part |
//	   |        release_part_    | dispute
//	   |             unconfirmed '----------------------------------> disputed
//	   |       (confirm_part_by)
//	   | deliver, or deliver_part of the last
//	   v
//	delivered -- confirm, or the release of the last part ----------> released
//
// A dispute freezes all that is held, of every part. What was released of a part
// matures by itself, mature_after after its release, while the others go on: that
// is a deadline of the part like the others, until the last, which is the order's
// own:
//
//	part_shipped, shipped, delivered, released, ruled -- mature_part --> the same
//	                                     (mature_part_at)
//
// Nobody waits for that deadline and nobody is stopped by it: an event that comes
// later than a part's maturity, and before the job, takes it along in its chain.
//
// The reserve that is kept of each part stays until the end of the order, and is
// freed as one, reserve_until after the last has matured: as long as a part is
// held something of the parts before can be needed.
//
// From the shipment on track notes where the goods are: it moves neither money
// nor deadlines. That they were delivered is an event of its own. What was shipped,
// and a replacement as the child of what it replaces, follows from the timeline
// (shipments.go).
//
// The buyer's bank can take the payment back from every state with money
// (chargeback.go). The order's own clock stands still meanwhile:
//
//	any of these -- chargeback, or second_chargeback --> charged_back
//	charged_back -- represent --> represented
//	both -- win_chargeback --> where it stood
//	both -- lose_chargeback, lose_unrepresented (represent_by) --> where it stood with
//	                                                    what is left, or refunded
//
// The table is Rules in table.go: it is the one place where states, events,
// who may cause them and deadlines are joined. The schema's function
// order_consistent names the same states. What moves is MoneyTable in money.go, and
// nothing else can.
//
// # Time
//
// All times are UTC with microseconds, the ledger's user_data_64. An event
// takes effect At; an event at or before a deadline is in time. What a
// deadline causes takes effect at the deadline itself, however late a job
// books it. Holidays of the policy's calendar lengthen the time to confirm, which
// buyer and seller can agree with the order, within what the policy allows.
//
// A deadline that is somebody's to keep can be extended, by either party or by both
// together (extend.go).
//
// # Money
//
// Amounts are minor units of the order's currency, at most MaxAmount.
// Charge().Pays() = Held + Released + Refunded from the payment on, always.
//
// The fee is taken out of what is released, pro rata. What the buyer bears of
// it the buyer has paid on top of the goods' price: so it is held, and goes back
// with what is refunded, like the rest.
//
// An order can be paid in another currency, see FX; it is held, released and
// refunded in its own.
package order

import (
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// MaxAmount is 2^53-1 minor units: the largest integer that every JSON
// reader keeps exactly (RFC 8259, section 6).
const MaxAmount = 1<<53 - 1

// State is where an order stands.
type State string

// The states. None is an order that does not exist yet.
const (
	None       State = ""
	Agreed     State = "agreed"
	Authorised State = "authorised"
	Held       State = "held"
	Shipped    State = "shipped"
	Delivered  State = "delivered"
	Disputed   State = "disputed"

	PartShipped State = "part_shipped" // in parts, of which some are to be shipped yet

	Negotiating State = "negotiating"
	Escalated   State = "escalated"
	Arbitration State = "arbitration"
	Decided     State = "decided"
	Returning   State = "returning"
	Returned    State = "returned"
	Replacing   State = "replacing"

	Ruled    State = "ruled"
	Released State = "released"
	Reserved State = "reserved"

	ChargedBack State = "charged_back"
	Represented State = "represented"

	Refunded State = "refunded"
	Canceled State = "canceled"
	Expired  State = "expired"
	Closed   State = "closed"
)

// States lists every state in the order of an order's life.
var States = []State{Agreed, Authorised, Held, PartShipped, Shipped, Delivered, Disputed,
	Negotiating, Escalated, Arbitration, Decided, Returning, Returned, Replacing, Ruled,
	Released, Reserved, ChargedBack, Represented, Refunded, Canceled, Expired, Closed}

// Event is something that happens to an order.
type Event string

// The events. Those that a deadline causes are booked by jobs.
const (
	Agree     Event = "agree"
	Reprice   Event = "reprice"
	Pay       Event = "pay"
	Authorise Event = "authorise"
	Capture   Event = "capture"
	Void      Event = "void"
	Ship      Event = "ship"
	Deliver   Event = "deliver"
	Confirm   Event = "confirm"
	Extend    Event = "extend"
	Cancel    Event = "cancel"
	Refund    Event = "refund"
	Dispute   Event = "dispute"
	Rule      Event = "rule"

	ShipPart    Event = "ship_part"
	DeliverPart Event = "deliver_part"
	ReleasePart Event = "release_part"
	Track       Event = "track"

	AcceptClaim   Event = "accept_claim"
	Contest       Event = "contest"
	MakeOffer     Event = "offer"
	AcceptOffer   Event = "accept_offer"
	GiveEvidence  Event = "evidence"
	Withdraw      Event = "withdraw"
	Escalate      Event = "escalate"
	Appeal        Event = "appeal"
	ShipBack      Event = "ship_back"
	ReceiveReturn Event = "receive_return"
	RefuseReturn  Event = "refuse_return"

	ShipReplacement Event = "ship_replacement"
	RefundReleased  Event = "refund_released"

	TakeBackPayment  Event = "chargeback"
	SecondChargeback Event = "second_chargeback"
	Represent        Event = "represent"
	WinChargeback    Event = "win_chargeback"
	LoseChargeback   Event = "lose_chargeback"

	Expire              Event = "expire"               // pay_by passed
	ExpireAuthorisation Event = "expire_authorisation" // capture_by passed
	CancelUnshipped     Event = "cancel_unshipped"     // ship_by passed
	ReleaseUnconfirmed  Event = "release_unconfirmed"  // confirm_by passed
	GrantUnanswered     Event = "grant_unanswered"     // respond_by passed
	EscalateUnsettled   Event = "escalate_unsettled"   // negotiate_by passed
	CloseEvidence       Event = "close_evidence"       // evidence_by passed
	ExecuteRuling       Event = "execute_ruling"       // appeal_by passed
	DropUnreturned      Event = "drop_unreturned"      // return_by passed
	GrantUninspected    Event = "grant_uninspected"    // inspect_by passed
	GrantUnreplaced     Event = "grant_unreplaced"     // replace_by passed
	Mature              Event = "mature"               // mature_at passed
	ReleaseReserve      Event = "release_reserve"      // reserve_until passed
	LoseUnrepresented   Event = "lose_unrepresented"   // represent_by passed

	ReleasePartUnconfirmed Event = "release_part_unconfirmed" // confirm_part_by passed
	MaturePart             Event = "mature_part"              // mature_part_at passed
)

// Events lists every event in the order of an order's life.
var Events = []Event{Agree, Reprice, Pay, Authorise, Capture, Void, ShipPart, Ship, Track, DeliverPart, Deliver, ReleasePart, Confirm, Extend, Cancel, Refund, Dispute,
	AcceptClaim, Contest, MakeOffer, AcceptOffer, GiveEvidence, Withdraw, Escalate, Rule, Appeal, ShipBack, ReceiveReturn, RefuseReturn, ShipReplacement,
	RefundReleased, TakeBackPayment, SecondChargeback, Represent, WinChargeback, LoseChargeback,
	Expire, ExpireAuthorisation, CancelUnshipped, ReleasePartUnconfirmed, ReleaseUnconfirmed, GrantUnanswered, EscalateUnsettled, CloseEvidence, ExecuteRuling, DropUnreturned,
	GrantUninspected, GrantUnreplaced, MaturePart, Mature, ReleaseReserve, LoseUnrepresented}

// Role is who causes an event.
type Role string

// The roles. Operator is the marketplace's own staff; System is a job that
// books what a deadline causes.
const (
	Buyer    Role = "buyer"
	Seller   Role = "seller"
	Carrier  Role = "carrier"
	Operator Role = "operator"
	System   Role = "system"
)

// Deadline names what has to happen by a moment.
type Deadline string

// The deadlines. NoDeadline is that of the final states.
const (
	NoDeadline  Deadline = ""
	PayBy       Deadline = "pay_by"
	CaptureBy   Deadline = "capture_by"
	ShipBy      Deadline = "ship_by"
	ConfirmBy   Deadline = "confirm_by"
	RespondBy   Deadline = "respond_by"
	NegotiateBy Deadline = "negotiate_by"
	EvidenceBy  Deadline = "evidence_by"
	RuleBy      Deadline = "rule_by"
	AppealBy    Deadline = "appeal_by"
	ReturnBy    Deadline = "return_by"
	InspectBy   Deadline = "inspect_by"
	ReplaceBy   Deadline = "replace_by"
	MatureAt    Deadline = "mature_at"

	ConfirmPartBy Deadline = "confirm_part_by" // of a part, see Parts
	MaturePartAt  Deadline = "mature_part_at"  // of a part that was released before others

	ReserveUntil Deadline = "reserve_until"
	RepresentBy  Deadline = "represent_by"
	DecisionBy   Deadline = "decision_by"
)

// Deadlines lists every deadline in the order of an order's life.
var Deadlines = []Deadline{PayBy, CaptureBy, ShipBy, ConfirmPartBy, ConfirmBy, RespondBy, NegotiateBy, EvidenceBy, RuleBy, AppealBy,
	ReturnBy, InspectBy, ReplaceBy, MaturePartAt, MatureAt, ReserveUntil, RepresentBy, DecisionBy}

// Terms are what was agreed and never changes. Amounts are minor units; Amount is
// what the goods cost, at first: see Order.Price.
type Terms struct {
	ID          ledger.ID // UUIDv7; also the id of the escrow sub-account
	Marketplace uint32
	Ledger      uint32 // marketplace and currency, see chart.Ledger
	Reference   string // the marketplace's own name for the order
	Buyer       string // opaque id
	Seller      string // opaque id
	Category    string // what kind of goods, a PolicyWord; "" for none
	Amount      int64
	Fee         int64     // on the whole amount, by the policy at agreement
	Tax         int64     // on the fee
	ShipByDate  time.Time // agreed date of shipment, zero for none
	Virtual     bool      // nothing is carried: the time to confirm runs from the shipment alone
	// ConfirmWithin is the time to confirm from the delivery that was agreed, in place
	// of the policy's; 0 for none. See Order.CheckAgreement.
	ConfirmWithin Seconds
	AgreedAt      time.Time
	Policy        *Policy // the version fixed at agreement

	BuyerAccount  ledger.ID // 2000
	SellerAccount ledger.ID // 2200; the seller's others follow from it, see AccountID

	SellerTier   string // a PolicyWord, by which fees can differ; "" for none
	Jurisdiction string // the seller's, for tax on the fee; "" for none
	// BuyerShare is what of fee and tax the buyer pays on top of the amount. Like
	// them it is for a payment by a method that none of the policy's rules names.
	BuyerShare int64
}

// Progress is what events change. Amounts are minor units.
type Progress struct {
	State      State
	Held       int64 // in the escrow sub-account, frozen or not; what is authorised is not
	Released   int64 // left escrow for the seller, fee and tax included, less what went back since
	Refunded   int64 // went back to the buyer
	FeeCharged int64 // of Released; more than that where the policy keeps it on what goes back
	TaxCharged int64 // likewise
	Maturing   int64 // of Released, waits in 2200 for mature_at, of parts for theirs

	Deadline   Deadline
	DeadlineAt time.Time // zero without a Deadline
	At         time.Time // when the last event took effect
	PaidAt     time.Time // since when money is held, zero if never paid

	Captured       Charge     // what the order comes to where that is not what was agreed at first, zero otherwise; see Order.Charge
	Method         string     // how it was paid, under a policy with fee rules; "" otherwise
	Freeze         ledger.ID  // the pending transfer that the order waits on: the authorised payment, or the freeze of an open dispute or chargeback
	Claim          *Claim     // the open dispute, nil for none; never changed in place
	Aftermath      *Aftermath // what happens to few orders: a change of price, a later deadline that was asked for, chargebacks, what came after the release; nil for nothing; never changed in place
	Parts          *Parts     // what the order was agreed in, nil for the whole at once; never changed in place
	Disputes       int16      // how often the buyer has disputed the order, withdrawn disputes too
	Replaced       int16      // how often until a replacement was shipped, 0 for none: once more is allowed after that
	Holidays       int16      // by how many days of the policy's calendar the deadline was lengthened
	BuyerExtended  int16      // how often the buyer moved this deadline
	SellerExtended int16      // how often the seller did

	// Seq counts the events that took place. Attempt counts the times that
	// the ledger refused the next one.
	Attempt int16
	Seq     int32
}

// Order is one order as it stands after Seq events. It is 512 bytes: what is
// larger costs the garbage collector several times as much (TestSize).
type Order struct {
	Terms
	Progress
}

// Books are the accounts of one ledger that all its orders share.
type Books struct {
	Clearing   ledger.ID // 1100 of the payment's method; of a chargeback, that through which the money came in, zero for none
	Suspense   ledger.ID // 2110
	Collection ledger.ID // 1320
	Receivable ledger.ID // 1300
	Loss       ledger.ID // 5200
	Tax        ledger.ID // 2500
	Fee        ledger.ID // 4100
	Position   ledger.ID // 1400
	Spread     ledger.ID // 4110
}

// Command asks for one event. Fields that the event does not use are ignored.
type Command struct {
	Event Event
	By    Role
	At    time.Time // when it took effect

	// Intent is the id under which the event is recorded; the ids of its
	// transfers are LegID(Intent, attempt, leg).
	Intent    ledger.ID
	Books     *Books  // nil for none; shared by commands, and never changed
	PaidBooks *Books  // of FX's ledger, likewise
	Paid      Payment // chargeback: how the order was paid; only the write path fills it in, from what it has recorded

	Method      string    // pay, authorise: how, one of the policy's methods; pay: or Balance; chargeback: by which method the money had come in, "" for as the order was paid
	Amount      int64     // reprice: what the goods are to cost; pay, authorise, capture: what was paid, 0 for the agreed; refund, dispute: how much, 0 for all that is held; refuse_return: for damage, 0 for none; refund_released: of what was released; chargeback: of what has not gone back
	FX          FX        // pay, chargeback: in another currency than the order's; zero for in its own
	ToSeller    int64     // rule: how much of what is held the seller gets; the buyer gets the rest
	ToBuyer     int64     // rule: the rest, said aloud so that a slip is noticed; offer, accept_offer: what goes back
	Return      bool      // offer, rule: only once the goods are back
	Replacement bool      // offer, rule: other goods in place of those that came; accept_offer: that this was offered
	Evidence    Evidence  // evidence
	Until       time.Time // extend: the new deadline, zero for as far as the policy goes; where both have to agree, what is asked for or agreed to
	Scan        Scan      // track; deliver, deliver_part: when it was noted
	Parts       []string  // ship_part, deliver_part, release_part, track: their names; refund of an order in parts: of which
	Carrier     string    // ship, ship_part, ship_back, ship_replacement
	Tracking    string    // the same: the carrier's number, see Policy.RequireTracking
	Reason      string    // dispute, contest, appeal, refuse_return, cancel, refund, rule, refund_released, chargeback

	// Approval is what a second person's approval of a ruling is recorded under;
	// zero for none. Only the write path fills it in, from what it has recorded.
	Approval ledger.ID
}

// Balance is the method of a payment out of what the buyer has already: money
// that came in late, short, in excess, or in parts by several methods, and what
// was refunded and not sent back yet. Every policy takes it: the money came in
// by a method. The ledger refuses more than there is.
const Balance = "balance"

// Change is what an event does: the order afterwards and the transfers, one
// linked chain with every field but the timestamp filled in.
type Change struct {
	Event  Event
	Before Progress
	After  Order
	Legs   []ledger.Transfer
	// Accounts are those that the legs use and that may not exist yet.
	Accounts []ledger.Account
}

// SetsDeadline reports whether the order gets another deadline than it had, or
// another moment for it.
func (ch *Change) SetsDeadline() bool {
	a, b := &ch.After.Progress, &ch.Before
	return a.Deadline != NoDeadline && (a.Deadline != b.Deadline || !a.DeadlineAt.Equal(b.DeadlineAt))
}

// LegID is the id of a leg (from 0) of an intent's attempt: the intent's id,
// whose last 16 bits are zero, with the attempt in the upper and the leg
// (from 1) in the lower eight of them. It rises with time as the intent's
// does, and any transfer of the ledger names its intent.
func LegID(intent ledger.ID, attempt int16, leg int) ledger.ID {
	intent.Lo = intent.Lo&^0xffff | uint64(uint8(attempt))<<8 | uint64(uint8(leg+1))
	return intent
}

// IntentOf is the intent that a transfer id was made for.
func IntentOf(transfer ledger.ID) ledger.ID {
	transfer.Lo &^= 0xffff
	return transfer
}

// AccountID is the account of a party with the chart's code: the party's id
// with its last 16 bits replaced by the code, so that a seller's accounts
// stand together.
func AccountID(party ledger.ID, code chart.AccountCode) ledger.ID {
	party.Lo = party.Lo&^0xffff | uint64(code)
	return party
}
