package orderdb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/settlement/order"
)

// ErrLiveClock: only a test clock can be set.
var ErrLiveClock = errors.New("the marketplace's clock is live")

// rowQueryer is a transaction, or the connection on which one is.
type rowQueryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

const marketplaceColumns = `id, name, clock, clock_now, clock_deadlines, created_at, only_listed_sellers, sellers_marked, four_eyes_policies`

func scanMarketplace(row scanner) (m Marketplace, err error) {
	err = row.Scan(&m.ID, &m.Name, &m.Clock, (*moment)(&m.Now), (*moment)(&m.Deadlines), (*moment)(&m.CreatedAt),
		&m.OnlyListed, &m.SellersMarked, &m.FourEyesPolicies)
	return m, notFound(err)
}

// CreateMarketplace makes a tenant with the standard policy. now is where a
// test clock starts; a live clock ignores it. ErrExists: the name is taken.
func (s *Store) CreateMarketplace(ctx context.Context, name string, clock ClockKind, now time.Time) (Marketplace, error) {
	if clock != LiveClock && clock != TestClock {
		return Marketplace{}, fmt.Errorf("clock must be %s or %s", LiveClock, TestClock)
	}
	if name == "" || len(name) > 100 {
		return Marketplace{}, errors.New("a marketplace's name has 1 to 100 bytes")
	}
	var start any
	if clock == TestClock {
		start = now.UTC().Truncate(time.Microsecond)
	}
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return Marketplace{}, err
	}
	defer tx.Rollback()
	m, err := scanMarketplace(tx.QueryRowContext(ctx,
		`INSERT INTO marketplaces (name, clock, clock_now, clock_deadlines) VALUES ($1, $2, $3, $3)
		 RETURNING `+marketplaceColumns, name, clock, start))
	if sqlState(err) == uniqueViolation {
		return Marketplace{}, fmt.Errorf("marketplace %s: %w", name, ErrExists)
	}
	if err != nil {
		return Marketplace{}, err
	}
	if _, err := addPolicy(ctx, tx, m.ID, order.Standard()); err != nil {
		return Marketplace{}, err
	}
	return m, tx.Commit()
}

const uniqueViolation = "23505"

// Marketplaces lists all of them by id.
func (s *Store) Marketplaces(ctx context.Context) ([]Marketplace, error) {
	return marketplaces(ctx, s.db, `SELECT `+marketplaceColumns+` FROM marketplaces ORDER BY id`)
}

func marketplaces(ctx context.Context, q sqlx.QueryerContext, query string, args ...any) ([]Marketplace, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Marketplace
	for rows.Next() {
		m, err := scanMarketplace(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, rows.Err()
}

// Marketplace is the one with the id, or ErrNotFound.
func (s *Store) Marketplace(ctx context.Context, id uint32) (Marketplace, error) {
	return scanMarketplace(s.db.QueryRowContext(ctx, `SELECT `+marketplaceColumns+` FROM marketplaces WHERE id = $1`, id))
}

// MarketplaceByName is the one with the name, or ErrNotFound.
func (s *Store) MarketplaceByName(ctx context.Context, name string) (Marketplace, error) {
	return scanMarketplace(s.db.QueryRowContext(ctx, `SELECT `+marketplaceColumns+` FROM marketplaces WHERE name = $1`, name))
}

// AdvanceClock moves a test clock to now and lets deadlines fire up to
// deadlines, which is at most now. Time only moves forward: an earlier moment
// leaves the clock as it is. ErrLiveClock: the clock cannot be set.
func (s *Store) AdvanceClock(ctx context.Context, id uint32, now, deadlines time.Time) (Marketplace, error) {
	if deadlines.After(now) {
		return Marketplace{}, errors.New("deadlines cannot fire ahead of the clock")
	}
	m, err := scanMarketplace(s.db.QueryRowContext(ctx,
		`UPDATE marketplaces SET clock_now = greatest(clock_now, $2), clock_deadlines = greatest(clock_deadlines, $3)
		 WHERE id = $1 AND clock = 'test' RETURNING `+marketplaceColumns,
		id, now.UTC().Truncate(time.Microsecond), deadlines.UTC().Truncate(time.Microsecond)))
	if errors.Is(err, ErrNotFound) {
		if _, err := s.Marketplace(ctx, id); err != nil {
			return Marketplace{}, err
		}
		return Marketplace{}, ErrLiveClock
	}
	return m, err
}

// AddPolicy stores the next version of the policy of that name. A document
// that equals the newest version answers that one. The error says all that is
// wrong with the policy; or it is an *order.Refusal, where the marketplace wants
// policies proposed and approved (see Writer.AddPolicy).
func (s *Store) AddPolicy(ctx context.Context, marketplace uint32, p order.Policy) (order.Policy, error) {
	if err := p.Validate(); err != nil {
		return order.Policy{}, err
	}
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return order.Policy{}, err
	}
	defer tx.Rollback()
	var fourEyes bool
	err = tx.QueryRowContext(ctx, lockMarketplaceSQL, marketplace).Scan(&fourEyes)
	if err != nil {
		return order.Policy{}, notFound(err)
	}
	if fourEyes {
		return order.Policy{}, &order.Refusal{Rule: order.RuleFourEyes, Event: "add_policy",
			Detail: "the marketplace wants policies by four eyes: propose it as an entry of kind policy, and another person approves it"}
	}
	p, err = addPolicy(ctx, tx, marketplace, p)
	if err != nil {
		return order.Policy{}, err
	}
	return p, tx.Commit()
}

// lockMarketplaceSQL keeps versions of a policy from being counted twice.
const lockMarketplaceSQL = `SELECT four_eyes_policies FROM marketplaces WHERE id = $1 FOR UPDATE`

// AddPolicy is Store.AddPolicy for a policy that was approved, in the transaction
// that stores the approval. The policy is valid.
func (w *Writer) AddPolicy(ctx context.Context, marketplace uint32, p order.Policy) (order.Policy, error) {
	if err := w.write(ctx); err != nil {
		return order.Policy{}, err
	}
	if err := w.conn.QueryRowContext(ctx, lockMarketplaceSQL, marketplace).Scan(new(bool)); err != nil {
		return order.Policy{}, err
	}
	return addPolicy(ctx, w.conn, marketplace, p)
}

// SetFourEyesPolicies says whether the marketplace's policies are proposed by one
// person and approved by another from now on.
func (s *Store) SetFourEyesPolicies(ctx context.Context, id uint32, on bool) (Marketplace, error) {
	return scanMarketplace(s.db.QueryRowContext(ctx, `UPDATE marketplaces SET four_eyes_policies = $2 WHERE id = $1 RETURNING `+marketplaceColumns, id, on))
}

func addPolicy(ctx context.Context, tx rowQueryer, marketplace uint32, p order.Policy) (order.Policy, error) {
	p.Version, p.Effective = 0, p.Effective.UTC() // one instant, one document
	document, err := json.Marshal(p)
	if err != nil {
		return p, err
	}
	row := tx.QueryRowContext(ctx,
		`SELECT id, version FROM policies p WHERE marketplace = $1 AND name = $2
		   AND document = $3 AND version = (SELECT max(version) FROM policies WHERE marketplace = $1 AND name = $2)`,
		marketplace, p.Name, string(document))
	if err := notFound(row.Scan(&p.ID, &p.Version)); !errors.Is(err, ErrNotFound) {
		return p, err
	}
	err = tx.QueryRowContext(ctx,
		`INSERT INTO policies (marketplace, name, version, document)
		 SELECT $1, $2, coalesce(max(version), 0) + 1, $3 FROM policies WHERE marketplace = $1 AND name = $2
		 RETURNING id, version`, marketplace, p.Name, string(document)).Scan(&p.ID, &p.Version)
	return p, err
}

// Policies lists, of each of the marketplace's policies, the version that is in
// force at a moment of the marketplace's time and those that come into force
// later; by name and version. One that a newer one takes the place of before
// its time is never used, and not listed.
func (s *Store) Policies(ctx context.Context, marketplace uint32, at time.Time) ([]*order.Policy, error) {
	return policies(ctx, s.db, `WITH v AS (
			SELECT *, coalesce((document->>'effective')::timestamptz, '-infinity') AS effective FROM policies WHERE marketplace = $1)
		SELECT id, version, document FROM v WHERE NOT EXISTS (
			SELECT FROM v n WHERE n.name = v.name AND n.version > v.version AND n.effective <= greatest(v.effective, $2))
		ORDER BY name, version`, marketplace, at)
}

// Versions are those of a policy that are in force at a moment of the
// marketplace's time, or come into force later; order.InForce picks one.
func (s *Store) Versions(ctx context.Context, marketplace uint32, name string, at time.Time) ([]*order.Policy, error) {
	return policies(ctx, s.db, versionsSQL, marketplace, at, name)
}

// versionsSQL leaves out what is older than the newest version that is in force
// at $2: it is never used from then on.
const versionsSQL = `SELECT id, version, document FROM policies WHERE marketplace = $1 AND name = $3
	AND version >= coalesce((SELECT max(version) FROM policies WHERE marketplace = $1 AND name = $3
		AND coalesce((document->>'effective')::timestamptz, '-infinity') <= $2), 0)`

func policies(ctx context.Context, q sqlx.QueryerContext, query string, args ...any) ([]*order.Policy, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []*order.Policy
	for rows.Next() {
		p, err := scanPolicy(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// policy is the version with the id. A version never changes, so each is read
// once.
func (s *Store) policy(ctx context.Context, q sqlx.QueryerContext, id int64) (*order.Policy, error) {
	if p, ok := s.policies.Load(id); ok {
		return p.(*order.Policy), nil
	}
	p, err := scanPolicy(q.QueryRowxContext(ctx, `SELECT id, version, document FROM policies WHERE id = $1`, id))
	if err != nil {
		return nil, fmt.Errorf("policy %d: %w", id, err)
	}
	s.policies.Store(id, p)
	return p, nil
}

func scanPolicy(row scanner) (*order.Policy, error) {
	var (
		p        order.Policy
		id       int64
		version  int32
		document []byte
	)
	if err := row.Scan(&id, &version, &document); err != nil {
		return nil, notFound(err)
	}
	if err := json.Unmarshal(document, &p); err != nil {
		return nil, err
	}
	p.ID, p.Version = id, version
	return &p, nil
}
