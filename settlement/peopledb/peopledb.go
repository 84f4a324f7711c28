// Package peopledb stores what people say around an order: feedback, notes of a
// support case, marks and terms of sellers. settlement/people decides what can be said;
// here it is added, once, and read. SQL stands beside the function that runs
// it. Times are UTC.
//
// Nothing is locked to keep two writers apart: each row has a place of its own
// that is unique, and whoever finds it taken looks again.
package peopledb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/settlement/orderdb"
)

// ErrKeyReused: the idempotency key came before with something else.
var ErrKeyReused = errors.New("idempotency key was used for another request")

// Key makes a writing idempotent within its marketplace: the same Name with the
// same Hash answers what the first one wrote, with another one ErrKeyReused. It
// is of the same keys as those of events. The zero Key is none.
type Key struct {
	Name string
	Hash [32]byte // SHA-256 of route and body
}

// Store reads and writes what people said.
type Store struct {
	db     *sqlx.DB
	orders *orderdb.Store
}

// New is a store in the database of the orders.
func New(orders *orderdb.Store) *Store { return &Store{db: orders.DB(), orders: orders} }

// errTaken: the place that a row was to have is taken.
var errTaken = errors.New("taken by another writer")

// once writes something under a key, in one transaction, or answers the id that
// the key stands for: of what was written when it first came. A place that was
// taken meanwhile is looked at again, so write decides on what it reads.
//
// An orderdb.ErrCommitUnknown says that it may have been written.
func (s *Store) once(ctx context.Context, marketplace uint32, key Key, id ledger.ID, write func(*sqlx.Tx) error) (first ledger.ID, err error) {
	for {
		first, err = s.try(ctx, marketplace, key, id, write)
		if !errors.Is(err, errTaken) || ctx.Err() != nil {
			return first, err
		}
	}
}

func (s *Store) try(ctx context.Context, marketplace uint32, key Key, id ledger.ID, write func(*sqlx.Tx) error) (ledger.ID, error) {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return id, err
	}
	defer tx.Rollback()
	if first, err := use(ctx, tx, marketplace, key, id); err != nil || first != id {
		return first, err
	}
	if err := write(tx); err != nil {
		return id, err
	}
	if err := tx.Commit(); err != nil {
		return id, fmt.Errorf("%w: %w", orderdb.ErrCommitUnknown, err)
	}
	return id, nil
}

// use notes what a key stands for, unless it stands for something: then it
// answers that. Of two transactions that use a key at once the second waits
// here for the first.
func use(ctx context.Context, tx *sqlx.Tx, marketplace uint32, key Key, id ledger.ID) (ledger.ID, error) {
	if key.Name == "" {
		return id, nil
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO idempotency_keys (marketplace, key, hash, intent) VALUES ($1, $2, $3, $4)
		ON CONFLICT DO NOTHING`, marketplace, key.Name, key.Hash[:], id.UUID())
	if err != nil {
		return id, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return id, err
	}
	var (
		hash  []byte
		first uid
	)
	if err := tx.QueryRowContext(ctx, `SELECT hash, intent FROM idempotency_keys WHERE marketplace = $1 AND key = $2`,
		marketplace, key.Name).Scan(&hash, &first); err != nil {
		return id, err
	}
	if string(hash) != string(key.Hash[:]) {
		return id, ErrKeyReused
	}
	return ledger.ID(first), nil
}

// taken makes an errTaken of what says that a place is.
func taken(err error) error {
	var e *pq.Error
	if errors.As(err, &e) && e.Code == "23505" { // unique_violation
		return fmt.Errorf("%w: %w", errTaken, err)
	}
	return err
}

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return orderdb.ErrNotFound
	}
	return err
}

// uid reads a uuid.
type uid ledger.ID

func (u *uid) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok {
		return fmt.Errorf("peopledb: a uuid cannot be read from %T", src)
	}
	id, err := ledger.ParseUUID(string(b))
	*u = uid(id)
	return err
}

type scanner interface{ Scan(dest ...any) error }

// all reads every row by a function that scans one.
func all[T any](rows *sql.Rows, scan func(scanner) (T, error)) ([]T, error) {
	defer rows.Close()
	list := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// micro is what the database keeps of a moment.
func micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
