package replay

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"sync"
	"time"

	"escrowd/intake/api"
	"escrowd/intake/client"
	"escrowd/settlement/order"
)

// Options have usable zero values.
type Options struct {
	// Until is where the run stops; zero goes on until every story has ended.
	Until time.Time
	// Workers is how many requests are under way at once; 0 means 6. Stories
	// are dealt out by buyer, so no order is ever in two of them.
	Workers int
	// Retries is how often an item that the server could not decide (503) is
	// sent again; 0 means 8. Pause is the first pause before that, doubled
	// each time up to 32 times it; 0 means 100 ms.
	Retries int
	Pause   time.Duration
	// Progress is told after every answer; it is never called twice at once.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Through     time.Time // the end of the window that is being played
	Done, Total int       // events that are booked, of those that will be
	Found       int       // of Done: an earlier run had booked them
	Fired       int       // events that passing deadlines caused
	WindowDone  bool      // its deadlines have fired
}

// Summary is what a run did, and how the orders stand afterwards.
type Summary struct {
	Clock  api.Clock
	States map[order.State]int // the stories' orders by state
	Sent   int                 // events booked by this run
	Found  int                 // events that an earlier run had booked
	Fired  int                 // events that deadlines caused in this run
}

// Drive plays stories through the API of a marketplace with a test clock.
//
// Time goes in windows, mostly a calendar month each. For each, the clock is moved
// to the window's end with the deadlines held, everything that people did up
// to then is sent in bulk, each order's events one after the other, and then
// the deadlines that passed fire. A deadline's movement takes effect at the
// deadline, so how wide the windows are changes nothing in the books, as long
// as nobody acts on an order after a deadline moved it on. Where stories have
// somebody do that (Event.AfterDeadline) the windows are half a month each.
//
// A run goes on where an earlier one ended, or died: it asks the server which
// orders there are and how far they are, and sends what is missing. What was
// under way when a run died is known by its idempotency key.
//
// An event that is refused ends the run with an error: a story is true, so
// either it or the server is wrong. So does an order that is there already
// and not as its story says. At the end every order of a story that has ended
// must be in the story's final state.
func Drive(ctx context.Context, c *client.Client, stories []Story, opts Options) (Summary, error) {
	d, err := newDriver(c, stories, opts)
	if err != nil {
		return Summary{}, err
	}
	first, last := Span(stories)
	if !opts.Until.IsZero() {
		last = opts.Until
	}
	if err := d.resume(ctx, last); err != nil {
		return Summary{}, err
	}
	for _, end := range windows(first, last, actLater(stories)) {
		if err := d.window(ctx, end); err != nil {
			return Summary{}, err
		}
	}
	return d.check(ctx, stories, last)
}

func actLater(stories []Story) bool {
	return slices.ContainsFunc(stories, func(s Story) bool {
		return slices.ContainsFunc(s.Events, func(e Event) bool { return e.AfterDeadline })
	})
}

