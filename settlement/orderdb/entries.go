package orderdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/ledger/pgrows"
	"escrowd/settlement/order"
	"escrowd/settlement/treasury"
)

// Entries are few beside orders, so their statements are plain ones that are
// ready for a conflict at once.

// EntryEvent is an applied event of an entry.
type EntryEvent struct {
	Intent          ledger.ID
	Seq             int32
	Event           treasury.Event
	Actor           order.Role
	State           treasury.State // the entry's after it
	At              time.Time
	Said            treasury.Said
	LedgerTimestamp uint64    // nanoseconds UTC; 0 where no money moved
	RecordedAt      time.Time // when it was decided, the machine's time
}

const entryColumns = `e.id, e.marketplace, e.kind, e.ledger, coalesce(e.reference, ''), e.party, e.method, e.amount, e.fee, e.terms,
	e.maker, e.made_at, e.seq, e.attempt, e.state, e.owner, e.pending_id, e.due_at, e.at`

// entryAfterColumns are the same of an entry right after intents AS i.
const entryAfterColumns = `e.id, e.marketplace, e.kind, e.ledger, coalesce(e.reference, ''), e.party, e.method, e.amount, e.fee, e.terms,
	e.maker, e.made_at, i.seq, 0::smallint, i.state, coalesce(i.data->>'owner', ''), i.freeze_id, i.deadline_at, i.at`

// otherTerms are those that have no column of their own.
type otherTerms struct {
	Debit   treasury.Account   `json:"debit,omitzero"`
	Credit  treasury.Account   `json:"credit,omitzero"`
	Details json.RawMessage    `json:"details,omitempty"`
	Reason  string             `json:"reason,omitempty"`
	To      treasury.ConvertTo `json:"to,omitzero"`
}

func scanEntry(row scanner, e *treasury.Entry, more ...any) error {
	var terms []byte
	if err := row.Scan(append([]any{(*uid)(&e.ID), &e.Marketplace, &e.Kind, &e.Ledger, &e.Reference, &e.Party, &e.Method, &e.Amount, &e.Fee, &terms,
		&e.Maker, (*moment)(&e.MadeAt), &e.Seq, &e.Attempt, &e.State, &e.Owner, (*uid)(&e.Pending), (*moment)(&e.DueAt), (*moment)(&e.At)}, more...)...); err != nil {
		return err
	}
	var other otherTerms
	if err := json.Unmarshal(terms, &other); err != nil {
		return fmt.Errorf("entry %s: %w", e.ID.UUID(), err)
	}
	e.Debit, e.Credit, e.Details, e.Reason, e.To = other.Debit, other.Credit, other.Details, other.Reason, other.To
	return nil
}

