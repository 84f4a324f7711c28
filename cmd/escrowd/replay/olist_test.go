package replay_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"escrowd/cmd/escrowd/replay"
	"escrowd/cmd/escrowd/replay/replaytest"
	"escrowd/settlement/order"
)

const (
	ordersHeader = "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date\n"
	itemsHeader  = "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value\n"
)

func stories(t *testing.T, orders, items string) []replay.Story {
	t.Helper()
	list, err := replay.Stories(strings.NewReader(ordersHeader+orders), strings.NewReader(itemsHeader+items))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestStories tells one story of each kind: the events with their times, and
// the end.
func TestStories(t *testing.T) {
	const item = "o,1,p,s,2017-05-10 00:00:00,199.9,18.14\n"
	cases := []struct {
		name   string
		orders string // after "o,c,"
		want   string
		final  order.State
		ends   string
	}{
		{"never paid: expires 30 days after the purchase",
			"created,2017-05-01 10:00:00,,,,2017-06-01 00:00:00",
			"agree 05-01T10:00:00", order.Expired, "2017-05-31 10:00:00"},
		{"never shipped: canceled at the shipping limit",
			"invoiced,2017-05-01 10:00:00,2017-05-01 11:00:00,,,2017-06-01 00:00:00",
			"agree 05-01T10:00:00, pay 05-01T11:00:00", order.Canceled, "2017-05-10 00:00:00"},
		{"never shipped, paid right before the limit: a day is left",
			"invoiced,2017-05-01 10:00:00,2017-05-09 23:00:00,,,2017-06-01 00:00:00",
			"agree 05-01T10:00:00, pay 05-09T23:00:00", order.Canceled, "2017-05-10 23:00:00"},
		{"delivered: released after 7 days, matured after 2 more",
			"delivered,2017-05-01 10:00:00,2017-05-01 11:00:00,2017-05-09 23:59:59,2017-05-20 01:00:00,2017-06-01 00:00:00",
			"agree 05-01T10:00:00, pay 05-01T11:00:00, ship 05-09T23:59:59, deliver 05-20T01:00:00", order.Closed, "2017-05-29 01:00:00"},
		{"shipped exactly at the limit is in time",
			"delivered,2017-05-01 10:00:00,2017-05-01 11:00:00,2017-05-10 00:00:00,2017-05-20 01:00:00,2017-06-01 00:00:00",
			"agree 05-01T10:00:00, pay 05-01T11:00:00, ship 05-10T00:00:00, deliver 05-20T01:00:00", order.Closed, "2017-05-29 01:00:00"},
		{"shipped late: extended when it was paid, to a day after the shipment",
			"delivered,2017-05-01 10:00:00,2017-05-01 11:00:00,2017-05-10 00:00:01,2017-05-20 01:00:00,2017-06-01 00:00:00",
			"agree 05-01T10:00:00, pay 05-01T11:00:00, extend 05-01T11:00:00 until 05-11T00:00:01, ship 05-10T00:00:01, deliver 05-20T01:00:00", order.Closed, "2017-05-29 01:00:00"},
		{"delivered and canceled: disputed after a day, ruled after 14",
			"canceled,2017-05-01 10:00:00,2017-05-01 11:00:00,2017-05-09 00:00:00,2017-05-20 01:00:00,2017-06-01 00:00:00",
			"agree 05-01T10:00:00, pay 05-01T11:00:00, ship 05-09T00:00:00, deliver 05-20T01:00:00, dispute 05-21T01:00:00 (not as described), rule 06-04T01:00:00 to buyer 21804", order.Refunded, "2017-06-04 01:00:00"},
		{"never arrived: disputed the day after it was expected",
			"shipped,2017-05-01 10:00:00,2017-05-01 11:00:00,2017-05-09 00:00:00,,2017-06-01 00:00:00",
			"agree 05-01T10:00:00, pay 05-01T11:00:00, ship 05-09T00:00:00, dispute 06-02T00:00:00 (not received), rule 06-16T00:00:00 to buyer 21804", order.Refunded, "2017-06-16 00:00:00"},
		{"left after it was expected: disputed a day after the shipment",
			"shipped,2017-05-01 10:00:00,2017-05-01 11:00:00,2017-05-09 06:00:00,,2017-05-08 00:00:00",
			"agree 05-01T10:00:00, pay 05-01T11:00:00, ship 05-09T06:00:00, dispute 05-10T06:00:00 (not received), rule 05-24T06:00:00 to buyer 21804", order.Refunded, "2017-05-24 06:00:00"},
		{"not approved but handed over: paid when it was bought",
			"delivered,2017-05-01 10:00:00,,2017-05-09 00:00:00,2017-05-20 01:00:00,2017-06-01 00:00:00",
			"agree 05-01T10:00:00, pay 05-01T10:00:00, ship 05-09T00:00:00, deliver 05-20T01:00:00", order.Closed, "2017-05-29 01:00:00"},
		{"delivered without being handed over: shipped at the delivery",
			"delivered,2017-05-01 10:00:00,2017-05-01 11:00:00,,2017-05-08 01:00:00,2017-06-01 00:00:00",
			"agree 05-01T10:00:00, pay 05-01T11:00:00, ship 05-08T01:00:00, deliver 05-08T01:00:00", order.Closed, "2017-05-17 01:00:00"},
		{"each time is at least the one before it",
			"delivered,2017-05-01 10:00:00,2017-05-01 09:00:00,2017-05-01 08:00:00,2017-05-01 07:00:00,2017-06-01 00:00:00",
			"agree 05-01T10:00:00, pay 05-01T10:00:00, ship 05-01T10:00:00, deliver 05-01T10:00:00", order.Closed, "2017-05-10 10:00:00"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			list := stories(t, "o,c,"+c.orders+"\n", item)
			if len(list) != 1 {
				t.Fatalf("%d stories, want 1", len(list))
			}
			s := list[0]
			if got := tellEvents(s); got != c.want {
				t.Errorf("events\n got %s\nwant %s", got, c.want)
			}
			if s.Final != c.final || s.Ends.Format(time.DateTime) != c.ends {
				t.Errorf("ends %s at %s, want %s at %s", s.Final, s.Ends.Format(time.DateTime), c.final, c.ends)
			}
			if s.Reference != "o/s" || s.Buyer != "c" || s.Seller != "s" || s.Amount != 21804 || s.Currency != "BRL" {
				t.Errorf("terms are %+v", s)
			}
		})
	}
}