// windows are the ends of the months that begin with the one of first, or of
// their halves, the last one cut off at last. There is always one.
func windows(first, last time.Time, halves bool) []time.Time {
	var ends []time.Time
	for end := first; ; {
		if halves && end.Day() < 16 {
			end = time.Date(end.Year(), end.Month(), 16, 0, 0, 0, 0, time.UTC)
		} else {
			end = time.Date(end.Year(), end.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		}
		if !end.Before(last) {
			return append(ends, last)
		}
		ends = append(ends, end)
	}
}

type driver struct {
	client *client.Client
	fired  time.Time // deadlines up to here had fired before
	opts   Options
	shards [][]*cursor

	mu       sync.Mutex
	progress Progress
}

// cursor is how far a story has been sent.
type cursor struct {
	story  *Story
	next   int    // index of the next event
	id     string // the order's, once it is agreed
	basket []*cursor
}

// key is the idempotency key of the next event: the same in every run.
func (c *cursor) key() string {
	events := c.story.Events
	key := c.story.Reference + "/" + string(events[c.next].Kind)
	nth := 1
	for _, e := range events[:c.next] {
		if e.Kind == events[c.next].Kind {
			nth++
		}
	}
	if nth > 1 {
		key += fmt.Sprintf("-%d", nth)
	}
	return key
}

func newDriver(c *client.Client, stories []Story, opts Options) (*driver, error) {
	if opts.Workers == 0 {
		opts.Workers = 6
	}
	if opts.Retries == 0 {
		opts.Retries = 8
	}
	if opts.Pause == 0 {
		opts.Pause = 100 * time.Millisecond
	}
	if opts.Progress == nil {
		opts.Progress = func(Progress) {}
	}
	d := &driver{client: c, opts: opts, shards: make([][]*cursor, opts.Workers)}
	baskets := map[int][]*cursor{}
	for i := range stories {
		s := &stories[i]
		if len(s.Events) == 0 || s.Events[0].Kind != order.Agree {
			return nil, fmt.Errorf("story %s does not begin with an agreement", s.Reference)
		}
		if !slices.IsSortedFunc(s.Events, func(a, b Event) int { return a.At.Compare(b.At) }) {
			return nil, fmt.Errorf("story %s is not in order of time", s.Reference)
		}
		h := fnv.New32a()
		_, _ = h.Write([]byte(s.Buyer)) // never fails
		shard := h.Sum32() % uint32(opts.Workers)
		cur := &cursor{story: s}
		d.shards[shard] = append(d.shards[shard], cur)
		if s.Basket != 0 {
			baskets[s.Basket] = append(baskets[s.Basket], cur)
		}
	}
	for _, b := range baskets {
		for _, c := range b {
			if c.story.Buyer != b[0].story.Buyer {
				return nil, fmt.Errorf("stories %s and %s share a payment and not the buyer", c.story.Reference, b[0].story.Reference)
			}
			c.basket = b
		}
	}
	return d, nil
}

// resume sets the cursors to where the server's orders are.
func (d *driver) resume(ctx context.Context, last time.Time) error {
	clock, err := d.client.Clock(ctx)
	if err != nil {
		return err
	}
	d.fired = clock.Deadlines
	orders, err := d.orders(ctx)
	if err != nil {
		return err
	}
	for _, shard := range d.shards {
		for _, c := range shard {
			if o, ok := orders[c.story.Reference]; ok {
				if err := c.resume(&o); err != nil {
					return err
				}
			}
			for i, e := range c.story.Events {
				if e.At.After(last) {
					break
				}
				d.progress.Total++
				if i < c.next {
					d.progress.Done++
					d.progress.Found++
				}
			}
		}
	}
	return nil
}

// resume sets a cursor to where the server's order is.
func (c *cursor) resume(o *api.Order) error {
	s := c.story
	agreed := o.Amount
	if o.AgreedAmount > 0 { // another price was agreed, or a part was captured
		agreed = o.AgreedAmount
	}
	if o.Buyer != s.Buyer || o.Seller != s.Seller || o.Currency != s.Currency || agreed != s.Amount ||
		o.Policy != s.Policy || !o.AgreedAt.Equal(s.Events[0].At) || !o.ShipBy.Equal(s.ShipBy) || o.ConfirmWithin != s.confirmSeconds() {
		return fmt.Errorf("order %s is there already, with other terms: something else was played before", s.Reference)
	}
	// What people did is what was to happen by the order's last event; of two at
	// one moment perhaps only the first. What deadlines caused comes beside it.
	c.id, c.next = o.ID, 1
	for c.next < min(int(o.Events), len(s.Events)) && !s.Events[c.next].At.After(o.At) {
		c.next++
	}
	if int(o.Events) <= c.next && !o.At.Equal(s.Events[c.next-1].At) {
		return fmt.Errorf("order %s is there already, and somebody moved it on otherwise at %s", s.Reference, o.At.Format(time.RFC3339))
	}
	return nil
}

// orders asks for all orders of the marketplace, by reference.
func (d *driver) orders(ctx context.Context) (map[string]api.Order, error) {
	all := map[string]api.Order{}
	for cursor := ""; ; {
		page, err := d.client.Orders(ctx, client.OrderFilter{Cursor: cursor, Limit: pageSize})
		if err != nil {
			return nil, err
		}
		for _, o := range page.Orders {
			all[o.Reference] = o
		}
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}

// pageSize is the most orders that the API lists at once.
const pageSize = 1000

// window plays everything up to end.
func (d *driver) window(ctx context.Context, end time.Time) error {
	d.report(func(p *Progress) { p.Through, p.WindowDone = end, false })
	if !end.After(d.fired) && !d.anyDue(end) {
		d.report(func(p *Progress) { p.WindowDone = true })
		return nil // played and fired before
	}
	if _, err := d.client.SetClock(ctx, end, true); err != nil {
		return fmt.Errorf("clock to %s: %w", end.Format(time.RFC3339), err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	for _, shard := range d.shards {
		workers.Go(func() {
			if err := d.playShard(ctx, shard, end); err != nil {
				cancel(err) // the first one ends the others
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	moved, err := d.client.SetClock(ctx, end, false)
	if err != nil {
		return fmt.Errorf("deadlines up to %s: %w", end.Format(time.RFC3339), err)
	}
	d.report(func(p *Progress) { p.Fired += moved.Fired; p.WindowDone = true })
	return nil
}

// anyDue reports whether there is anything left to send up to end.
func (d *driver) anyDue(end time.Time) bool {
	return slices.ContainsFunc(d.shards, func(shard []*cursor) bool {
		return slices.ContainsFunc(shard, func(c *cursor) bool {
			return c.next < len(c.story.Events) && !c.story.Events[c.next].At.After(end)
		})
	})
}

func (d *driver) report(change func(*Progress)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.progress)
	d.opts.Progress(d.progress)
}

// kinds is the order in which events mostly follow each other, so that one
// pass over it sends most of what is due.
var kinds = []order.Event{order.Agree, order.Reprice, order.Pay, order.Authorise, order.Capture, order.Void, order.Extend, order.Ship, order.Deliver,
	order.ShipPart, order.Track, order.DeliverPart, order.ReleasePart, order.Refund, order.Cancel, order.Confirm, order.Dispute, order.AcceptClaim, order.Contest, order.MakeOffer, order.AcceptOffer,
	order.Escalate, order.GiveEvidence, order.Withdraw, order.Rule, order.Appeal, order.ShipBack, order.ReceiveReturn, order.RefuseReturn,
	order.ShipReplacement,
	order.RefundReleased, order.TakeBackPayment, order.Represent, order.WinChargeback, order.LoseChargeback, order.SecondChargeback}

// playShard sends a shard's events up to end. An order's next event is sent
// when the one before it was answered.
func (d *driver) playShard(ctx context.Context, shard []*cursor, end time.Time) error {
	for {
		sent := 0
		for _, kind := range kinds {
			var due []*cursor
			for _, c := range shard {
				if c.due(kind, end) {
					due = append(due, c)
				}
			}
			for batch := range slices.Chunk(due, api.BulkMax) {
				if err := d.send(ctx, kind, batch); err != nil {
					return err
				}
			}
			sent += len(due)
		}
		if sent == 0 {
			break
		}
	}
	for _, c := range shard {
		if c.next < len(c.story.Events) && !c.story.Events[c.next].At.After(end) {
			return fmt.Errorf("order %s: its %s cannot be sent: the payment that covers it does not fit", c.story.Reference, c.story.Events[c.next].Kind)
		}
	}
	return nil
}

// due reports whether the next thing to send for a story is of this kind and
// not after end. A payment of several orders is sent once, for the first.
func (c *cursor) due(kind order.Event, end time.Time) bool {
	is := func(c *cursor) bool {
		if c.next == len(c.story.Events) {
			return false
		}
		e := c.story.Events[c.next]
		return e.Kind == kind && !e.At.After(end)
	}
	if kind != order.Pay || c.basket == nil {
		return is(c)
	}
	return c == c.basket[0] && !slices.ContainsFunc(c.basket, func(c *cursor) bool { return !is(c) })
}

// send sends a batch of events of one kind and moves the cursors on.
func (d *driver) send(ctx context.Context, kind order.Event, batch []*cursor) error {
	switch kind {
	case order.Agree:
		return sendBulk(ctx, d, batch, agreeItem)
	case order.Pay:
		return sendBulk(ctx, d, batch, payItem)
	case order.Reprice:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.RepriceItem {
			return api.RepriceItem{Target: c.target(), Reprice: api.Reprice{Amount: e.Amount, Reason: e.Reason, Act: e.act()}}
		})
	case order.Authorise:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.AuthoriseItem {
			return api.AuthoriseItem{Target: c.target(), Authorise: api.Authorise{Method: e.Method, Act: e.act()}}
		})
	case order.Capture:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.CaptureItem {
			return api.CaptureItem{Target: c.target(), Capture: api.Capture{Amount: e.Amount, Act: e.act()}}
		})
	case order.Void:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.VoidItem {
			return api.VoidItem{Target: c.target(), Void: api.Void{Reason: e.Reason, Act: e.act()}}
		})
	case order.Extend:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.ExtendItem {
			return api.ExtendItem{Target: c.target(), Extend: api.Extend{Until: e.Until, Act: e.act()}}
		})
	case order.Ship:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.ShipItem {
			return api.ShipItem{Target: c.target(), Ship: api.Ship{Carrier: e.Carrier, Tracking: e.Tracking, Act: e.act()}}
		})
	case order.Deliver:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.DeliverItem {
			return api.DeliverItem{Target: c.target(), Deliver: api.Deliver{Act: e.act()}}
		})
	case order.Track:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.TrackItem {
			return api.TrackItem{Target: c.target(), Track: api.Track{Status: e.Status, Location: e.Location, Parts: e.Parts, Act: e.act()}}
		})
	case order.ShipPart:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.ShipPartItem {
			return api.ShipPartItem{Target: c.target(), ShipPart: api.ShipPart{Parts: e.Parts, Carrier: e.Carrier, Tracking: e.Tracking, Act: e.act()}}
		})
	case order.DeliverPart:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.DeliverPartItem {
			return api.DeliverPartItem{Target: c.target(), DeliverPart: api.DeliverPart{Parts: e.Parts, Act: e.act()}}
		})
	case order.ReleasePart:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.ReleasePartItem {
			return api.ReleasePartItem{Target: c.target(), ReleasePart: api.ReleasePart{Parts: e.Parts, Act: e.act()}}
		})
	case order.Confirm:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.ConfirmItem {
			return api.ConfirmItem{Target: c.target(), Confirm: api.Confirm{Act: e.act()}}
		})
	case order.Cancel:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.CancelItem {
			return api.CancelItem{Target: c.target(), Cancel: api.Cancel{Reason: e.Reason, Act: e.act()}}
		})
	case order.Refund:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.RefundItem {
			return api.RefundItem{Target: c.target(), Refund: api.Refund{Amount: e.Amount, Parts: e.Parts, Reason: e.Reason, Act: e.act()}}
		})
	case order.RefundReleased:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.RefundReleasedItem {
			return api.RefundReleasedItem{Target: c.target(), RefundReleased: api.RefundReleased{Amount: e.Amount, Reason: e.Reason, Act: e.act()}}
		})
	case order.TakeBackPayment:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.ChargebackItem {
			return api.ChargebackItem{Target: c.target(), Chargeback: api.Chargeback{Amount: e.Amount, Reason: e.Reason, Act: e.act()}}
		})
	case order.SecondChargeback:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.SecondChargebackItem {
			return api.SecondChargebackItem{Target: c.target(), SecondChargeback: api.SecondChargeback{Amount: e.Amount, Reason: e.Reason, Act: e.act()}}
		})
	case order.Represent:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.RepresentItem {
			return api.RepresentItem{Target: c.target(), Represent: api.Represent{Reason: e.Reason, Act: e.act()}}
		})
	case order.WinChargeback:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.WinChargebackItem {
			return api.WinChargebackItem{Target: c.target(), WinChargeback: api.WinChargeback{Reason: e.Reason, Act: e.act()}}
		})
	case order.LoseChargeback:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.LoseChargebackItem {
			return api.LoseChargebackItem{Target: c.target(), LoseChargeback: api.LoseChargeback{Reason: e.Reason, Act: e.act()}}
		})
	case order.Dispute:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.DisputeItem {
			return api.DisputeItem{Target: c.target(), Dispute: api.Dispute{Amount: e.Amount, Reason: e.Reason, Act: e.act()}}
		})
	case order.AcceptClaim:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.AcceptClaimItem {
			return api.AcceptClaimItem{Target: c.target(), AcceptClaim: api.AcceptClaim{Act: e.act()}}
		})
	case order.Contest:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.ContestItem {
			return api.ContestItem{Target: c.target(), Contest: api.Contest{Reason: e.Reason, Act: e.act()}}
		})
	case order.MakeOffer:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.OfferItem {
			return api.OfferItem{Target: c.target(), Offer: api.Offer{ToBuyer: e.ToBuyer, Return: e.Return, Replacement: e.Replacement, Act: e.act()}}
		})
	case order.AcceptOffer:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.AcceptOfferItem {
			return api.AcceptOfferItem{Target: c.target(), AcceptOffer: api.AcceptOffer{ToBuyer: e.ToBuyer, Replacement: e.Replacement, Act: e.act()}}
		})
	case order.GiveEvidence:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.EvidenceItem {
			return api.EvidenceItem{Target: c.target(), Evidence: api.Evidence{SHA256: e.Evidence.SHA256, URL: e.Evidence.URL,
				Type: e.Evidence.Type, Size: e.Evidence.Size, Act: e.act()}}
		})
	case order.Withdraw:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.WithdrawItem {
			return api.WithdrawItem{Target: c.target(), Withdraw: api.Withdraw{Reason: e.Reason, Act: e.act()}}
		})
	case order.Escalate:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.EscalateItem {
			return api.EscalateItem{Target: c.target(), Escalate: api.Escalate{Reason: e.Reason, Act: e.act()}}
		})
	case order.Appeal:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.AppealItem {
			return api.AppealItem{Target: c.target(), Appeal: api.Appeal{Reason: e.Reason, Act: e.act()}}
		})
	case order.ShipBack:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.ShipBackItem {
			return api.ShipBackItem{Target: c.target(), ShipBack: api.ShipBack{Carrier: e.Carrier, Tracking: e.Tracking, Act: e.act()}}
		})
	case order.ReceiveReturn:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.ReceiveReturnItem {
			return api.ReceiveReturnItem{Target: c.target(), ReceiveReturn: api.ReceiveReturn{Act: e.act()}}
		})
	case order.RefuseReturn:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.RefuseReturnItem {
			return api.RefuseReturnItem{Target: c.target(), RefuseReturn: api.RefuseReturn{Amount: e.Amount, Reason: e.Reason, Act: e.act()}}
		})
	case order.ShipReplacement:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.ShipReplacementItem {
			return api.ShipReplacementItem{Target: c.target(), ShipReplacement: api.ShipReplacement{Carrier: e.Carrier, Tracking: e.Tracking, Act: e.act()}}
		})
	case order.Rule:
		return sendBulk(ctx, d, batch, func(c *cursor, e *Event) api.RulingItem {
			return api.RulingItem{Target: c.target(), Ruling: api.Ruling{ToBuyer: e.ToBuyer, ToSeller: e.ToSeller, Return: e.Return, Replacement: e.Replacement, Reason: e.Reason, Act: e.act()}}
		})
	}
	return fmt.Errorf("%s is not an event that people cause", kind)
}

