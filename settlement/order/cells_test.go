package order_test

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"escrowd/settlement/order"
)

var allRoles = []order.Role{order.Buyer, order.Seller, order.Carrier, order.Operator, order.System}

// position is an order that has come somewhere, and how.
type position struct {
	born order.Order
	done []order.Command
	now  order.Order
}

// cell is one thing that the state table says: that an event, caused by a
// role, leads from a state to another.
type cell struct {
	from  order.State
	event order.Event
	by    order.Role
	to    order.State
}

// atlas is what the scenarios show of the state table, and what follows from
// that: each state's orders, and for each cell an order to try it on.
type atlas struct {
	samples map[order.Event][]order.Command // what the scenarios did, by event
	found   map[order.State][]position
	cells   map[cell]position // its last command goes through the cell
}

// enough is how many kinds of orders are looked at in one state, those first
// that the scenarios have and that few events lead to; and in a chargeback, or a
// dispute of what was released, of those that stood in one state before it.
const enough = 70

// place is what enough of are looked at.
func (p position) place() string {
	if a := p.now.Aftermath; a != nil && a.Chargeback != nil {
		return string(p.now.State + " " + a.Chargeback.From)
	}
	if c := p.now.Claim; c.Released() {
		return string(p.now.State + " " + c.From)
	}
	return string(p.now.State)
}

// explore goes from the orders of the scenarios wherever the events of the
// scenarios lead, with other amounts, other roles and other times. A state or
// event that is added to the tables is explored once a scenario shows it.
func explore(t testing.TB) *atlas {
	t.Helper()
	if explored == nil {
		explored = newAtlas(t)
	}
	return explored
}

var explored *atlas // once for all tests

func newAtlas(t testing.TB) *atlas {
	t.Helper()
	if gaps := tableGaps(order.Rules, order.States, order.Events, order.Due); gaps != nil {
		t.Fatal(strings.Join(gaps, "\n"))
	}
	a := &atlas{map[order.Event][]order.Command{}, map[order.State][]position{}, map[cell]position{}}
	seen, at := map[string]bool{}, map[string]int{}
	var queue []position
	for _, s := range readScenarios(t) {
		w := newWorld(t)
		s.play(t, w)
		for _, e := range w.orders {
			for i, c := range e.done {
				a.addSample(c)
				queue = append(queue, e.upTo(t, i))
			}
			queue = append(queue, position{e.born, e.done, e.now})
		}
	}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		if k := p.kind(); seen[k] || at[p.place()] == enough {
			continue
		} else {
			seen[k] = true
			at[p.place()]++
		}
		a.found[p.now.State] = append(a.found[p.now.State], p)
		queue = append(queue, a.onwards(p)...)
	}
	return a
}

// upTo is the order as it was after its first events.
func (e *entry) upTo(t testing.TB, events int) position {
	o := e.born
	for _, c := range e.done[:events] {
		ch, err := order.Plan(o, c)
		if err != nil {
			t.Fatal(err)
		}
		o = ch.After
	}
	return position{e.born, e.done[:events:events], o}
}

// kind is the same for positions from which the same should be possible: it
// leaves out times and amounts, but for which amounts there are, and ids.
func (p position) kind() string {
	k := p.now
	k.Terms = order.Terms{Virtual: p.now.Virtual}
	of := "" // whether a chargeback takes all that is held, or more
	if a := k.Aftermath; a != nil && a.Chargeback != nil {
		of = fmt.Sprint(cmp.Compare(a.Chargeback.Amount, k.Held))
	}
	return shape(reflect.ValueOf(*p.now.Policy)) + shape(reflect.ValueOf(k)) + of
}

// shape writes a value's words and flags, and of numbers and times only
// whether they are there.
func shape(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.String:
		return v.String() + ";"
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return "&" + shape(v.Elem())
	case v.Kind() == reflect.Slice:
		var b strings.Builder
		for i := range v.Len() {
			b.WriteString(shape(v.Index(i)))
		}
		return b.String() + ";"
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		var b strings.Builder
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "Seq" { // the way here may have been longer
				b.WriteString(shape(v.Field(i)))
			}
		}
		return b.String()
	}
	if v.IsZero() {
		return "-"
	}
	return "+"
}

