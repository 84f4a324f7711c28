package render

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"escrowd/ledger/chart"
	"escrowd/reports"
	"escrowd/settlement/order"
)

// Order writes an order's sheet, as text (Table) or as JSON.
func Order(w io.Writer, f Format, s *reports.OrderSheet) error {
	switch f {
	case Table:
		_, err := io.WriteString(w, orderText(s))
		return err
	case JSON:
		return indented(w, s)
	}
	return fmt.Errorf("render: an order is written as %s or %s, not as %q", Table, JSON, f)
}

func orderText(s *reports.OrderSheet) string {
	o := &s.Order
	c, _ := chart.ByCode(o.Currency)
	money := func(a reports.Amount) string { return a.Decimal(int(c.Digits)) }
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-12s%s\n", name, printable(fmt.Sprintf(format, args...)))
	}

	fmt.Fprintf(&b, "Order %s\n", o.ID)
	line("reference", "%s", o.Reference)
	line("marketplace", "%d", o.Marketplace)
	line("buyer", "%s", o.Buyer)
	line("seller", "%s", sellerText(o))
	if o.Category != "" {
		line("category", "%s", o.Category)
	}
	if o.BuyerShare != nil {
		line("buyer bears", "%s of the fee, on top of %s", money(*o.BuyerShare), money(o.Amount))
	}
	line("agreed", "%s %s at %s, policy %s", o.Currency, money(o.Agreed), moment(o.AgreedAt), o.Policy)
	if o.RepricedTo != nil {
		line("price now", "%s", money(*o.RepricedTo))
	}
	if o.ConfirmWithin > 0 {
		line("inspection", "%s from the delivery, as agreed", order.Seconds(o.ConfirmWithin))
	}
	if fx := o.PaidIn; fx != nil {
		paid, _ := chart.ByCode(fx.Currency)
		line("paid", "%s %s, of which spread %s, at %s %s for 1 %s; refunds are in %s",
			paid.Code, paid.Minor(fx.Amount), paid.Minor(fx.Spread), fx.Rate, o.Currency, paid.Code, o.Currency)
	}
	line("state", "%s", o.State)
	line("case notes", "%d", s.Notes)

	b.WriteString("\nWhere the money is\n")
	line("why", "%s", s.Explanation.Why)
	line("until", "%s", s.Explanation.Until)
	line("next", "%s", s.Explanation.Next)
	line("otherwise", "%s", s.Explanation.Otherwise)
	line("held", "%s", money(o.Held))
	line("released", "%s, of which fee %s and tax %s", money(o.Released), money(o.Fee), money(o.Tax))
	line("maturing", "%s", money(o.Maturing))
	if o.Reserved.Sign() > 0 {
		line("reserved", "%s", money(o.Reserved))
	}
	line("refunded", "%s", money(o.Refunded))

	if len(o.Parts) > 0 {
		b.WriteString("\nParts\n" + partsTable(o.Parts, money) + "\n")
	}

	if len(s.Shipments) > 0 {
		b.WriteString("\nShipments: what was held for each when it left; a replacement and a return bring no money of their own\n" + shipmentsText(s.Shipments, money))
	}

	b.WriteString("\nTimeline\n")
	t := newTable([]column{{name: "#", right: true}, {name: "event"}, {name: "by"}, {name: "took effect"}, {name: "booked"},
		{name: "state after"}, {name: "held after", right: true}})
	for _, e := range s.Timeline {
		t.AppendRow(table.Row{e.Seq, e.Event, e.By, moment(e.EffectedAt), short(e.BookedAt), e.State, money(e.Held)})
	}
	b.WriteString(t.Render())

	b.WriteString("\n\nEscrow account (2100) in the journal: debits take money out, credits bring it in\n")
	if len(s.Escrow) == 0 {
		b.WriteString("(no transfers)\n")
	} else {
		t = newTable([]column{{name: "took effect"}, {name: "booked"}, {name: "movement"}, {name: "against"},
			{name: "debit", right: true}, {name: "credit", right: true}, {name: "frozen", right: true}, {name: "balance", right: true}})
		blank := func(a reports.Amount) string {
			if a.Sign() == 0 {
				return ""
			}
			return money(a)
		}
		for _, l := range s.Escrow {
			t.AppendRow(table.Row{moment(l.EffectedAt), short(l.BookedAt), l.Movement, printable(l.Against),
				blank(l.Debit), blank(l.Credit), blank(l.Frozen), money(l.Balance)})
		}
		b.WriteString(t.Render())
		b.WriteString("\n")
	}
	if len(s.Feedback) > 0 {
		b.WriteString("\nFeedback: ratings are from 1 to 5, and a revision counts in place of what its author said before\n")
		b.WriteString(feedbackText(s.Feedback))
	}
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "DOES NOT ADD UP: %s.\n", printable(p))
	}
	return b.String()
}