func (e *Event) act() api.Act { return api.Act{By: string(e.By), At: e.At} }

func (c *cursor) target() api.Target {
	return api.Target{Order: c.id, ItemKey: api.ItemKey{IdempotencyKey: c.key()}}
}

func (s *Story) confirmSeconds() int64 { return int64(s.ConfirmWithin / time.Second) }

func agreeItem(c *cursor, e *Event) api.NewOrderItem {
	s := c.story
	return api.NewOrderItem{ItemKey: api.ItemKey{IdempotencyKey: c.key()}, NewOrder: api.NewOrder{
		Reference: s.Reference, Buyer: s.Buyer, Seller: s.Seller, Currency: s.Currency, Amount: s.Amount,
		Policy: s.Policy, ShipBy: s.ShipBy, Goods: s.Goods, Virtual: s.Virtual, ConfirmWithin: s.confirmSeconds(), Parts: s.Parts, Act: e.act(),
	}}
}

func payItem(c *cursor, e *Event) api.PaymentItem {
	item := api.PaymentItem{ItemKey: api.ItemKey{IdempotencyKey: c.key()}, Payment: api.Payment{Method: e.Method, Act: e.act()}}
	for _, covered := range c.covers() {
		item.Orders = append(item.Orders, covered.id)
		item.Amount += covered.story.Price()
	}
	return item
}