// addSample keeps a command if it differs in more than amounts, times and ids
// from those that are kept.
func (a *atlas) addSample(c order.Command) {
	c.At, c.By, c.Intent, c.Books, c.Paid = time.Time{}, "", order.Command{}.Intent, nil, order.Payment{}
	for _, known := range a.samples[c.Event] {
		if shape(reflect.ValueOf(known)) == shape(reflect.ValueOf(c)) {
			return
		}
	}
	a.samples[c.Event] = append(a.samples[c.Event], c)
}

// onwards tries every row of the table on an order, and is where it led.
func (a *atlas) onwards(p position) (next []position) {
	for _, allowed := range order.AllowedIn(p.now.State) {
		for _, by := range allowed.By {
			led := map[string]bool{}
			for _, c := range a.attempts(p, allowed.Event, by) {
				ch, err := order.Plan(p.now, c)
				if err != nil {
					continue
				}
				q := position{p.born, append(p.done[:len(p.done):len(p.done)], c), ch.After}
				if k := q.kind(); led[k] {
					continue
				} else {
					led[k] = true
				}
				if known := (cell{p.now.State, allowed.Event, by, ch.After.State}); !a.has(known) {
					a.cells[known] = q
				}
				next = append(next, q)
			}
		}
	}
	return next
}

// attempts are commands of an event by a role: the scenarios' samples, with
// the amounts that they name shared out in several ways, at several times.
func (a *atlas) attempts(p position, e order.Event, by order.Role) (cs []order.Command) {
	o, paid := p.now, howPaid(p.now, p.done)
	times := []time.Time{o.DeadlineAt, o.At}
	if o.State == order.None {
		times = []time.Time{start}
	}
	for _, sample := range a.samples[e] {
		for _, c := range withAmounts(sample, o) {
			for _, at := range times {
				c.By, c.At, c.Books, c.Paid = by, at, shared(o.Ledger), paid
				c.Intent.Lo = uint64(o.Seq+1) << 16
				cs = append(cs, c)
			}
		}
	}
	return cs
}

// withAmounts is a command as it is, without amounts, and with what is held,
// or was agreed, shared among its amounts: all to one of them, or to each; and
// with the amounts that the order itself speaks of, such as an offer's.
func withAmounts(c order.Command, o order.Order) (cs []order.Command) {
	whole := o.Held
	if whole == 0 {
		whole = o.Amount
	}
	n := len(amountsOf(&c))
	if n == 0 {
		return []order.Command{c}
	}
	for _, first := range append([]int64{whole, 0, whole / 2, 1}, amountsIn(reflect.ValueOf(o.Progress))...) {
		d := c
		for i, v := range amountsOf(&d) {
			if i == 0 {
				v.SetInt(first)
			} else {
				v.SetInt((whole - first) / int64(n-1))
			}
		}
		cs = append(cs, d)
	}
	return append(cs, c)
}

// amountsIn are the amounts that stand in an order's progress, wherever in it.
func amountsIn(v reflect.Value) (amounts []int64) {
	switch {
	case v.Kind() == reflect.Int64 && !v.IsZero():
		return []int64{v.Int()}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return amountsIn(v.Elem())
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			amounts = append(amounts, amountsIn(v.Index(i))...)
		}
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			amounts = append(amounts, amountsIn(v.Field(i))...)
		}
	}
	return amounts
}

// amountsOf are the amounts of money that a command's event takes. A sample
// that leaves one out stands for an amount of nothing; so do all others.
func amountsOf(c *order.Command) (amounts []reflect.Value) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Type() == reflect.TypeFor[int64]() && !f.IsZero() {
			amounts = append(amounts, f)
		}
	}
	return amounts
}

// The tables agree among themselves; every state and cell of them is reached by
// the scenarios or from there, and moves the books; and what the tables do not
// say is refused. What is missing is named, with what to do about it.
func TestEveryCellOfTheTable(t *testing.T) {
	a := explore(t)
	for _, gap := range a.gaps() {
		t.Error(gap)
	}
	for _, s := range order.States {
		for _, p := range a.found[s] {
			for problem := range auditOrder(&p.now) {
				t.Errorf("after %s: %s", p.path(), problem)
			}
		}
	}
	t.Logf("%d cells, orders in %d states", len(a.cells), len(a.found))
	t.Run("the ledger accepts each", a.onTheBooks)
	t.Run("all others are refused", a.othersRefused)
}

