package reports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/peopledb"
)

// ErrNoOrder: there is no order with the id or reference.
var ErrNoOrder = errors.New("no such order")

// OrderSheet is all that is known of one order: where it stands and why, what
// happened, and what the ledger's journal says of its escrow account. Amounts
// are minor units, times UTC.
type OrderSheet struct {
	Order       OrderFacts        `json:"order"`
	Explanation order.Explanation `json:"explanation"`
	Shipments   []OrderShipment   `json:"shipments"`
	Timeline    []OrderEvent      `json:"timeline"`
	Escrow      []EscrowLine      `json:"escrow"`
	// Feedback is what buyer and seller said of each other, every version, oldest
	// first within each one's. Notes is how many notes support has made.
	Feedback []FeedbackLine `json:"feedback"`
	Notes    int            `json:"notes"`
	// Problems say where the order and its escrow account contradict each other.
	Problems []string `json:"problems"`
}

// FeedbackLine is one thing that was said of an order.
type FeedbackLine struct {
	Author string    `json:"author"` // whose feedback it belongs to
	Part   string    `json:"part"`   // feedback, reply or revision
	By     string    `json:"by"`
	Rating int16     `json:"rating,omitempty"` // 1 to 5; none in a reply
	Text   string    `json:"text"`
	At     time.Time `json:"at"`
}

// OrderFacts are the terms of an order and where its money is.
type OrderFacts struct {
	ID           string     `json:"id"`
	Marketplace  uint32     `json:"marketplace"`
	Reference    string     `json:"reference"`
	Buyer        string     `json:"buyer"`
	Seller       string     `json:"seller"`
	Category     string     `json:"category,omitempty"`
	SellerTier   string     `json:"seller_tier,omitempty"`
	Jurisdiction string     `json:"jurisdiction,omitempty"` // the seller's jurisdiction
	Method       string     `json:"method,omitempty"`       // how it was paid, where the fee could depend on it
	Currency     string     `json:"currency"`
	Policy       string     `json:"policy"`
	State        string     `json:"state"`
	Amount       Amount     `json:"amount"`                // what the goods cost: what was agreed last, or the part of it that was captured
	BuyerShare   *Amount    `json:"buyer_share,omitempty"` // what of fee and tax the buyer pays on top; nil for nothing
	Agreed       Amount     `json:"agreed_amount"`         // at first
	RepricedTo   *Amount    `json:"repriced_to,omitempty"` // the price that was agreed since; nil where it is still that
	Held         Amount     `json:"held"`
	Released     Amount     `json:"released"` // fee and tax included
	Refunded     Amount     `json:"refunded"`
	Fee          Amount     `json:"fee_charged"`
	Tax          Amount     `json:"tax_charged"`
	Maturing     Amount     `json:"maturing"`
	Reserved     Amount     `json:"reserved"` // kept in reserve of the seller's part, for its time
	AgreedAt     time.Time  `json:"agreed_at"`
	PaidAt       *time.Time `json:"paid_at"`
	PaidIn       *order.FX  `json:"fx,omitempty"` // how it was paid in another currency; nil for in its own
	Deadline     string     `json:"deadline"`     // "" for none
	DeadlineAt   *time.Time `json:"deadline_at"`
	// Parts are what the order was agreed in; none for an order that is not.
	Parts []OrderPart `json:"parts,omitempty"`
	// Virtual goods are not carried. Holidays is by how many of the policy's
	// calendar the deadline was lengthened.
	Virtual bool `json:"virtual,omitempty"`
	// ConfirmWithin is how long the buyer has from the delivery to confirm, in
	// seconds, where that was agreed; 0 where it is the policy's time.
	ConfirmWithin int64 `json:"confirm_within,omitempty"`
	Holidays      int16 `json:"holidays,omitempty"`
}

