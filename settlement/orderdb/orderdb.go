// Package orderdb is the order store: marketplaces, their keys and policies,
// orders and what happened to them, on Postgres by sqlx and lib/pq. It
// decides nothing: settlement/order decides, settlement/posting writes orders.
//
// SQL stands beside the function that runs it. Times are UTC.
package orderdb

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/settlement/order"
)

var (
	// ErrNotFound: there is no such thing, or it is another marketplace's.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name is taken.
	ErrExists = errors.New("exists already")
	// ErrContradiction: rows that cannot stand beside each other do. Nothing
	// was written; a person has to look.
	ErrContradiction = errors.New("the order store contradicts itself")
)

// Store reads and writes the order store.
type Store struct {
	db       *sqlx.DB
	policies sync.Map // int64 to *order.Policy; a version never changes
}

// New is a store on a database whose search_path names the schema.
func New(db *sqlx.DB) *Store { return &Store{db: db} }

// DB is the database itself, for the packages that write orders.
func (s *Store) DB() *sqlx.DB { return s.db }

// ClockKind tells a live marketplace from one whose owner sets the time.
type ClockKind string

// The kinds of clock.
const (
	LiveClock ClockKind = "live"
	TestClock ClockKind = "test"
)

// Marketplace is a tenant. Now and Deadlines are a test clock's: the
// marketplace's now, and the moment up to which deadlines are fired.
type Marketplace struct {
	ID        uint32
	Name      string
	Clock     ClockKind
	Now       time.Time
	Deadlines time.Time
	CreatedAt time.Time

	// OnlyListed: sellers without a mark are not eligible for escrow.
	// SellersMarked: something is said of some, a mark or terms. Without either
	// there is nothing to ask.
	OnlyListed    bool
	SellersMarked bool

	// FourEyesPolicies: a policy is proposed by one person and approved by another.
	FourEyesPolicies bool
}

// At gives the marketplace's now and the moment up to which its deadlines
// fire, for a reading of the machine's clock.
func (m Marketplace) At(machine time.Time) (now, deadlines time.Time) {
	if m.Clock == TestClock {
		return m.Now, m.Deadlines
	}
	t := machine.UTC().Truncate(time.Microsecond)
	return t, t
}

// Key is an API key without its secret.
type Key struct {
	ID          int32
	Marketplace uint32
	Name        string
	Prefix      string
	CreatedAt   time.Time
	RevokedAt   *time.Time
}

// Event is an applied event of an order's timeline.
type Event struct {
	Position        int64 // of its outcome, for Events; 0 where a timeline was asked for
	Order           ledger.ID
	Intent          ledger.ID
	Event           order.Event
	Actor           order.Role
	Data            []byte         // JSON: what the caller said of it; nil for nothing
	After           order.Progress // the order right afterwards; Attempt is not known
	LedgerTimestamp uint64         // nanoseconds UTC; 0 where no money moved
	RecordedAt      time.Time      // when it was decided, the machine's time
}

// Due is an order's place among those with the same deadline.
type Due struct {
	Order ledger.ID
	At    time.Time
}

// DueOf is the order's place.
func DueOf(o *order.Order) Due { return Due{Order: o.ID, At: o.DeadlineAt} }

// sqlState is the five-character code of a Postgres error, "" for none.
func sqlState(err error) string {
	var e *pq.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return ""
}

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }
