package posting_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

// disputed is an order of 10,000 in dispute, on which nobody rules alone.
func (w *world) disputed(reference string, appeal order.Seconds) order.Order {
	w.t.Helper()
	p := order.Standard()
	p.Name, p.AppealWithin, p.ApproveRulingsOver = "careful", appeal, map[string]int64{"USD": 5_000}
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
	req := w.agreement(reference)
	req.Agreement.Policy = "careful"
	r, err := w.poster.Do(w.ctx, req)
	w.must(err)
	o := r.Orders[0]
	for _, c := range []order.Command{{Event: order.Pay, Method: "card"}, {Event: order.Ship}, {Event: order.Dispute, Reason: "late"}} {
		c.At = start
		o = w.do(o.ID, c)
	}
	return o
}

func ruling(o *order.Order, toBuyer int64) *treasury.Terms {
	details, err := json.Marshal(treasury.RulingTerms{ToBuyer: toBuyer, ToSeller: o.Held - toBuyer})
	if err != nil {
		panic(err)
	}
	return &treasury.Terms{Kind: treasury.Ruling, Ledger: o.Ledger, Party: o.ID.UUID(), Amount: o.Held, Details: details, Reason: "usable", Maker: "eve"}
}

func (w *world) propose(t *treasury.Terms) (treasury.Entry, error) {
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Orders: posting.OrdersOf(t, treasury.Propose), Entry: &posting.EntryRequest{New: t}})
	if err != nil {
		return treasury.Entry{}, err
	}
	return *r.Entry, nil
}

// approval is a request to approve an entry, as someone.
func (w *world) approval(e *treasury.Entry, person, key string) posting.Request {
	return posting.Request{Marketplace: w.market.ID, Key: key, Orders: posting.OrdersOf(&e.Terms, treasury.Approve),
		Entry: &posting.EntryRequest{ID: e.ID, Command: treasury.Command{Event: treasury.Approve, Person: person, Digest: e.Digest()}}}
}

func refusedBy(err error, rule string) bool {
	var r *order.Refusal
	return errors.As(err, &r) && r.Rule == rule
}

// One person cannot rule on much. The ruling that another person approves
// happens with the approval, once, and says on both timelines who did it.
func TestRulingByFourEyes(t *testing.T) {
	w := newWorld(t, nil)
	o := w.disputed("A-1", 0)
	for _, approval := range []ledger.ID{{}, ledger.U64(1)} { // not even with an approval of the caller's own
		_, err := w.poster.Do(w.ctx, w.event(o.ID, order.Command{Event: order.Rule, ToBuyer: 4_000, ToSeller: 6_000, Approval: approval}))
		if !refusedBy(err, order.RuleFourEyes) {
			t.Fatalf("ruled alone: %v", err)
		}
	}
	e, err := w.propose(ruling(&o, 4_000))
	w.must(err)
	if now := w.order(o.ID); e.State != treasury.Proposed || now.Seq != o.Seq {
		t.Fatalf("proposed: %+v; the order %+v", e.Progress, now.Progress)
	}
	if _, err := w.poster.Do(w.ctx, w.approval(&e, "eve", "")); !refusedBy(err, order.RuleFourEyes) {
		t.Errorf("approved by who proposed it: %v", err)
	}
	other := w.approval(&e, "max", "")
	other.Entry.Command.Digest = strings.Repeat("0", 64)
	if _, err := w.poster.Do(w.ctx, other); !refusedBy(err, order.RuleFourEyes) {
		t.Errorf("approved unseen: %v", err)
	}
	bare := w.approval(&e, "max", "")
	bare.Orders = nil
	if _, err := w.poster.Do(w.ctx, bare); !errors.As(err, new(*posting.Invalid)) {
		t.Errorf("approved without its order: %v", err)
	}
	if now := w.order(o.ID); now.Seq != o.Seq {
		t.Fatalf("what was refused did something: %+v", now.Progress)
	}

	first, err := w.poster.Do(w.ctx, w.approval(&e, "max", "k"))
	w.must(err)
	if first.Entry == nil || first.Entry.State != treasury.Done || len(first.Orders) != 1 || first.Orders[0].State != order.Ruled || first.Orders[0].Refunded != 4_000 || first.LedgerTimestamp == 0 {
		t.Fatalf("approved: %+v", first)
	}
	w.balanced()
	if now := w.order(o.ID); now.State != order.Ruled || now.Refunded != 4_000 {
		t.Errorf("stored: %+v", now.Progress)
	}
	for _, p := range []*posting.Poster{w.poster, w.another()} {
		again, err := p.Do(w.ctx, w.approval(&e, "max", "k"))
		w.must(err)
		if !again.Replayed || again.Intent != first.Intent || again.LedgerTimestamp != first.LedgerTimestamp || again.Entry == nil ||
			again.Entry.State != treasury.Done || len(again.Orders) != 1 || again.Orders[0].Progress != first.Orders[0].Progress {
			t.Errorf("replayed: %+v", again)
		}
	}
	events, err := w.store.EntryEvents(w.ctx, e.ID)
	w.must(err)
	if len(events) != 2 || events[1].Said.Person != "max" || events[1].Said.Digest != e.Digest() || events[1].Said.Result != "the order is ruled" {
		t.Errorf("the entry's: %+v", events)
	}
	line, err := w.store.Timeline(w.ctx, o.ID)
	w.must(err)
	last := line[len(line)-1]
	var said map[string]string
	w.must(json.Unmarshal(last.Data, &said))
	if last.Event != order.Rule || last.Actor != order.Operator || said["approval"] != e.ID.UUID() || said["approved_by"] != "max" || said["proposed_by"] != "eve" || said["reason"] != "usable" {
		t.Errorf("the order's: %s by %s, %v", last.Event, last.Actor, said)
	}
}