func tellEvents(s replay.Story) string {
	var words []string
	for _, e := range s.Events {
		w := string(e.Kind) + " " + e.At.Format("01-02T15:04:05")
		if !e.Until.IsZero() {
			w += " until " + e.Until.Format("01-02T15:04:05")
		}
		if e.Kind == order.Dispute {
			w += " (" + e.Reason + ")"
		}
		if e.Kind == order.Rule {
			w += " to buyer " + itoa(e.ToBuyer)
		}
		words = append(words, w)
	}
	return strings.Join(words, ", ")
}

func itoa(v int64) string { return strconv.FormatInt(v, 10) }

func TestStoriesGroupItemsBySeller(t *testing.T) {
	list := stories(t,
		"b,c2,created,2017-05-02 10:00:00,,,,2017-06-01 00:00:00\n"+
			"none,c3,unavailable,2017-05-02 10:00:00,,,,2017-06-01 00:00:00\n"+
			"a,c1,created,2017-05-01 10:00:00,,,,2017-06-01 00:00:00\n",
		"b,1,p,s1,2017-05-10 00:00:00,1,0.05\n"+
			"a,1,p,s1,2017-05-10 00:00:00,10,0\n"+
			"a,2,p,s2,2017-05-12 00:00:00,0.1,0.00\n"+
			"a,3,p,s1,2017-05-11 00:00:00,20.5,7\n")
	var got []string
	for _, s := range list {
		got = append(got, s.Reference+" "+itoa(s.Amount)+" "+s.ShipBy.Format(time.DateOnly))
	}
	want := []string{"a/s1 3750 2017-05-11", "a/s2 10 2017-05-12", "b/s1 105 2017-05-10"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestStoriesRefuse: whatever is wrong is named with file, line and column,
// and then there are no stories at all.
func TestStoriesRefuse(t *testing.T) {
	const (
		order1 = "o,c,delivered,2017-05-01 10:00:00,2017-05-01 11:00:00,2017-05-09 00:00:00,2017-05-20 01:00:00,2017-06-01 00:00:00\n"
		item1  = "o,1,p,s,2017-05-10 00:00:00,199.9,18.14\n"
	)
	cases := []struct {
		name          string
		orders, items string // whole files
		want          string // the beginning of the error
	}{
		{"empty orders", "", itemsHeader + item1, "orders.csv:1:1: the file is empty"},
		{"empty items", ordersHeader + order1, "", "order_items.csv:1:1: the file is empty"},
		{"no items at all", ordersHeader + order1, itemsHeader, "order_items.csv:1:1: no order has any item"},
		{"files swapped", itemsHeader + item1, ordersHeader + order1, "orders.csv:1:71: 7 fields, there must be 8"},
		{"header misspelt", strings.Replace(ordersHeader, "order_status", "status", 1) + order1, itemsHeader + item1, "orders.csv:1:22: the column must be order_status"},
		{"no header", order1, itemsHeader + item1, "orders.csv:1:1: the column must be order_id"},
		{"too few fields", ordersHeader + "o,c,delivered\n", itemsHeader + item1, "orders.csv:2:5: 3 fields, there must be 8"},
		{"too many fields", ordersHeader + order1, itemsHeader + strings.TrimSpace(item1) + ",x\n", "order_items.csv:2:41: 8 fields, there must be 7"},
		{"open quote", ordersHeader + order1, itemsHeader + "o,1,\"p,s,2017-05-10 00:00:00,199.9,18.14\n", "order_items.csv:2:42: extraneous or missing \" in quoted-field"},
		{"bare quote", ordersHeader + order1, itemsHeader + "o,1,p\"q,s,2017-05-10 00:00:00,199.9,18.14\n", "order_items.csv:2:6: bare \""},
		{"order twice", ordersHeader + order1 + order1, itemsHeader + item1, "orders.csv:3:1: the order stands in line 2 already"},
		{"item twice", ordersHeader + order1, itemsHeader + item1 + item1, "order_items.csv:3:3: the order's item stands in line 2 already"},
		{"unknown order", ordersHeader + order1, itemsHeader + "x,1,p,s,2017-05-10 00:00:00,199.9,18.14\n", "order_items.csv:2:1: orders.csv has no such order"},
		{"unknown status", ordersHeader + strings.Replace(order1, "delivered", "arrived", 1), itemsHeader + item1, "orders.csv:2:5: must be one of created, "},
		{"no purchase", ordersHeader + strings.Replace(order1, "2017-05-01 10:00:00", "", 1), itemsHeader + item1, "orders.csv:2:15: must be a time"},
		{"no such day", ordersHeader + strings.Replace(order1, "2017-05-20", "2017-02-30", 1), itemsHeader + item1, "orders.csv:2:75: must be a time"},
		{"another form of time", ordersHeader + strings.Replace(order1, "2017-05-09 00:00:00", "2017-05-09T00:00:00Z", 1), itemsHeader + item1, "orders.csv:2:55: must be a time"},
		{"a fraction of a second", ordersHeader + strings.Replace(order1, "2017-05-09 00:00:00", "2017-05-09 00:00:00.5", 1), itemsHeader + item1, "orders.csv:2:55: must be a time"},
		{"a year of long ago", ordersHeader + strings.Replace(order1, "2017-05-09 00:00:00", "0017-05-09 00:00:00", 1), itemsHeader + item1, "orders.csv:2:55: must be a time"},
		{"three decimals", ordersHeader + order1, itemsHeader + "o,1,p,s,2017-05-10 00:00:00,199.905,18.14\n", "order_items.csv:2:29: an amount has at most 2 decimals"},
		{"a negative amount", ordersHeader + order1, itemsHeader + "o,1,p,s,2017-05-10 00:00:00,-1,18.14\n", "order_items.csv:2:29: must be an amount"},
		{"no amount", ordersHeader + order1, itemsHeader + "o,1,p,s,2017-05-10 00:00:00,,18.14\n", "order_items.csv:2:29: must be an amount"},
		{"a point and nothing", ordersHeader + order1, itemsHeader + "o,1,p,s,2017-05-10 00:00:00,1.,18.14\n", "order_items.csv:2:29: must be an amount"},
		{"an exponent", ordersHeader + order1, itemsHeader + "o,1,p,s,2017-05-10 00:00:00,1e2,18.14\n", "order_items.csv:2:29: must be an amount"},
		{"a comma for the point", ordersHeader + order1, itemsHeader + "o,1,p,s,2017-05-10 00:00:00,199.9,\"18,14\"\n", "order_items.csv:2:35: must be an amount"},
		{"more than 2^53-1", ordersHeader + order1, itemsHeader + "o,1,p,s,2017-05-10 00:00:00,90071992547409.92,0\n", "order_items.csv:2:29: the amount is above"},
		{"more than fits 64 bits", ordersHeader + order1, itemsHeader + "o,1,p,s,2017-05-10 00:00:00,99999999999999999999,0\n", "order_items.csv:2:29: the amount is above"},
		{"together more than 2^53-1", ordersHeader + order1, itemsHeader + "o,1,p,s,2017-05-10 00:00:00,90071992547409.91,0\no,2,p,s,2017-05-10 00:00:00,0.01,0\n", "order_items.csv:3:29: the items of order and seller cost more"},
		{"nothing to pay", ordersHeader + order1, itemsHeader + "o,1,p,s,2017-05-10 00:00:00,0.00,0\n", "order_items.csv:2:1: the items of order and seller cost 0 cents"},
		{"an empty id", ordersHeader + order1, itemsHeader + "o,1,p,,2017-05-10 00:00:00,1,1\n", "order_items.csv:2:7: must be 1 to 90 visible ASCII"},
		{"a slash in an id", ordersHeader + order1, itemsHeader + "o,1,p,a/b,2017-05-10 00:00:00,1,1\n", "order_items.csv:2:7: must be 1 to 90 visible ASCII"},
		{"a space in an id", ordersHeader + strings.Replace(order1, "o,c", "o,c d", 1), itemsHeader + item1, "orders.csv:2:3: must be 1 to 90 visible ASCII"},
		{"a very long id", ordersHeader + strings.Replace(order1, "o,c", "o,"+strings.Repeat("c", 91), 1), itemsHeader + item1, "orders.csv:2:3: must be 1 to 90 visible ASCII"},
		{"approved after it expired", ordersHeader + strings.Replace(order1, "2017-05-01 11:00:00", "2017-05-31 10:00:01", 1), itemsHeader + item1, "orders.csv:2:35: approved later than 30 days"},
		{"shipped and expected never", ordersHeader + "o,c,shipped,2017-05-01 10:00:00,2017-05-01 11:00:00,2017-05-09 00:00:00,,\n", itemsHeader + item1, "orders.csv:2:74: an order that was shipped and never delivered"},
		{"delivered after 11 years", ordersHeader + strings.Replace(order1, "2017-05-20", "2028-05-20", 1), itemsHeader + item1, "orders.csv:2:75: delivered more than 3650 days"},
		{"shipped after 11 years", ordersHeader + strings.Replace(order1, "2017-05-09", "2028-05-20", 1), itemsHeader + item1, "orders.csv:2:55: shipped more than 3650 days"},
		{"expected after 11 years", ordersHeader + "o,c,shipped,2017-05-01 10:00:00,2017-05-01 11:00:00,2017-05-09 00:00:00,,2028-06-01 00:00:00\n", itemsHeader + item1, "orders.csv:2:74: expected more than 3650 days"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			list, err := replay.Stories(strings.NewReader(c.orders), strings.NewReader(c.items))
			if list != nil {
				t.Errorf("%d stories", len(list))
			}
			var in *replay.InputError
			if !errors.As(err, &in) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("error\n  %v, want\n  %s...", err, c.want)
			}
		})
	}
}