// covers are the orders that the story's payment covers.
func (c *cursor) covers() []*cursor {
	if c.basket == nil {
		return []*cursor{c}
	}
	return c.basket
}

// sendBulk sends one event of each story in one request, again and again for
// those that the server could not decide, within bounds.
func sendBulk[I client.Items](ctx context.Context, d *driver, batch []*cursor, item func(*cursor, *Event) I) error {
	for attempt := 0; ; attempt++ {
		items := make([]I, len(batch))
		for i, c := range batch {
			items[i] = item(c, &c.story.Events[c.next])
		}
		// The items have keys of their own; the request's only says that it
		// may be sent again, and is as fixed as they are.
		key := fmt.Sprintf("%s/%d", batch[0].key(), len(batch))
		answers, err := client.Bulk(ctx, d.client, items, client.Key(key))
		if err != nil {
			return err
		}
		if len(answers) != len(batch) {
			return fmt.Errorf("%d answers to %d items", len(answers), len(batch))
		}
		var again []*cursor
		var problem *api.Problem
		done := 0
		for i, a := range answers {
			switch {
			case a.Status < 300 && (a.Order != nil) != (a.Orders != nil):
				done += batch[i].answered(a)
			case a.Status == http.StatusServiceUnavailable && a.Problem != nil:
				again, problem = append(again, batch[i]), a.Problem
			default:
				return itemError(batch[i], a)
			}
		}
		d.report(func(p *Progress) { p.Done += done })
		if len(again) == 0 {
			return nil
		}
		if attempt >= d.opts.Retries {
			return fmt.Errorf("%d events could not be decided in %d attempts: %w", len(again), attempt+1, problem)
		}
		if err := sleep(ctx, d.opts.Pause<<min(attempt, 5)); err != nil {
			return err
		}
		batch = again
	}
}