// Where the ruling does not fit the order any more, the approval is refused with
// it, and nothing has happened.
func TestRulingMovedOn(t *testing.T) {
	w := newWorld(t, nil)
	settled := w.disputed("settled", 0)
	e, err := w.propose(ruling(&settled, 4_000))
	w.must(err)
	w.do(settled.ID, order.Command{Event: order.Withdraw, At: start})
	if _, err := w.poster.Do(w.ctx, w.approval(&e, "max", "")); !refusedBy(err, order.RuleState) && !refusedBy(err, order.RuleFourEyes) {
		t.Errorf("a dispute that was withdrawn: %v", err)
	}
	// The same claim once more is another dispute.
	w.do(settled.ID, order.Command{Event: order.Dispute, Reason: "late", At: start.Add(time.Hour)})
	if _, err := w.poster.Do(w.ctx, w.approval(&e, "max", "")); !refusedBy(err, order.RuleFourEyes) {
		t.Errorf("another dispute: %v", err)
	}
	found, err := w.store.Entry(w.ctx, w.market.ID, e.ID)
	w.must(err)
	if found.State != treasury.Proposed || found.Seq != 1 {
		t.Errorf("the entry is %s after %d events", found.State, found.Seq)
	}
	if _, err := w.then(e, treasury.Command{Event: treasury.Reject, Person: "max"}); err != nil {
		t.Errorf("reject: %v", err)
	}

	// A ruling that was proposed before the appeal is not the one after it.
	appealed := w.disputed("appealed", 24*60*60)
	one, err := w.propose(ruling(&appealed, 4_000))
	w.must(err)
	two, err := w.propose(ruling(&appealed, 9_000))
	w.must(err)
	r, err := w.poster.Do(w.ctx, w.approval(&one, "max", ""))
	w.must(err)
	if r.Orders[0].State != order.Decided || r.LedgerTimestamp != 0 {
		t.Fatalf("decided: %+v", r)
	}
	w.do(appealed.ID, order.Command{Event: order.Appeal, By: order.Buyer, Reason: "too little", At: r.Orders[0].At})
	if _, err := w.poster.Do(w.ctx, w.approval(&two, "max", "")); !refusedBy(err, order.RuleFourEyes) {
		t.Errorf("after the appeal: %v", err)
	}

	// What could not be done is not proposed.
	if _, err := w.propose(ruling(&appealed, 10_001)); !errors.As(err, new(*posting.Invalid)) {
		t.Errorf("more than is held: %v", err)
	}
	held := w.agree("held")
	held = w.do(held.ID, order.Command{Event: order.Pay, Method: "card", At: start})
	if _, err := w.propose(ruling(&held, 1)); !refusedBy(err, order.RuleState) {
		t.Errorf("of an order without a dispute: %v", err)
	}
	wrong := ruling(&appealed, 1)
	wrong.Ledger++
	if _, err := w.propose(wrong); !errors.As(err, new(*posting.Invalid)) {
		t.Errorf("in another currency: %v", err)
	}
}