func (s *Store) entries(ctx context.Context, query string, args ...any) ([]treasury.Entry, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []treasury.Entry
	for rows.Next() {
		var e treasury.Entry
		if err := scanEntry(rows, &e); err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

// Entry is the marketplace's entry with the id, or ErrNotFound.
func (s *Store) Entry(ctx context.Context, marketplace uint32, id ledger.ID) (e treasury.Entry, err error) {
	list, err := s.entries(ctx, `SELECT `+entryColumns+` FROM entries e WHERE e.id = $1 AND e.marketplace = $2`, id.UUID(), marketplace)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return e, err
	}
	return list[0], nil
}

// EntryFilter selects entries. Zero fields select all.
type EntryFilter struct {
	Kind  treasury.Kind
	State treasury.State
	Owner string
	After ledger.ID // only entries with a larger id
	Limit int       // at most so many; 0 means 100
}

// Entries lists the marketplace's entries by id, that is by age.
func (s *Store) Entries(ctx context.Context, marketplace uint32, f EntryFilter) ([]treasury.Entry, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	return s.entries(ctx, `SELECT `+entryColumns+` FROM entries e
		WHERE e.marketplace = $1 AND e.id > $2 AND ($3 = '' OR e.kind = $3) AND ($4 = '' OR e.state = $4) AND ($5 = '' OR e.owner = $5)
		ORDER BY e.id LIMIT $6`, marketplace, f.After.UUID(), string(f.Kind), string(f.State), f.Owner, f.Limit)
}

// EntryEvents is all that happened to an entry, in order.
func (s *Store) EntryEvents(ctx context.Context, id ledger.ID) ([]EntryEvent, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT intent, seq, event, actor, state, at, data, coalesce(ledger_timestamp, 0), created_at
		FROM entry_events WHERE entry = $1 ORDER BY seq`, id.UUID())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []EntryEvent
	for rows.Next() {
		var e EntryEvent
		var said []byte
		if err := rows.Scan((*uid)(&e.Intent), &e.Seq, &e.Event, &e.Actor, &e.State, (*moment)(&e.At), &said, &e.LedgerTimestamp, (*moment)(&e.RecordedAt)); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(said, &e.Said); err != nil {
			return nil, fmt.Errorf("event %s: %w", e.Intent.UUID(), err)
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

// ExpiredProposals lists proposals of the marketplace that expire at or before
// until, after one: at most limit.
func (s *Store) ExpiredProposals(ctx context.Context, marketplace uint32, until time.Time, after Due, limit int) ([]treasury.Entry, error) {
	return s.entries(ctx, `SELECT `+entryColumns+` FROM entries e
		WHERE e.due_at <= $2 AND e.due_at >= $3 AND (e.due_at, e.id) > ($3, $4) AND e.marketplace = $1 AND e.state = 'proposed'
		ORDER BY e.due_at, e.id LIMIT $5`, marketplace, until, after.since(), after.Order.UUID(), limit)
}

// Schedule says when a seller is paid out.
type Schedule string

// The schedules. A weekly one pays on Mondays, a monthly one on the first.
const (
	Manual  Schedule = "manual"
	Daily   Schedule = "daily"
	Weekly  Schedule = "weekly"
	Monthly Schedule = "monthly"
)

// Payee is a seller as one who is paid out.
type Payee struct {
	Seller   string
	Schedule Schedule
	Minimum  int64  // minor units of whichever currency; less is not paid out by the schedule
	Blocked  string // why the seller is not paid out; "" if it is
}

// SetPayee says how a seller is paid out from now on.
func (s *Store) SetPayee(ctx context.Context, marketplace uint32, p Payee) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO payees (marketplace, seller, schedule, minimum, blocked) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (marketplace, seller) DO UPDATE SET schedule = excluded.schedule, minimum = excluded.minimum, blocked = excluded.blocked, changed_at = now()`,
		marketplace, p.Seller, p.Schedule, p.Minimum, p.Blocked)
	return err
}

// Payee is how a seller is paid out; one of whom nothing was said is paid by
// hand alone.
func (s *Store) Payee(ctx context.Context, marketplace uint32, seller string) (Payee, error) {
	p := Payee{Seller: seller, Schedule: Manual}
	err := s.db.QueryRowContext(ctx, `SELECT schedule, minimum, blocked FROM payees WHERE marketplace = $1 AND seller = $2`, marketplace, seller).
		Scan(&p.Schedule, &p.Minimum, &p.Blocked)
	if errors.Is(notFound(err), ErrNotFound) {
		err = nil
	}
	return p, err
}

// SellerAccounts are what one seller has and owes in one ledger.
type SellerAccounts struct {
	Payee
	Ledger    uint32
	Available ledger.ID // 2210
	Debt      ledger.ID // 1310; zero if the seller never owed anything
}