// OrderPart is one part of an order: a part shipment, or a milestone.
type OrderPart struct {
	Name       string     `json:"name"`
	Amount     Amount     `json:"amount"`                // what its goods cost, as agreed
	ShipBy     *time.Time `json:"ship_by,omitempty"`     // its agreed date of shipment; nil for none
	BuyerShare *Amount    `json:"buyer_share,omitempty"` // its part of the order's, once that was paid; nil for nothing
	State      string     `json:"state"`
	Held       Amount     `json:"held"`
	Refunded   Amount     `json:"refunded"` // but not by a ruling
	ReleasedAt *time.Time `json:"released_at,omitempty"`
	Maturing   *Amount    `json:"maturing,omitempty"` // the seller's part that is not available yet; nil for nothing
	Deadline   string     `json:"deadline"`           // "" for none
	DeadlineAt *time.Time `json:"deadline_at"`
}

// OrderShipment is goods that left together, to the buyer or back to the seller,
// see order.Shipment.
type OrderShipment struct {
	Number      int            `json:"number"`
	Kind        string         `json:"kind"`
	Parts       []string       `json:"parts,omitempty"`    // of an order in parts
	ChildOf     int            `json:"child_of,omitempty"` // the number of the one that it replaces or brings back
	Amount      Amount         `json:"amount"`             // what was held for its goods when it left
	Carrier     string         `json:"carrier"`            // "" for not said
	Tracking    string         `json:"tracking"`           // "" for not said
	ShippedAt   *time.Time     `json:"shipped_at"`
	DeliveredAt *time.Time     `json:"delivered_at"`
	Scans       []ShipmentScan `json:"scans"`
}

// ShipmentScan is a carrier's word of where a shipment is.
type ShipmentScan struct {
	At       time.Time `json:"at"`
	Status   string    `json:"status"`
	Location string    `json:"location,omitempty"`
	Tracking string    `json:"tracking,omitempty"` // where it is not the shipment's
	Note     string    `json:"note,omitempty"`
}

// OrderEvent is one line of an order's timeline.
type OrderEvent struct {
	Seq        int32           `json:"seq"`
	Event      string          `json:"event"`
	By         string          `json:"by"`
	EffectedAt time.Time       `json:"effective_at"`
	BookedAt   time.Time       `json:"booked_at"` // by the ledger; when it was decided where no money moved
	State      string          `json:"state"`     // afterwards
	Held       Amount          `json:"held"`      // afterwards
	Data       json.RawMessage `json:"data,omitempty"`
}

// EscrowLine is one transfer in the T-account of an order's escrow account.
// Frozen is by how much it changes what is reserved of the account.
type EscrowLine struct {
	TransferID string    `json:"transfer_id"`
	EffectedAt time.Time `json:"effective_at"`
	BookedAt   time.Time `json:"booked_at"`
	Code       uint16    `json:"code"`
	Movement   string    `json:"movement"`
	Against    string    `json:"against"` // the other account: number, name and whose
	AccountID  string    `json:"account_id"`
	Debit      Amount    `json:"debit"`
	Credit     Amount    `json:"credit"`
	Frozen     Amount    `json:"frozen"`
	Balance    Amount    `json:"balance"` // posted, after this line
}

// Order finds an order by its id or, within a marketplace (by name or number,
// "" for any), by its reference. ErrNoOrder: there is none. A *BadOption says
// that several marketplaces have the reference.
func (b *Books) Order(ctx context.Context, marketplace, idOrReference string) (*OrderSheet, error) {
	in, id, err := b.FindOrder(ctx, marketplace, idOrReference)
	if err != nil {
		return nil, err
	}
	said, err := b.Feedback(ctx, id)
	if err != nil {
		return nil, err
	}
	notes, err := peopledb.New(orderdb.New(b.db)).CountNotes(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("notes on order %s: %w", id.UUID(), err)
	}
	// The order store and the journal are read one after the other. What is
	// shown must fit together, so if the order moved meanwhile, once more.
	store := orderdb.New(b.db)
	for {
		o, err := store.Order(ctx, in, id)
		if err != nil {
			return nil, fmt.Errorf("order %s: %w", id.UUID(), err)
		}
		events, err := store.Timeline(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("timeline of order %s: %w", id.UUID(), err)
		}
		lines, recorded, err := b.escrow(ctx, id, events)
		if err != nil {
			return nil, fmt.Errorf("journal of order %s: %w", id.UUID(), err)
		}
		after, err := store.Order(ctx, in, id)
		if err != nil {
			return nil, fmt.Errorf("order %s: %w", id.UUID(), err)
		}
		if after.Seq == o.Seq {
			sheet, err := newOrderSheet(&o, events, lines, recorded)
			if err != nil {
				return nil, fmt.Errorf("timeline of order %s: %w", id.UUID(), err)
			}
			sheet.Feedback, sheet.Notes = said, notes
			return sheet, nil
		}
	}
}

