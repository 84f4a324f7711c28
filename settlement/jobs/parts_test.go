package jobs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// boat is a paid order in three parts.
func (w *world) boat(reference string) ledger.ID {
	w.t.Helper()
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID,
		Agreement: &posting.Agreement{Reference: reference, Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_001,
			Parts: []order.PartTerms{{Name: "hull", Amount: 5_000}, {Name: "mast", Amount: 3_000}, {Name: "sail"}}},
		Command: order.Command{Event: order.Agree, At: start}})
	w.must(err)
	id := r.Orders[0].ID
	w.pay(id)
	return id
}

// The deadlines of parts pass one after the other, each at its moment and for
// its parts alone, and the books agree after each.
func TestPartDeadlinesPass(t *testing.T) {
	w := newWorld(t)
	id := w.boat("b")
	at := func(days int) time.Time { return start.Add(time.Duration(days) * day) }
	w.clock(at(3))
	w.do(id, order.Command{Event: order.ShipPart, Parts: []string{"hull"}, At: at(1)})
	w.do(id, order.Command{Event: order.ShipPart, Parts: []string{"mast"}, At: at(2)})
	w.do(id, order.Command{Event: order.DeliverPart, Parts: []string{"mast"}, At: at(2)})
	j := w.jobs(w.poster, nil)
	for _, step := range []struct {
		now      time.Time
		job      string
		items    int64
		state    order.State
		released int64
		refunded int64
		why      string
	}{
		{at(9).Add(-time.Microsecond), AutoRelease, 0, order.PartShipped, 0, 0, "a microsecond before mast's deadline"},
		{at(9), AutoRelease, 1, order.PartShipped, 3_000, 0, "mast's deadline"},
		{at(9), AutoRelease, 0, order.PartShipped, 3_000, 0, "again"},
		{at(10), AutoRelease, 0, order.PartShipped, 3_000, 0, "ship_by is not its deadline"},
		{at(10), CancelUnshipped, 1, order.Shipped, 3_000, 2_001, "ship_by: sail goes back"},
		{at(11).Add(-time.Microsecond), Mature, 0, order.Shipped, 3_000, 2_001, "a microsecond before mast's money matures"},
		{at(15), AutoRelease, 0, order.Shipped, 3_000, 2_001, "hull was shipped a day after the payment"},
		{at(20), AutoRelease, 0, order.Shipped, 3_000, 2_001, "mast's money matures before hull's deadline"},
		{at(20), Mature, 1, order.Shipped, 3_000, 2_001, "mast's money, late"},
		{at(20), Mature, 0, order.Shipped, 3_000, 2_001, "again, for mast"},
		{at(20), AutoRelease, 1, order.Released, 8_000, 2_001, "hull's deadline, late"},
		{at(20), Mature, 1, order.Closed, 8_000, 2_001, "hull's money"},
	} {
		w.clock(step.now)
		dry, err := w.run(j, step.job, Run{DryRun: true})
		w.must(err)
		res, err := w.run(j, step.job, Run{})
		w.must(err)
		if o := w.order(id); o.State != step.state || o.Released != step.released || o.Refunded != step.refunded || res.Items != step.items || dry.Items != step.items {
			t.Errorf("%s: %s, %d released, %d refunded, %d done, %d to do; want %s, %d, %d, %d", step.why,
				o.State, o.Released, o.Refunded, res.Items, dry.Items, step.state, step.released, step.refunded, step.items)
		}
		if _, err := w.run(j, CheckBooks, Run{}); err != nil {
			t.Errorf("%s: %v", step.why, err)
		}
	}
	line, err := w.store.Timeline(w.ctx, id)
	w.must(err)
	for i, want := range []string{"release_part_unconfirmed at 9", "cancel_unshipped at 10", "mature_part at 11", "release_part_unconfirmed at 16", "mature at 18"} {
		e := line[5+i]
		if got := fmt.Sprintf("%s at %d", e.Event, int(e.After.At.Sub(start)/day)); got != want || e.Actor != order.System {
			t.Errorf("%s by %s, want %s", got, e.Actor, want)
		}
	}
}

