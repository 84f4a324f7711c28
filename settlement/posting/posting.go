// Package posting is the one write path of escrowd: whatever moves an order
// on, a request or a job, comes through Do.
//
//	intent    one Postgres transaction decides (order.Plan) and stores what
//	          is to happen, every transfer with its id and flags. COMMIT.
//	submit    the stored transfers go to the ledger, many intents in one
//	          batch, a chain never split.
//	classify  what the ledger answered: applied, rejected, frozen, or unknown;
//	          an unknown one is sent again, same ids, until it is known.
//	record    the outcome is written where there was none, the order moves on:
//	          one transaction. Then the caller hears.
//	redrive   intents that nobody finished (a crash) go back to submit.
//
// TigerBeetle cannot join a Postgres transaction, and the embedded engine
// does not pretend to: one failure model for both. An event is applied if and
// only if all its transfers stand in the ledger; ids are stored before they
// are used, so sending them again changes nothing.
//
// Three stages run at once, joined by channels: one decides, one talks to the
// ledger, one records, the first and the last each on a connection of its own.
// While a batch is in the ledger the next is gathered, so the more callers
// there are, the more share a commit.
//
// Who cannot be served soon is told so soon: a request that is not decided
// within Options.MaxWait is turned away, and so is whoever comes while the
// first in line has waited for half of that (door.go).
//
// What keeps two events of one order apart is no lock but the UNIQUE
// (order, seq, attempt) of the intents: the second finds the place taken,
// whichever process decided it.
package posting

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/treasury"
)

// Request asks for one event of one order; a payment may cover several.
type Request struct {
	Marketplace uint32

	// Key makes the request idempotent within its marketplace: the same Key
	// with the same Hash answers what the first one did, with another Hash
	// ErrKeyReused. "" for none. Hash covers the route and the body.
	Key  string
	Hash [32]byte

	Agreement *Agreement  // agree: what was agreed
	Orders    []ledger.ID // every other event: the order; several for pay only

	// Entry asks for an event of an entry instead, money that moves for no
	// order. Command is not used then, and Orders is what OrdersOf says.
	Entry *EntryRequest

	// Seen is the order, for a caller who has just read it: it is not read
	// again then unless it turns out to have moved on. Nil if not.
	Seen *order.Order

	// Command says what happened. At zero means the marketplace's now. By ""
	// means the one who usually does it. Intent and Books are filled in here.
	Command order.Command

	// Data is what the caller said of the event, kept on the timeline.
	Data json.RawMessage

	// Patient requests are never turned away for being many, and make room for
	// the others: a job's, which nobody waits for. All of one DoAll are, or none.
	Patient bool
}

// EntryRequest asks for one event of an entry.
type EntryRequest struct {
	New     *treasury.Terms  // makes the entry; ID, Marketplace and MadeAt are filled in here
	ID      ledger.ID        // every other event: the entry
	Command treasury.Command // At zero means the marketplace's now, By "" the operator
}

// Agreement is what buyer and seller agreed. Amounts are minor units.
type Agreement struct {
	Reference  string // the marketplace's own, unique within it
	Buyer      string
	Seller     string
	Currency   string // ISO 4217 code
	Amount     int64  // what the goods cost
	Category   string // what kind of goods, a policy word; "" for none
	SellerTier string // a policy word; "" for what the marketplace keeps of the seller, if anything
	// Jurisdiction is the seller's, like DE or US-CA; "" likewise.
	Jurisdiction string
	recorded     bool   // Jurisdiction is what the marketplace keeps of the seller
	Policy       string // by name, its newest version in force; "" for the standard one
	ShipByDate   time.Time
	Virtual      bool // nothing is carried
	// ConfirmWithin is the time to confirm from the delivery, in place of the policy's;
	// 0 for that.
	ConfirmWithin order.Seconds
	Parts         []order.PartTerms // none: all is shipped and released at once
}

// Result is an applied event.
type Result struct {
	Intent          ledger.ID
	Orders          []order.Order   // as they stand right after the event
	Entry           *treasury.Entry // the same, of an entry's event
	LedgerTimestamp uint64          // nanoseconds UTC, 0 where no money moved
	Replayed        bool            // an earlier request with the same key did it
}

// Answer is a Result or why there is none.
type Answer struct {
	Result Result
	Err    error
}

// Besides these a request ends with an *order.Refusal (the event cannot
// happen), a *Rejected (the ledger refused the money) or an *Invalid one.
var (
	// ErrNotFound: no such order, or another marketplace's.
	ErrNotFound = errors.New("no such order")
	// ErrKeyReused: the idempotency key came before with something else.
	ErrKeyReused = errors.New("idempotency key was used for another request")
	// ErrUnavailable: the database does not answer, or it is ErrBusy. Nothing
	// was decided; the request can be sent again.
	ErrUnavailable = errors.New("not available at the moment; nothing was decided")
	// ErrBusy is the ErrUnavailable of a write path that has more to do than
	// it can within Options.MaxWait.
	ErrBusy = fmt.Errorf("%w: too many requests wait already", ErrUnavailable)
	// ErrUnknown: the request was accepted or may have been, and its outcome
	// is not known yet. The same request with the same key tells it later.
	ErrUnknown = errors.New("outcome not known yet")
)

var errClosing = fmt.Errorf("%w: shutting down", ErrUnavailable)

// Invalid says what is wrong with a request before any order is looked at.
type Invalid struct {
	Field  string
	Detail string
}

func (e *Invalid) Error() string { return e.Field + ": " + e.Detail }

// ReferenceTaken: the marketplace has an order with this reference.
type ReferenceTaken struct{ Reference string }

func (e *ReferenceTaken) Error() string {
	return fmt.Sprintf("an order with reference %q exists", e.Reference)
}

// Rejected is the ledger's refusal of an event's transfers. Nothing moved.
type Rejected struct {
	Intent ledger.ID
	Reason string // TigerBeetle's status, such as exceeds_credits
	// Frozen: the ledger holds something else under the ids of this event.
	// That cannot happen unless something is badly wrong, so the order stands
	// still until a person has looked.
	Frozen bool
}

func (e *Rejected) Error() string {
	if e.Frozen {
		return "frozen: the ledger holds something else under this event's ids: " + e.Reason
	}
	return "the ledger refused: " + e.Reason
}

// RuleFuture refuses an event that would take effect after the marketplace's
// now; see order.Refusal.
const RuleFuture = "future"