func newOrderSheet(o *order.Order, events []orderdb.Event, lines []EscrowLine, recorded bool) (*OrderSheet, error) {
	s := &OrderSheet{
		Order: OrderFacts{
			ID: o.ID.UUID(), Marketplace: o.Marketplace, Reference: o.Reference, Buyer: o.Buyer, Seller: o.Seller, Category: o.Category,
			SellerTier: o.SellerTier, Jurisdiction: o.Jurisdiction, Method: o.Method, BuyerShare: unitsOrNil(o.Charge().BuyerShare),
			Currency: currencyOf(o.Ledger), Policy: fmt.Sprintf("%s version %d", o.Policy.Name, o.Policy.Version),
			State: string(o.State), Amount: Units(o.Charge().Amount), Agreed: Units(o.Amount), Held: Units(o.Held), Released: Units(o.Released),
			Refunded: Units(o.Refunded), Fee: Units(o.FeeCharged), Tax: Units(o.TaxCharged), Maturing: Units(o.Maturing),
			AgreedAt: o.AgreedAt, PaidAt: orNil(o.PaidAt), Deadline: string(o.Deadline), DeadlineAt: orNil(o.DeadlineAt),
		},
		Explanation: order.Explain(o),
		Shipments:   []OrderShipment{},
		Timeline:    []OrderEvent{},
		Escrow:      lines,
		Problems:    []string{},
	}
	s.Order.Virtual, s.Order.Holidays, s.Order.ConfirmWithin = o.Virtual, o.Holidays, int64(o.ConfirmWithin)
	if o.Parts != nil {
		for i := range o.Parts.List {
			p := &o.Parts.List[i]
			s.Order.Parts = append(s.Order.Parts, OrderPart{Name: p.Name, Amount: Units(p.Amount), ShipBy: orNil(p.ShipBy), BuyerShare: unitsOrNil(p.BuyerShare), State: string(p.State),
				Held: Units(p.Held), Refunded: Units(p.Refunded), ReleasedAt: orNil(p.ReleasedAt), Maturing: unitsOrNil(p.Maturing), Deadline: string(p.Deadline()), DeadlineAt: orNil(p.DeadlineAt)})
		}
	}
	if o.Repriced() {
		s.Order.RepricedTo = unitsOrNil(o.Price())
	}
	if o.Aftermath != nil {
		s.Order.Reserved = Units(o.Aftermath.Reserved)
	}
	shipments, err := orderdb.ShipmentsOf(events)
	if err != nil {
		return nil, err
	}
	for _, sh := range shipments {
		line := OrderShipment{Number: sh.Number, Kind: string(sh.Kind), Parts: sh.Parts, ChildOf: sh.ChildOf, Amount: Units(sh.Amount),
			Carrier: sh.Carrier, Tracking: sh.Tracking, ShippedAt: orNil(sh.ShippedAt), DeliveredAt: orNil(sh.DeliveredAt), Scans: []ShipmentScan{}}
		for _, scan := range sh.Scans {
			line.Scans = append(line.Scans, ShipmentScan{At: scan.At.UTC(), Status: scan.Status, Location: scan.Location, Tracking: scan.Tracking, Note: scan.Note})
		}
		s.Shipments = append(s.Shipments, line)
	}
	for _, e := range events {
		if e.Event == order.Pay {
			var said struct{ FX *order.FX }
			if err := json.Unmarshal(orEmpty(e.Data), &said); err != nil {
				return nil, err
			}
			s.Order.PaidIn = said.FX
		}
		booked := e.RecordedAt
		if e.LedgerTimestamp > 0 {
			booked = fromLedger(e.LedgerTimestamp)
		}
		s.Timeline = append(s.Timeline, OrderEvent{Seq: e.After.Seq, Event: string(e.Event), By: string(e.Actor),
			EffectedAt: e.After.At, BookedAt: booked, State: string(e.After.State), Held: Units(e.After.Held), Data: e.Data})
	}
	balance := Amount{}
	if n := len(lines); n > 0 {
		balance = lines[n-1].Balance
	}
	// A movement that the ledger has and the order is about to have is no
	// contradiction: the write path will finish it.
	if recorded && balance.Cmp(s.Order.Held) != 0 {
		s.Problems = append(s.Problems, fmt.Sprintf("the order holds %s and its escrow account in the ledger %s",
			money(o.Ledger, s.Order.Held), money(o.Ledger, balance)))
	}
	return s, nil
}

