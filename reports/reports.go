// Package reports answers what finance asks of the books. Each report is a
// query to typed rows; reports/render makes a table, CSV or JSON of any of
// them. A report never writes.
//
// # One moment
//
// All queries of a report run in one REPEATABLE READ, READ ONLY transaction,
// so its numbers are of one moment, however busy the books are meanwhile.
// Head.LedgerTimestamp says which: the newest transfer in the journal then.
//
// # As of T
//
// Two bases answer two questions. Effective: what had taken effect up to and
// including T, by the marketplace's own time (user_data_64, microseconds); a
// movement that is booked late still counts from when it took effect. Booked:
// what stood in the books at T, by the ledger's timestamp; this never changes
// afterwards. A linked chain is booked when its last leg is, so a T between
// two legs of one event does not show half of it.
//
// Where the ledger is TigerBeetle, the journal is a copy that follows it, a few
// seconds behind at most times. Its newest transfer is then not the ledger's;
// Head.MirroredTo says up to when the copy is complete.
//
// Without T a report takes all that stands in the books, and each order's age
// by the clock of its marketplace, be it live or a test clock.
//
// # What counts
//
// Posted money. A pending transfer (an authorisation, the freeze of a
// dispute) reserves and does not move; its post counts with the post's
// amount, its void moves nothing although its row carries an amount
// (docs.tigerbeetle.com, "Two-Phase Transfers"). Amounts are minor units. A
// balance is positive on the account's normal side (chart.Side), and debits
// less credits where the chart says that it may stand on either.
package reports

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger/chart"
)

// Basis says which time of a movement decides whether it counts as of T.
type Basis string

// The bases.
const (
	Effective Basis = "effective" // when it took effect
	Booked    Basis = "booked"    // when the ledger booked it
)

// Options select what a report covers. The zero value is everything, now.
type Options struct {
	AsOf        time.Time // inclusive; zero for all that stands in the books
	Basis       Basis     // "" means Effective
	Marketplace string    // name or number; "" for all
	Currency    string    // ISO 4217 code; "" for all

	// Idle is how long a balance has to lie still to be dormant; 0 means
	// DefaultIdle.
	Idle time.Duration

	// Now is the machine's time, the clock of the live marketplaces. Without
	// AsOf it dates the report.
	Now time.Time
}

// BadOption says what is wrong with an option: the caller's mistake.
type BadOption struct {
	Option string // "marketplace", "currency", "basis" or "idle-days"
	Detail string
}

func (e *BadOption) Error() string { return e.Option + ": " + e.Detail }

// Head says what a report is about.
type Head struct {
	Report          string    // its name: "trial-balance"
	Title           string    // for people
	AsOf            time.Time // UTC
	Open            bool      // no moment was asked for: all that stands in the books counts
	Basis           Basis
	LedgerTimestamp uint64 // newest transfer in the journal when it was read, ns since 1970 UTC; 0 for none
	Scope           string // for people: which marketplaces and currencies

	// Mirrored: the journal is a copy of a ledger elsewhere. All that stood
	// there at MirroredTo, and maybe more, is in it; MirrorLag is how long ago
	// that was. Both are zero while it was never complete.
	Mirrored   bool
	MirroredTo time.Time
	MirrorLag  time.Duration
}

// Of is a report with rows of one type.
type Of[Row any] struct {
	Head   Head
	Rows   []Row
	Totals []Row // per currency, for people; the fields that make no sense in a total are empty
	// Problems say what does not add up. A report that has any must not be
	// relied on, and is shown all the same: its numbers are where to look.
	Problems []string
	// Notes say what a reader of the numbers should know.
	Notes []string
}

// Sheet is a report whose rows are of any type: a slice of structs, whose
// fields are the columns. See reports/render.
type Sheet interface {
	Heading() Head
	Lines() (rows, totals any)
	Findings() (problems, notes []string)
}

// Heading is what the report is about.
func (r *Of[Row]) Heading() Head { return r.Head }

// Lines are Rows and Totals.
func (r *Of[Row]) Lines() (rows, totals any) { return r.Rows, r.Totals }

// Findings are Problems and Notes.
func (r *Of[Row]) Findings() (problems, notes []string) { return r.Problems, r.Notes }

// Kind is a report by name.
type Kind struct {
	Name   string // stable: in commands and JSON
	About  string
	Detail string // what the detailed form has a row for
	Run    func(ctx context.Context, b *Books, o Options, detail bool) (Sheet, error)
}

// Kinds lists the reports.
var Kinds = []Kind{
	{
		Name:   "trial-balance",
		About:  "debits, credits and balance of each account of the chart, by currency; debits equal credits or it says so",
		Detail: "account",
		Run: func(ctx context.Context, b *Books, o Options, detail bool) (Sheet, error) {
			if detail {
				return sheet(b.TrialBalanceByAccount(ctx, o))
			}
			return sheet(b.TrialBalance(ctx, o))
		},
	},
	{
		Name:   "held-funds",
		About:  "money held in escrow by age, with why it is held, who must act and the earliest deadline; checked against the ledger",
		Detail: "order",
		Run: func(ctx context.Context, b *Books, o Options, detail bool) (Sheet, error) {
			if detail {
				return sheet(b.HeldFundsByOrder(ctx, o))
			}
			return sheet(b.HeldFunds(ctx, o))
		},
	},
	{
		Name:   "dormant",
		About:  "balances of buyers and sellers that have not moved for half a year, or as long as --idle-days says",
		Detail: "account",
		Run: func(ctx context.Context, b *Books, o Options, detail bool) (Sheet, error) {
			if detail {
				return sheet(b.DormantByAccount(ctx, o))
			}
			return sheet(b.Dormant(ctx, o))
		},
	},
	{
		Name:   "fx-position",
		About:  "what was exchanged in each currency, by marketplace: the FX position (1400) and the spread that was kept (4110)",
		Detail: "movement",
		Run: func(ctx context.Context, b *Books, o Options, detail bool) (Sheet, error) {
			if detail {
				return sheet(b.FXMovements(ctx, o))
			}
			return sheet(b.FXPosition(ctx, o))
		},
	},
}

// sheet keeps a nil pointer from becoming a Sheet that is not nil.
func sheet[Row any](r *Of[Row], err error) (Sheet, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Books reads the journal and the order store.
type Books struct{ db *sqlx.DB }

// New reads from a database whose search_path names the schema. A role that
// may only SELECT is enough.
func New(db *sqlx.DB) *Books { return &Books{db: db} }

// currencyOf is the code of the ledger's currency. A ledger that no
// marketplace can have shows as its number, rather than not at all.
func currencyOf(ledger uint32) string {
	if _, c, ok := chart.SplitLedger(ledger); ok {
		return c.Code
	}
	return fmt.Sprintf("ledger %d", ledger)
}