// answered moves the stories of an event that was booked on, and says how
// many they are.
func (c *cursor) answered(a api.Answer) int {
	moved := []*cursor{c}
	switch c.story.Events[c.next].Kind {
	case order.Agree:
		c.id = a.Order.ID
	case order.Pay:
		moved = c.covers()
	}
	for _, m := range moved {
		m.next++
	}
	return len(moved)
}

func itemError(c *cursor, a api.Answer) error {
	e := c.story.Events[c.next]
	what := fmt.Sprintf("order %s: %s at %s", c.story.Reference, e.Kind, e.At.Format(time.RFC3339))
	if a.Problem == nil {
		return fmt.Errorf("%s: answered with status %d and neither order nor problem", what, a.Status)
	}
	return fmt.Errorf("%s: %w", what, a.Problem)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// check asks the server how every order ended and compares, as far as time
// went in this run.
func (d *driver) check(ctx context.Context, stories []Story, last time.Time) (Summary, error) {
	clock, err := d.client.Clock(ctx)
	if err != nil {
		return Summary{}, err
	}
	if clock.Deadlines.Before(last) {
		return Summary{}, fmt.Errorf("deadlines were fired up to %s, they should have been up to %s",
			clock.Deadlines.Format(time.RFC3339), last.Format(time.RFC3339))
	}
	orders, err := d.orders(ctx)
	if err != nil {
		return Summary{}, err
	}
	sum := Summary{Clock: clock, States: map[order.State]int{}, Fired: d.progress.Fired,
		Sent: d.progress.Done - d.progress.Found, Found: d.progress.Found}
	for _, s := range stories {
		o, ok := orders[s.Reference]
		is := order.State(o.State)
		if !ok {
			if !s.Events[0].At.After(last) {
				return sum, fmt.Errorf("order %s was agreed and is not there", s.Reference)
			}
			continue // later than the run went
		}
		if !s.Ends.After(last) && is != s.Final {
			return sum, fmt.Errorf("order %s is %s, its story ends %s", s.Reference, is, s.Final)
		}
		sum.States[is]++
	}
	return sum, nil
}