// gaps are the states and cells of the table that were not reached.
func (a *atlas) gaps() (gaps []string) {
	for _, s := range order.States {
		if len(a.found[s]) == 0 {
			gaps = append(gaps, fmt.Sprintf("no order becomes %s: add a scenario to testdata/scenarios in which one does", s))
		}
	}
	for _, r := range order.Rules {
		if r.From != order.None && len(a.found[r.From]) == 0 {
			continue // that is named already
		}
		for _, by := range r.Who {
			if !slices.ContainsFunc(r.To, func(to order.State) bool { return a.has(cell{r.From, r.Event, by, to}) }) {
				gaps = append(gaps, fmt.Sprintf("no order that is %s takes %s from the %s: add a scenario in which it does, or take the role from the row", stateName(r.From), r.Event, by))
			}
		}
		for _, to := range r.To {
			if !slices.ContainsFunc(r.Who, func(by order.Role) bool { return a.has(cell{r.From, r.Event, by, to}) }) {
				gaps = append(gaps, fmt.Sprintf("%s of an order that is %s never leads to %s: add a scenario in which it does, or take the state from the row", r.Event, stateName(r.From), to))
			}
		}
	}
	return gaps
}

func (a *atlas) has(c cell) bool {
	_, ok := a.cells[c]
	return ok
}

func (p position) path() string {
	var words []string
	for _, c := range p.done {
		words = append(words, string(c.Event))
	}
	return strings.Join(words, ", ")
}

func stateName(s order.State) string {
	if s == order.None {
		return "not there yet"
	}
	return string(s)
}

// tableGaps names what one of the tables has and another lacks.
func tableGaps(rules []order.Row, states []order.State, events []order.Event, due map[order.Deadline]order.Event) (gaps []string) {
	bad := func(format string, args ...any) { gaps = append(gaps, fmt.Sprintf(format, args...)) }
	rowsOf, into, rows := map[order.Event]int{}, map[order.State]int{}, map[string]bool{}
	for _, r := range rules {
		rowsOf[r.Event]++
		for _, s := range append(r.To, r.From) {
			if s != order.None && !slices.Contains(states, s) {
				bad("state %s is in a row of Rules and not in States: add it (order.go)", s)
			}
		}
		for _, s := range r.To {
			if s != r.From {
				into[s]++
			}
		}
		if !slices.Contains(events, r.Event) {
			bad("event %s is in a row of Rules and not in Events: add it (order.go)", r.Event)
		}
		if key := fmt.Sprint(r.From, r.Event); rows[key] {
			bad("Rules has two rows for %s of an order that is %s: make them one", r.Event, stateName(r.From))
		} else {
			rows[key] = true
		}
		if len(r.Who) == 0 || len(r.To) == 0 || r.Effect == "" {
			bad("the row for %s of an order that is %s is not complete: %+v", r.Event, stateName(r.From), r)
		}
	}
	for _, e := range events {
		if rowsOf[e] == 0 {
			bad("event %s is in no row of Rules: add one (table.go), or take it from Events", e)
		}
	}
	for _, s := range states {
		if into[s] == 0 {
			bad("no row of Rules leads to state %s: add one (table.go), or take it from States", s)
		}
	}
	for _, d := range order.Deadlines {
		if _, ok := due[d]; !ok {
			bad("nobody knows what happens when %s passes: add it to Due (table.go)", d)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(due)) {
		if !slices.Contains(order.Deadlines, d) {
			bad("deadline %s is in Due and not in Deadlines: add it (order.go)", d)
		}
		if e := due[d]; e != "" && rowsOf[e] == 0 {
			bad("%s is due when %s passes and is in no row of Rules: add one (table.go)", e, d)
		}
	}
	return gaps
}

// A table with holes: each is named.
func TestGapsAreNamed(t *testing.T) {
	lost := append(slices.Clone(order.Rules), order.Row{From: "lost", Event: "find", Who: []order.Role{order.Buyer}, Effect: order.NoMoney, To: []order.State{order.Held}})
	due := maps.Clone(order.Due)
	due["lose_by"] = "lose"
	delete(due, order.ShipBy)
	got := strings.Join(tableGaps(append(lost, lost[0]), append(slices.Clone(order.States), "lost"), append(slices.Clone(order.Events), "juggle"), due), "\n")
	for _, want := range []string{
		"event find is in a row of Rules and not in Events",
		"event juggle is in no row of Rules",
		"no row of Rules leads to state lost",
		"two rows for agree",
		"deadline lose_by is in Due and not in Deadlines",
		"lose is due when lose_by passes and is in no row",
		"nobody knows what happens when ship_by passes",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not named in:\n%s", want, got)
		}
	}

	a := *explore(t)
	a.found, a.cells = maps.Clone(a.found), maps.Clone(a.cells)
	delete(a.found, order.Shipped)
	delete(a.cells, cell{order.Held, order.Ship, order.Seller, order.Shipped})
	delete(a.cells, cell{order.Held, order.Ship, order.Operator, order.Shipped})
	got = strings.Join(a.gaps(), "\n")
	for _, want := range []string{
		"no order becomes shipped",
		"no order that is held takes ship from the seller",
		"ship of an order that is held never leads to shipped",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not named in:\n%s", want, got)
		}
	}

	silent := a.found[order.Held][0].now
	silent.Deadline = order.NoDeadline
	for s, want := range map[order.State]string{
		order.Held: "is open and its deadline is", order.Closed: "is final, but has deadline", "lost": "has no full explanation"} {
		o := silent
		o.State = s
		if got := fmt.Sprint(slices.Collect(maps.Keys(explained(&o)))); !strings.Contains(got, want) {
			t.Errorf("state %s: %q is not in %s", s, want, got)
		}
	}
}