// A clock that is moved over all deadlines at once leads to the same end, for
// orders in parts that wait at every point.
func TestPartsOverAllDeadlinesAtOnce(t *testing.T) {
	w := newWorld(t)
	ship := func(names ...string) order.Command { return order.Command{Event: order.ShipPart, Parts: names} }
	extend := order.Command{Event: order.Extend, By: order.Seller}
	for name, c := range map[string]struct {
		path               []order.Command
		state              order.State
		released, refunded int64
	}{
		"not shipped":        {nil, order.Canceled, 0, 10_001},
		"one shipped":        {[]order.Command{ship("hull")}, order.Closed, 5_000, 5_001},
		"one, the rest late": {[]order.Command{ship("hull"), extend}, order.Closed, 5_000, 5_001},
		"all shipped":        {[]order.Command{ship("hull", "mast"), ship("sail")}, order.Closed, 10_001, 0},
		"one released":       {[]order.Command{ship("hull"), {Event: order.ReleasePart, Parts: []string{"hull"}}}, order.Closed, 5_000, 5_001},
		"one refunded":       {[]order.Command{{Event: order.Refund, Parts: []string{"sail"}}, {Event: order.Ship}}, order.Closed, 8_000, 2_001},
	} {
		id := w.boat(name)
		for _, cmd := range c.path {
			cmd.At = start
			w.do(id, cmd)
		}
		defer func() {
			if o := w.order(id); o.State != c.state || o.Released != c.released || o.Refunded != c.refunded {
				t.Errorf("%s: %s, %d released, %d refunded; want %s, %d, %d", name, o.State, o.Released, o.Refunded, c.state, c.released, c.refunded)
			}
		}()
	}
	w.clock(late)
	j := w.jobs(w.poster, nil)
	if _, err := j.Fire(w.ctx, w.market.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.run(j, CheckBooks, Run{}); err != nil {
		t.Error(err)
	}
}

// check-books notices parts that do not come to what the order holds.
func TestPartsThatDoNotSum(t *testing.T) {
	w := newWorld(t)
	id := w.boat("b")
	j := w.jobs(w.poster, nil)
	w.do(id, order.Command{Event: order.ShipPart, Parts: []string{"hull"}, At: start})
	w.do(id, order.Command{Event: order.ReleasePart, Parts: []string{"hull"}, At: start})
	for _, path := range []string{"{list,0,maturing}", "{list,1,held}", "{list,1,amount}"} {
		var was string
		w.must(w.db.Get(&was, `SELECT parts #>> $2::text[] FROM orders WHERE id = $1`, id.UUID(), path))
		_, err := w.db.Exec(`UPDATE orders SET parts = jsonb_set(parts, $2::text[], '2999') WHERE id = $1`, id.UUID(), path)
		w.must(err)
		if res, err := w.run(j, CheckBooks, Run{}); err == nil {
			t.Errorf("%s: the books agree: %+v", path, res)
		}
		_, err = w.db.Exec(`UPDATE orders SET parts = jsonb_set(parts, $2::text[], $3::jsonb) WHERE id = $1`, id.UUID(), path, was)
		w.must(err)
	}
	if _, err := w.run(j, CheckBooks, Run{}); err != nil {
		t.Error(err)
	}
}

// Orders of one state that wait for different deadlines are one sample.
func TestMetricsOfParts(t *testing.T) {
	w := newWorld(t)
	w.clock(start)
	plain, boat := w.agree("plain"), w.boat("boat")
	w.pay(plain)
	for _, id := range []ledger.ID{plain, boat} {
		w.do(id, order.Command{Event: order.Ship, At: start})
	}
	other := w.boat("other")
	w.do(other, order.Command{Event: order.ShipPart, Parts: []string{"sail"}, At: start})
	reg := prometheus.NewPedanticRegistry()
	w.jobs(w.poster, func(o *Options) { o.Registerer = reg })
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP escrowd_held_funds What is held in escrow, in minor units of the currency (cents, yen, fils), by the order's state. Past 2^53 a sample is rounded.
# TYPE escrowd_held_funds gauge
escrowd_held_funds{currency="USD",marketplace="shop",state="part_shipped"} 10001
escrowd_held_funds{currency="USD",marketplace="shop",state="shipped"} 20002
# HELP escrowd_held_orders Orders whose money is held in escrow, by state.
# TYPE escrowd_held_orders gauge
escrowd_held_orders{currency="USD",marketplace="shop",state="part_shipped"} 1
escrowd_held_orders{currency="USD",marketplace="shop",state="shipped"} 2
`), "escrowd_held_funds", "escrowd_held_orders"); err != nil {
		t.Error(err)
	}
}