// Many approve at the same moment, at two processes, while the parties settle:
// one thing happens, and the approval and the ruling are never apart.
func TestRuledOnce(t *testing.T) {
	w := newWorld(t, nil)
	posters := []*posting.Poster{w.poster, w.another()}
	for round := range 6 {
		o := w.disputed(fmt.Sprintf("A-%d", round), 0)
		e, err := w.propose(ruling(&o, 4_000))
		w.must(err)
		var wait sync.WaitGroup
		for i := range 8 {
			wait.Go(func() {
				req := w.approval(&e, "max", "")
				if i%4 == 3 {
					req = w.event(o.ID, order.Command{Event: order.Withdraw})
				}
				_, err := posters[i%2].Do(w.ctx, req)
				if r := new(order.Refusal); err != nil && !errors.As(err, &r) {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		e, err = w.store.Entry(w.ctx, w.market.ID, e.ID)
		w.must(err)
		now := w.order(o.ID)
		if ruled := now.State == order.Ruled; ruled != (e.State == treasury.Done) || !ruled && now.State != order.Shipped {
			t.Errorf("round %d: the order is %s, the entry %s", round, now.State, e.State)
		}
		w.balanced()
	}
}

// A process dies between the decision and the ledger's answer: a redrive
// finishes both, and the same request tells it.
func TestRulingRedriven(t *testing.T) {
	var ledgerOf *mute
	w := newWorld(t, func(e ledger.Engine) ledger.Engine {
		ledgerOf = &mute{Engine: e}
		return ledgerOf
	})
	o := w.disputed("A-1", 0)
	e, err := w.propose(ruling(&o, 4_000))
	w.must(err)
	ledgerOf.on.Store(true)
	ctx, cancel := context.WithTimeout(w.ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := w.poster.Do(ctx, w.approval(&e, "max", "k")); !errors.Is(err, posting.ErrUnknown) {
		t.Fatalf("%v, want an unknown outcome", err)
	}
	other := w.another()
	if n, err := other.Redrive(w.ctx, 0, 100); err != nil || n != 2 {
		t.Fatalf("redrive: %d, %v", n, err)
	}
	ledgerOf.on.Store(false)
	again, err := other.Do(w.ctx, w.approval(&e, "max", "k"))
	w.must(err)
	if !again.Replayed || again.Entry.State != treasury.Done || again.Orders[0].State != order.Ruled {
		t.Errorf("%+v", again)
	}
	w.balanced()
}

// A policy that was approved is the next version, once; where the marketplace
// wants it there is no other way.
func TestPolicyByFourEyes(t *testing.T) {
	w := newWorld(t, nil)
	_, err := w.store.SetFourEyesPolicies(w.ctx, w.market.ID, true)
	w.must(err)
	p := order.Standard()
	p.ShipWithin = 60
	if _, err := w.store.AddPolicy(w.ctx, w.market.ID, p); !refusedBy(err, order.RuleFourEyes) {
		t.Fatalf("added alone: %v", err)
	}
	document, err := json.Marshal(&p)
	w.must(err)
	e, err := w.propose(&treasury.Terms{Kind: treasury.Policy, Details: document, Maker: "eve"})
	w.must(err)
	newest := func() *order.Policy {
		t.Helper()
		list, err := w.store.Versions(w.ctx, w.market.ID, "standard", start.AddDate(1, 0, 0))
		w.must(err)
		return order.InForce(list, start.AddDate(1, 0, 0))
	}
	if v := newest(); v.Version != 1 {
		t.Fatalf("proposed, and version %d is there", v.Version)
	}
	if _, err := w.poster.Do(w.ctx, w.approval(&e, "eve", "")); !refusedBy(err, order.RuleFourEyes) {
		t.Errorf("approved by who proposed it: %v", err)
	}
	posters := []*posting.Poster{w.poster, w.another()}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			if _, err := posters[i%2].Do(w.ctx, w.approval(&e, "max", "")); err != nil && !refusedBy(err, order.RuleState) {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if v := newest(); v.Version != 2 || v.ShipWithin != 60 {
		t.Errorf("version %d ships within %s", v.Version, v.ShipWithin)
	}
	events, err := w.store.EntryEvents(w.ctx, e.ID)
	w.must(err)
	if len(events) != 2 || events[1].Said.Result != "policy standard version 2" {
		t.Errorf("%+v", events)
	}
	if _, err := w.propose(&treasury.Terms{Kind: treasury.Policy, Details: []byte(`{"name":"x"}`), Maker: "eve"}); !errors.As(err, new(*posting.Invalid)) {
		t.Errorf("a policy that is not valid: %v", err)
	}
}

// squatter is a ledger in which, while it is on, something else stands under the
// first id of each request: a payment like the first it saw, of 1.
type squatter struct {
	ledger.Engine
	on   atomic.Bool
	seen ledger.Transfer
}

func (s *squatter) CreateTransfers(ctx context.Context, ts []ledger.Transfer) ([]ledger.TransferResult, error) {
	if s.seen.ID.IsZero() {
		s.seen = ts[0]
	}
	if s.on.Load() {
		other := s.seen
		other.ID, other.Flags, other.Amount = ts[0].ID, 0, ledger.U64(1)
		if _, err := s.Engine.CreateTransfers(ctx, []ledger.Transfer{other}); err != nil {
			return nil, err
		}
	}
	return s.Engine.CreateTransfers(ctx, ts)
}

// A ruling whose order stands still until a person has looked says so, whoever
// made it stand still, and holds nobody else up.
func TestRulingFrozen(t *testing.T) {
	var books *squatter
	w := newWorld(t, func(e ledger.Engine) ledger.Engine {
		books = &squatter{Engine: e}
		return books
	})
	one, two := w.disputed("A-1", 0), w.disputed("A-2", 0)
	mine, err := w.propose(ruling(&one, 4_000))
	w.must(err)
	other, err := w.propose(ruling(&two, 4_000))
	w.must(err)
	books.on.Store(true)
	var rejected *posting.Rejected
	if _, err := w.poster.Do(w.ctx, w.approval(&mine, "max", "")); !errors.As(err, &rejected) || !rejected.Frozen {
		t.Fatalf("its own: %v", err)
	}
	if _, err := w.poster.Do(w.ctx, w.event(two.ID, order.Command{Event: order.Withdraw, At: start})); !errors.As(err, &rejected) || !rejected.Frozen {
		t.Fatalf("another event's: %v", err)
	}
	books.on.Store(false)
	for range 2 {
		for _, e := range []*treasury.Entry{&mine, &other} {
			if _, err := w.poster.Do(w.ctx, w.approval(e, "max", "")); !errors.As(err, &rejected) || !rejected.Frozen {
				t.Errorf("afterwards: %v", err)
			}
		}
	}
	if found, err := w.store.Entry(w.ctx, w.market.ID, mine.ID); err != nil || found.State != treasury.Proposed {
		t.Errorf("the entry is %s, %v", found.State, err)
	}
	if o := w.do(w.agree("A-3").ID, order.Command{Event: order.Pay, Method: "card", At: start}); o.State != order.Held {
		t.Errorf("the others: %+v", o.Progress)
	}
}