// onTheBooks sends an order through each cell once more, from nothing and on
// books of its own.
func (a *atlas) onTheBooks(t *testing.T) {
	for c, p := range a.cells {
		w := newWorld(t)
		e := &entry{name: p.path(), born: p.born, now: p.born}
		w.orders = []*entry{e}
		for _, step := range p.done {
			if r := w.do(step, e); r != nil {
				t.Fatalf("%s: %v", p.path(), r)
			}
		}
		if e.now.State != c.to {
			t.Errorf("%s by %s of an order that is %s led to %s on the books, to %s when planned", c.event, c.by, stateName(c.from), e.now.State, c.to)
		}
	}
}

// othersRefused tries what the table does not say: it is refused, by the state
// or by the role, and nothing changes.
func (a *atlas) othersRefused(t *testing.T) {
	w := newWorld(t)
	for _, s := range append([]order.State{order.None}, order.States...) {
		for _, p := range a.found[s][:min(2, len(a.found[s]))] {
			before := dump(p.now)
			for _, e := range order.Events {
				for _, by := range allRoles {
					a.tryRefused(t, w, p.now, e, by)
				}
			}
			if got := dump(p.now); got != before {
				t.Errorf("refusals changed the order:\n%s\nwas\n%s", got, before)
			}
		}
	}
}

func (a *atlas) tryRefused(t *testing.T, w *world, o order.Order, e order.Event, by order.Role) {
	t.Helper()
	row, inTable := order.Lookup(o.State, e)
	if inTable && slices.Contains(row.Who, by) {
		return
	}
	want := order.RuleState
	if inTable {
		want = order.RuleRole
	}
	for _, c := range append(a.samples[e], order.Command{Event: e}) {
		c.By, c.At = by, o.DeadlineAt
		ch, err := order.Plan(o, c)
		if err == nil {
			t.Errorf("%s by %s of an order that is %s led to %s, want a refusal by %s", e, by, stateName(o.State), ch.After.State, want)
		} else if r := w.refused([]order.Order{o}, []order.Command{c}, err); r.Rule != want {
			t.Errorf("%s by %s of an order that is %s: %v, want a refusal by %s", e, by, stateName(o.State), r, want)
		}
	}
}