// feedbackText is what was said of an order, a line each.
func feedbackText(said []reports.FeedbackLine) string {
	var b strings.Builder
	for _, f := range said {
		rating := "-"
		if f.Rating > 0 {
			rating = fmt.Sprint(f.Rating)
		}
		fmt.Fprintf(&b, "  %s  %-8s by %-6s  %s  %s\n", moment(f.At), f.Part, f.By, rating, printable(f.Text))
	}
	return b.String()
}

func sellerText(o *reports.OrderFacts) string {
	text := o.Seller
	if o.SellerTier != "" {
		text += ", tier " + o.SellerTier
	}
	if o.Jurisdiction != "" {
		text += ", in " + o.Jurisdiction
	}
	return text
}

func partsTable(parts []reports.OrderPart, money func(reports.Amount) string) string {
	t := newTable([]column{{name: "part"}, {name: "amount", right: true}, {name: "state"}, {name: "held", right: true},
		{name: "refunded", right: true}, {name: "maturing", right: true}, {name: "deadline"}, {name: "at"}})
	for _, p := range parts {
		at, maturing := "", ""
		if p.DeadlineAt != nil {
			at = moment(*p.DeadlineAt)
		}
		if p.Maturing != nil {
			maturing = money(*p.Maturing)
		}
		t.AppendRow(table.Row{printable(p.Name), money(p.Amount), p.State, money(p.Held), money(p.Refunded), maturing, p.Deadline, at})
	}
	return t.Render()
}

// shipmentsText is a line for each shipment, and below them one for each scan.
func shipmentsText(list []reports.OrderShipment, money func(reports.Amount) string) string {
	t := newTable([]column{{name: "#", right: true}, {name: "kind"}, {name: "parts"}, {name: "child of", right: true}, {name: "amount", right: true},
		{name: "carrier"}, {name: "tracking"}, {name: "shipped"}, {name: "delivered"}})
	when := func(at *time.Time) string {
		if at == nil {
			return ""
		}
		return moment(*at)
	}
	var scans strings.Builder
	for _, s := range list {
		of := ""
		if s.ChildOf > 0 {
			of = fmt.Sprint(s.ChildOf)
		}
		t.AppendRow(table.Row{s.Number, s.Kind, printable(strings.Join(s.Parts, ", ")), of, money(s.Amount), printable(s.Carrier), printable(s.Tracking),
			when(s.ShippedAt), when(s.DeliveredAt)})
		for _, scan := range s.Scans {
			words := []string{scan.Status}
			if scan.Tracking != "" {
				words = append(words, "tracking "+scan.Tracking)
			}
			for _, w := range []string{scan.Location, scan.Note} {
				if w != "" {
					words = append(words, w)
				}
			}
			fmt.Fprintf(&scans, "  %s  shipment %d: %s\n", moment(scan.At), s.Number, printable(strings.Join(words, ", ")))
		}
	}
	return t.Render() + "\n" + scans.String()
}

// short is a time to the second: the ledger's nanoseconds are in the JSON.
func short(t time.Time) string { return moment(t.Truncate(time.Second)) }