// TestStoriesOfEveryKind: the made up orders have every ending, and both who
// read them, the stories and the accountant, see the same money go in.
func TestStoriesOfEveryKind(t *testing.T) {
	dir := t.TempDir()
	replaytest.Write(t, dir, 7, 20*replaytest.Kinds)
	list, err := replay.OlistDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	agree(t, dir, list)
	ends := map[order.State]int{}
	for _, s := range list {
		ends[s.Final]++
	}
	for _, want := range []order.State{order.Expired, order.Canceled, order.Closed, order.Refunded} {
		if ends[want] == 0 {
			t.Errorf("no story ends %s", want)
		}
	}
}

func TestStoriesOfRealOrders(t *testing.T) {
	dir := replaytest.Dir(t)
	list, err := replay.OlistDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 7501 {
		t.Errorf("%d stories, the files have 7501 pairs of order and seller", len(list))
	}
	agree(t, dir, list)
}

// agree compares what is paid by the stories with what is paid by the books.
func agree(t *testing.T, dir string, list []replay.Story) {
	t.Helper()
	var paid int64
	for _, s := range list {
		if slices.ContainsFunc(s.Events, func(e replay.Event) bool { return e.Kind == order.Pay }) {
			paid += s.Amount
		}
	}
	_, last := replay.Span(list)
	books := replaytest.Read(t, dir).At(last)
	if in := books[1100].Debits; in != paid {
		t.Errorf("the stories pay %d, the books take in %d", paid, in)
	}
	if held := books[2100].Credits - books[2100].Debits; held != 0 {
		t.Errorf("%d is held when the last story has ended", held)
	}
}

// FuzzStories: no input makes the reader panic, and what it takes is sound.
func FuzzStories(f *testing.F) {
	orders, items := replaytest.Make(3, 4)
	f.Add(orders, items)
	f.Add([]byte(ordersHeader), []byte(itemsHeader))
	f.Fuzz(func(t *testing.T, orders, items []byte) {
		list, err := replay.Stories(strings.NewReader(string(orders)), strings.NewReader(string(items)))
		if err != nil {
			return
		}
		for _, s := range list {
			if s.Amount < 1 || s.Amount > order.MaxAmount || s.Ends.Before(s.Events[len(s.Events)-1].At) ||
				!slices.IsSortedFunc(s.Events, func(a, b replay.Event) int { return a.At.Compare(b.At) }) {
				t.Fatalf("unsound story %+v", s)
			}
		}
	})
}