// SellersToPay lists sellers of the marketplace who are paid out by one of the
// schedules, ledger by ledger, after one seller's: at most limit.
func (s *Store) SellersToPay(ctx context.Context, marketplace uint32, schedules []Schedule, after SellerAccounts, limit int) ([]SellerAccounts, error) {
	words := make([]string, len(schedules))
	for i, k := range schedules {
		words[i] = string(k)
	}
	rows, err := s.db.QueryContext(ctx, `SELECT p.seller, p.schedule, p.minimum, p.blocked, a.ledger, a.id, d.id
		FROM payees p
		JOIN accounts a ON a.owner = p.seller AND a.code = $2 AND a.ledger BETWEEN p.marketplace::bigint * 1000 AND p.marketplace::bigint * 1000 + 999
		LEFT JOIN accounts d ON d.ledger = a.ledger AND d.code = $3 AND d.owner = p.seller
		WHERE p.marketplace = $1 AND p.schedule = ANY($4) AND (p.seller, a.ledger) > ($5, $6)
		ORDER BY p.seller, a.ledger LIMIT $7`,
		marketplace, int(chart.SellerAvailable), int(chart.SellerReceivable), pq.StringArray(words), after.Seller, after.Ledger, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []SellerAccounts
	for rows.Next() {
		var a SellerAccounts
		if err := rows.Scan(&a.Seller, &a.Schedule, &a.Minimum, &a.Blocked, &a.Ledger, (*uid)(&a.Available), (*uid)(&a.Debt)); err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, rows.Err()
}

// BankDetails is the marketplace's entry with the seller's approved bank
// details, the newest, or ErrNotFound.
func (s *Store) BankDetails(ctx context.Context, marketplace uint32, seller string) (treasury.Entry, error) {
	list, err := s.entries(ctx, `SELECT `+entryColumns+` FROM entries e
		WHERE e.marketplace = $1 AND e.party = $2 AND e.kind = 'bank_details' AND e.state = 'done' ORDER BY e.at DESC, e.id DESC LIMIT 1`, marketplace, seller)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return treasury.Entry{}, err
	}
	return list[0], nil
}

// PayeeName is a seller within a marketplace.
type PayeeName struct {
	Marketplace uint32
	Seller      string
}

// PayoutStanding is what the write path has to know of a seller before it pays
// out.
type PayoutStanding struct {
	Verified ledger.ID // the entry with the approved bank details, zero for none
	Blocked  string
}

var payeeNames = pgrows.Table{Columns: []pgrows.Column{{Name: "marketplace", Kind: "int"}, {Name: "seller", Kind: "text"}}}

// PayoutStandings reads them in the transaction that decides.
func (w *Writer) PayoutStandings(ctx context.Context, names []PayeeName) (map[PayeeName]PayoutStanding, error) {
	rows, err := w.conn.QueryContext(ctx, `SELECT u.marketplace, u.seller, e.id, coalesce(p.blocked, '') FROM `+payeeNames.Unnest(pgrows.From(1))+`
		LEFT JOIN LATERAL (SELECT e.id FROM entries e WHERE e.marketplace = u.marketplace AND e.party = u.seller AND e.kind = 'bank_details' AND e.state = 'done'
			ORDER BY e.at DESC, e.id DESC LIMIT 1) e ON true
		LEFT JOIN payees p ON p.marketplace = u.marketplace AND p.seller = u.seller`,
		payeeNames.Arrays(len(names), func(f *pgrows.Fields, i int) {
			f.Number(uint64(names[i].Marketplace))
			f.Text(names[i].Seller)
		})...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[PayeeName]PayoutStanding{}
	for rows.Next() {
		var n PayeeName
		var st PayoutStanding
		if err := rows.Scan(&n.Marketplace, &n.Seller, (*uid)(&st.Verified), &st.Blocked); err != nil {
			return nil, err
		}
		found[n] = st
	}
	return found, rows.Err()
}

// LoadEntries reads entries by id.
func (w *Writer) LoadEntries(ctx context.Context, ids []ledger.ID) (map[ledger.ID]treasury.Entry, error) {
	rows, err := w.conn.QueryContext(ctx, `SELECT `+entryColumns+` FROM entries e WHERE e.id = ANY($1::uuid[])`, uids(ids))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[ledger.ID]treasury.Entry{}
	for rows.Next() {
		var e treasury.Entry
		if err := scanEntry(rows, &e); err != nil {
			return nil, err
		}
		found[e.ID] = e
	}
	return found, rows.Err()
}

var entriesTable = pgrows.Table{Name: "entries", Columns: []pgrows.Column{
	{Name: "id", Kind: "uuid"}, {Name: "marketplace", Kind: "int"}, {Name: "kind", Kind: "text"}, {Name: "ledger", Kind: "bigint"},
	{Name: "reference", Kind: "text"}, {Name: "party", Kind: "text"}, {Name: "method", Kind: "text"}, {Name: "amount", Kind: "bigint"},
	{Name: "fee", Kind: "bigint"}, {Name: "terms", Kind: "json"}, {Name: "maker", Kind: "text"}, {Name: "made_at", Kind: "timestamptz"},
	{Name: "at", Kind: "timestamptz"},
}}

// InsertEntries writes entries just made, before their first event, and answers
// the ids of those whose reference was not taken; the others are not written.
func (w *Writer) InsertEntries(ctx context.Context, list []treasury.Terms) (map[ledger.ID]bool, error) {
	if err := w.write(ctx); err != nil {
		return nil, err
	}
	others := make([]string, len(list))
	for i, t := range list {
		b, err := json.Marshal(otherTerms{t.Debit, t.Credit, t.Details, t.Reason, t.To})
		if err != nil {
			return nil, err
		}
		others[i] = string(b)
	}
	rows, err := w.conn.QueryContext(ctx, entriesTable.Insert(1)+` ON CONFLICT (marketplace, kind, reference) DO NOTHING RETURNING id`,
		entriesTable.Arrays(len(list), func(f *pgrows.Fields, i int) {
			t := &list[i]
			f.ID(t.ID)
			f.Number(uint64(t.Marketplace))
			f.Word(string(t.Kind))
			f.Number(uint64(t.Ledger))
			f.TextOrNull(t.Reference)
			f.Text(t.Party)
			f.Text(t.Method)
			f.Int(t.Amount)
			f.Int(t.Fee)
			f.Text(others[i])
			f.Text(t.Maker)
			f.Time(t.MadeAt)
			f.Time(t.MadeAt)
		})...)
	if err != nil {
		return nil, err
	}
	ids, err := readIDs(rows)
	return setOf(ids), err
}

// EntryIntent is one decided event of an entry, as it is stored.
type EntryIntent struct {
	ID       ledger.ID
	Chain    ledger.ID // the first intent of the chain: its own, or that of the order's event which it goes with
	Position int16     // in the chain
	Entry    treasury.Entry
	Attempt  int16
	Event    treasury.Event
	Actor    order.Role
	Said     treasury.Said
	Accounts []ledger.Account
	Legs     []ledger.Transfer
}

// An entry's intent is a row of intents like an order's, in which the columns
// of an order's money are 0.
var entryIntentsTable = pgrows.Table{Name: intentsTable.Name, Columns: append(append([]pgrows.Column{}, intentsTable.Columns...), pgrows.Column{Name: "entry", Kind: "boolean"})}

// InsertEntryIntents stores what was decided and answers the ids of those whose
// place in their entry was free.
func (w *Writer) InsertEntryIntents(ctx context.Context, list []EntryIntent) (map[ledger.ID]bool, error) {
	if err := w.write(ctx); err != nil {
		return nil, err
	}
	intents := make([]Intent, len(list))
	for i, n := range list {
		n.Said.Owner = n.Entry.Owner
		said, err := json.Marshal(n.Said)
		if err != nil {
			return nil, err
		}
		intents[i] = Intent{ID: n.ID, Chain: n.Chain, Position: n.Position, Attempt: n.Attempt, Event: order.Event(n.Event), Actor: n.Actor, Data: said, Accounts: n.Accounts, Legs: n.Legs,
			Order: &order.Order{Terms: order.Terms{ID: n.Entry.ID, Marketplace: n.Entry.Marketplace},
				Progress: order.Progress{Seq: n.Entry.Seq, State: order.State(n.Entry.State), At: n.Entry.At, DeadlineAt: n.Entry.DueAt, Freeze: n.Entry.Pending}}}
	}
	put, err := putIntents(intents)
	if err != nil {
		return nil, err
	}
	rows, err := w.conn.QueryContext(ctx, entryIntentsTable.Insert(1)+` ON CONFLICT (order_id, seq, attempt) DO NOTHING RETURNING id`,
		entryIntentsTable.Arrays(len(intents), func(f *pgrows.Fields, i int) {
			put(f, i)
			f.Bool(true)
		})...)
	if err != nil {
		return nil, err
	}
	ids, err := readIDs(rows)
	return setOf(ids), err
}

const (
	moveEntriesSQL = `UPDATE entries e SET seq = i.seq, attempt = 0, state = i.state, owner = coalesce(i.data->>'owner', ''),
		pending_id = i.freeze_id, due_at = i.deadline_at, at = i.at
		FROM intents i WHERE i.id = ANY($1::uuid[]) AND e.id = i.order_id AND e.seq = i.seq - 1`

	// An entry that never came to be stays as one that was refused.
	refuseEntriesSQL = `UPDATE entries e SET attempt = i.attempt + 1, state = CASE WHEN e.seq = 0 THEN 'refused' ELSE e.state END
		FROM intents i WHERE i.id = ANY($1::uuid[]) AND e.id = i.order_id AND e.seq = i.seq - 1 AND e.attempt = i.attempt`
)

// moveEntries moves on the entries of intents that were applied, and notes
// those that the ledger refused. As with orders, each intent must find its
// entry just before it.
func (w *Writer) moveEntries(ctx context.Context, r *Recording, set map[ledger.ID]bool) error {
	applied, refused := r.movers(set, true)
	for _, m := range []struct {
		sql string
		ids []ledger.ID
	}{{moveEntriesSQL, applied}, {refuseEntriesSQL, refused}} {
		if len(m.ids) == 0 {
			continue
		}
		res, err := w.conn.ExecContext(ctx, m.sql, uids(m.ids))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || int(n) != len(m.ids) {
			return errors.Join(fmt.Errorf("%w: %d of %d entries stand where their intents say", ErrContradiction, n, len(m.ids)), err)
		}
	}
	return nil
}

// EntryChains reads the intents of chains that are entries', with the entries as
// they stood right after them.
func (w *Writer) EntryChains(ctx context.Context, chains []ledger.ID) ([]Recorded, error) {
	first, last := chainRanges(chains)
	rows, err := w.conn.QueryContext(ctx, `SELECT `+entryAfterColumns+`, i.id, i.chain, coalesce(c.outcome, ''), coalesce(c.reason, ''), coalesce(c.ledger_timestamp, 0)
		FROM unnest($1::uuid[], $2::uuid[]) AS q (first, last)
		JOIN intents i ON i.id BETWEEN q.first AND q.last JOIN entries e ON e.id = i.order_id LEFT JOIN outcomes c ON c.intent = i.id
		WHERE i.entry ORDER BY i.id`, first, last)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Recorded
	for rows.Next() {
		r := Recorded{Entry: &treasury.Entry{}}
		if err := scanEntry(rows, r.Entry, (*uid)(&r.Intent), (*uid)(&r.Chain), &r.Outcome, &r.Reason, &r.LedgerTimestamp); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// PaidOut reports whether the scheduled payouts of a period are through.
func (s *Store) PaidOut(ctx context.Context, marketplace uint32, period string) (through bool, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM payout_runs WHERE marketplace = $1 AND period = $2)`, marketplace, period).Scan(&through)
	return through, err
}

// SetPaidOut notes that they are.
func (s *Store) SetPaidOut(ctx context.Context, marketplace uint32, period string) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO payout_runs (marketplace, period) VALUES ($1, $2) ON CONFLICT DO NOTHING`, marketplace, period)
	return err
}

// EntryPlace is where entries of a kind stand.
type EntryPlace struct {
	Kind  treasury.Kind
	State treasury.State
}

// EntryCount is how many stand there, and how many of them should have been
// heard of.
type EntryCount struct{ Open, Overdue int64 }

// OpenEntries counts the marketplace's entries that wait for something.
func (s *Store) OpenEntries(ctx context.Context, marketplace uint32, now time.Time) (map[EntryPlace]EntryCount, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT kind, state, count(*), count(*) FILTER (WHERE due_at <= $2)
		FROM entries WHERE marketplace = $1 AND due_at IS NOT NULL GROUP BY kind, state`, marketplace, now)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[EntryPlace]EntryCount{}
	for rows.Next() {
		var p EntryPlace
		var n EntryCount
		if err := rows.Scan(&p.Kind, &p.State, &n.Open, &n.Overdue); err != nil {
			return nil, err
		}
		found[p] = n
	}
	return found, rows.Err()
}

// PartyAccount is an account of a buyer or a seller.
type PartyAccount struct {
	ID     ledger.ID
	Ledger uint32
	Code   chart.AccountCode
}

// PartyAccounts lists the accounts of a marketplace that have an owner of this
// name, as a buyer or as a seller, by ledger and code.
func (s *Store) PartyAccounts(ctx context.Context, marketplace uint32, owner string) ([]PartyAccount, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, ledger, code FROM accounts
		WHERE ledger BETWEEN $1::bigint * 1000 AND $1::bigint * 1000 + 999 AND owner = $2 AND code <> $3 ORDER BY ledger, code`,
		marketplace, owner, int(chart.PayinClearing))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []PartyAccount
	for rows.Next() {
		var a PartyAccount
		if err := rows.Scan((*uid)(&a.ID), &a.Ledger, &a.Code); err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, rows.Err()
}

// PaidTo are the bank details that each of the marketplace's payouts goes to, in
// their order: those that were approved when it was sent, not what was approved
// since. One query reads them all. Details that are not there are ErrNotFound.
func (s *Store) PaidTo(ctx context.Context, marketplace uint32, payouts []treasury.Entry) ([]json.RawMessage, error) {
	if len(payouts) == 0 {
		return nil, nil
	}
	ids := make([]ledger.ID, len(payouts))
	for i := range payouts {
		var names struct {
			Entry string `json:"bank_details"`
		}
		err := json.Unmarshal(payouts[i].Details, &names)
		if err == nil {
			ids[i], err = ledger.ParseUUID(names.Entry)
		}
		if err != nil {
			return nil, fmt.Errorf("payout %s: %w", payouts[i].ID.UUID(), err)
		}
	}
	list, err := s.entries(ctx, `SELECT `+entryColumns+` FROM entries e WHERE e.id = ANY($1::uuid[]) AND e.marketplace = $2`, uids(ids), marketplace)
	if err != nil {
		return nil, fmt.Errorf("bank details of payouts: %w", err)
	}
	found := map[ledger.ID]json.RawMessage{} // of a seller's payouts, once
	for i := range list {
		found[list[i].ID] = list[i].Details
	}
	details := make([]json.RawMessage, len(payouts))
	for i, id := range ids {
		var ok bool
		if details[i], ok = found[id]; !ok {
			return nil, fmt.Errorf("bank details of payout %s: %w", payouts[i].ID.UUID(), ErrNotFound)
		}
	}
	return details, nil
}