// orEmpty is what was said of an event, where nothing was too.
func orEmpty(data []byte) []byte {
	if len(data) == 0 {
		return []byte("{}")
	}
	return data
}

func unitsOrNil(v int64) *Amount {
	if v == 0 {
		return nil
	}
	a := Units(v)
	return &a
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func fromLedger(ns uint64) time.Time { return time.Unix(0, int64(ns)).UTC() }

// Feedback is what buyer and seller of an order said of each other.
func (b *Books) Feedback(ctx context.Context, id ledger.ID) ([]FeedbackLine, error) {
	list, err := peopledb.New(orderdb.New(b.db)).Feedback(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("feedback on order %s: %w", id.UUID(), err)
	}
	lines := []FeedbackLine{}
	for _, f := range list {
		for _, e := range f.Entries {
			lines = append(lines, FeedbackLine{Author: string(f.Author), Part: string(e.Part), By: string(e.By()),
				Rating: e.Rating, Text: e.Text, At: e.At})
		}
	}
	return lines, nil
}

// FindOrder answers the marketplace and the id of the order that Order finds.
func (b *Books) FindOrder(ctx context.Context, marketplace, idOrReference string) (uint32, ledger.ID, error) {
	in, id, err := b.findOrder(ctx, marketplace, idOrReference)
	if err != nil {
		return 0, id, fmt.Errorf("order %.200q: %w", idOrReference, err)
	}
	return in, id, nil
}

// findOrder answers the order's marketplace and id.
func (b *Books) findOrder(ctx context.Context, wanted, idOrReference string) (uint32, ledger.ID, error) {
	var list []marketplace
	if err := b.db.SelectContext(ctx, &list, `SELECT id, name, clock_now FROM marketplaces ORDER BY id`); err != nil {
		return 0, ledger.ID{}, err
	}
	if wanted != "" {
		m, err := pick(list, wanted)
		if err != nil {
			return 0, ledger.ID{}, err
		}
		list = []marketplace{m}
	}
	uuid := ledger.ID{}.UUID() // no order has it
	if id, err := ledger.ParseUUID(idOrReference); err == nil {
		uuid = id.UUID()
	}
	type found struct {
		ID          string `db:"id"`
		Marketplace uint32 `db:"marketplace"`
		ByID        bool   `db:"by_id"`
	}
	var orders []found
	for _, m := range list { // by marketplace, so that each look-up uses the index
		var in []found
		err := b.db.SelectContext(ctx, &in,
			`SELECT id, marketplace, true AS by_id FROM orders WHERE id = $1 AND marketplace = $2
			 UNION ALL
			 SELECT id, marketplace, false FROM orders WHERE marketplace = $2 AND reference = $3`, uuid, m.ID, idOrReference)
		if err != nil {
			return 0, ledger.ID{}, err
		}
		orders = append(orders, in...)
	}
	one := -1
	for i, o := range orders {
		if o.ByID {
			one = i // an id is meant as one, also where somebody uses it as a reference
		}
	}
	switch {
	case one < 0 && len(orders) == 0:
		return 0, ledger.ID{}, ErrNoOrder
	case one < 0 && len(orders) > 1:
		var names []string
		for _, o := range orders {
			names = append(names, fmt.Sprint(o.Marketplace))
		}
		return 0, ledger.ID{}, &BadOption{"marketplace", "several marketplaces have an order with this reference: " + strings.Join(names, ", ")}
	}
	o := orders[max(one, 0)]
	id, err := ledger.ParseUUID(o.ID)
	return o.Marketplace, id, err
}

// escrow reads the order's T-account from the journal. recorded is false if
// it has a movement whose event is not on the timeline yet, or the other way
// round, where the journal is a copy that is still to follow.
func (b *Books) escrow(ctx context.Context, id ledger.ID, events []orderdb.Event) (lines []EscrowLine, recorded bool, err error) {
	// Of a mirror's journal: how far it goes, read before what stands there.
	var copied int64
	if err := b.db.GetContext(ctx, &copied,
		`SELECT CASE WHEN mirrored THEN newest_transfer ELSE 9223372036854775807 END FROM ledger_state`); err != nil {
		return nil, false, err
	}
	var rows []struct {
		ID        string `db:"id"`
		Debit     bool   `db:"debit"`
		Other     string `db:"other"`
		Account   int    `db:"account"`
		Owner     string `db:"owner"`
		Effective int64  `db:"user_data_64"`
		Timestamp int64  `db:"timestamp"`
		Code      uint16 `db:"code"`
		Flags     uint16 `db:"flags"`
		Amount    Amount `db:"amount"`
		Reserved  Amount `db:"reserved"`
	}
	err = b.db.SelectContext(ctx, &rows,
		`SELECT t.id, t.debit, t.other, coalesce(a.code, 0) AS account, coalesce(w.owner, '') AS owner,
		        t.user_data_64, t.timestamp, t.code, t.flags, t.amount, coalesce(p.amount, 0) AS reserved
		 FROM (SELECT *, true AS debit, credit_account_id AS other FROM ledger_transfers WHERE debit_account_id = $1
		       UNION ALL
		       SELECT *, false, debit_account_id FROM ledger_transfers WHERE credit_account_id = $1) t
		 LEFT JOIN ledger_accounts a ON a.id = t.other
		 LEFT JOIN account_directory w ON w.id = t.other
		 LEFT JOIN ledger_transfers p ON p.id = t.pending_id
		 ORDER BY t.timestamp`, id.UUID())
	if err != nil {
		return nil, false, err
	}
	known := map[ledger.ID]bool{}
	lines, recorded = []EscrowLine{}, true
	for _, e := range events {
		known[e.Intent] = true
		recorded = recorded && e.LedgerTimestamp <= uint64(copied)
	}
	balance := Amount{}
	for _, r := range rows {
		transfer, err := ledger.ParseUUID(r.ID)
		if err != nil {
			return nil, false, err
		}
		recorded = recorded && known[order.IntentOf(transfer)]
		flags := ledger.TransferFlags(r.Flags)
		line := EscrowLine{TransferID: r.ID, EffectedAt: time.UnixMicro(r.Effective).UTC(), BookedAt: fromLedger(uint64(r.Timestamp)),
			Code: r.Code, Movement: chart.TransferCode(r.Code).NameOf(flags), AccountID: r.Other,
			Against: chart.AccountCode(r.Account).String()}
		if r.Owner != "" {
			line.Against += ", " + r.Owner
		}
		switch {
		case flags.Has(ledger.TransferPending) && r.Debit:
			line.Frozen = r.Amount
		case flags&(ledger.TransferVoidPending|ledger.TransferPostPending) != 0 && r.Debit:
			line.Frozen = Amount{}.Sub(r.Reserved)
		}
		if flags&(ledger.TransferPending|ledger.TransferVoidPending) == 0 {
			if r.Debit {
				line.Debit = r.Amount
			} else {
				line.Credit = r.Amount
			}
		}
		balance = balance.Add(line.Credit).Sub(line.Debit)
		line.Balance = balance
		lines = append(lines, line)
	}
	return lines, recorded, nil
}
