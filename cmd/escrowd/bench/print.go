package bench

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// Print writes a report for people: all figures of a single point, a table of
// several.
func (r *Report) Print(w io.Writer) error {
	p := &printer{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), nil}
	durable := "durable"
	if !r.Durable {
		durable = "NOT durable"
	}
	p.line("engine %s on Postgres %s, %s; %s, %s", r.Engine, r.Postgres, durable, plural(r.CPUs, "processor"), r.Go)
	for _, c := range r.Caveats {
		p.line("beware: %s", c)
	}
	if len(r.Points) > 0 {
		p.line("%s", r.Points[0].meaning())
		p.line("")
	}
	if len(r.Points) <= 2 {
		for i := range r.Points {
			p.point(&r.Points[i])
		}
	} else {
		p.table(r.Points)
	}
	p.books(&r.Books)
	if err := p.w.Flush(); p.err == nil {
		p.err = err
	}
	return p.err
}

// meaning says what an order is here.
func (p *Point) meaning() string {
	const load = "The load generator is a process of its own on the same machine."
	if p.Batch > 0 {
		return "The ledger alone, by one caller, without HTTP and order store: an order is an account and four transfers, fund and release with fee."
	}
	if p.Overload != nil {
		return "Each request is the payment of an order that is agreed. They come at their times, whether or not those before are answered; latency counts from that time. " + load
	}
	switch p.Life {
	case LifeFull:
		return "An order is four requests, all measured: agree, pay (fund), ship, confirm (release with fee), each for all orders before the next. " + load
	case LifeMixed:
		return "An order is four requests, all measured: agree, pay (fund), ship, confirm (release with fee); a connection takes its orders through all four. " + load
	case LifePayConfirm:
		return "An order is two measured requests: pay (fund) and confirm (release with fee); it is agreed and shipped outside of the measured time. " + load
	}
	return "An order is shipped and past its deadline; the auto-release job releases it with fee and tax."
}

type printer struct {
	w   *tabwriter.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if _, err := fmt.Fprintf(p.w, format+"\n", args...); p.err == nil {
		p.err = err
	}
}

// row is a label and its values, in columns.
func (p *printer) row(label string, values ...string) {
	p.line("  %s\t%s", label, strings.Join(values, "\t"))
}

func (p *printer) point(v *Point) {
	if v.Overload != nil {
		p.overload(v)
		return
	}
	p.line("%s: %s orders", v.Name, count(v.Orders))
	rate := figure(v.OrdersPerSecond)
	if v.HistoryRatio > 0 {
		rate += fmt.Sprintf(", %.2f of that without the history", v.HistoryRatio)
	}
	p.row("orders/s", rate)
	p.row("measured", fmt.Sprintf("%.2f s", v.Seconds))
	if !v.Settle {
		p.row("requests", fmt.Sprintf("%s, %s turned away and sent again", count(v.Requests), count(v.TurnedAway)))
		p.row("latency, ms", v.Latency.String())
		for _, ph := range v.Phases {
			p.row("  "+ph.Event, ph.Latency.String())
		}
	}
	c := &v.Cost
	p.row("CPU, ms per order", fmt.Sprintf("escrowd %s, load generator %s, postgres %s%s", milli(c.CPU.Server), milli(c.CPU.Load), milli(c.CPU.Postgres), tiger(c.CPU.Tigerbeetle)))
	p.row("peak memory", fmt.Sprintf("%.0f MB", float64(c.PeakMemory)/1e6))
	p.row("write path", fmt.Sprintf("%s transactions of %s requests (p50 <= %.0f, p99 <= %.0f)", count(int(c.Transactions.Count)), figure(c.Transactions.Mean), c.Transactions.P50, c.Transactions.P99))
	p.row("ledger", fmt.Sprintf("%s batches of %s transfers (p50 <= %.0f, p99 <= %.0f)", count(int(c.Batches.Count)), figure(c.Batches.Mean), c.Batches.P50, c.Batches.P99))
	var busy []string
	for _, stage := range slices.Sorted(maps.Keys(c.Busy)) {
		busy = append(busy, fmt.Sprintf("%s %.0f %%", stage, 100*c.Busy[stage]))
	}
	p.row("stages at work", strings.Join(busy, ", "))
	p.row("Postgres, per order", fmt.Sprintf("%s bytes of WAL, %.3f commits", figure(c.WALBytes), c.Commits))
	p.row("raw ledger", fmt.Sprintf("%s orders/s, %s transfers/s in batches of %s; escrowd does %.1f %% of it", figure(v.Raw.OrdersPerSecond),
		figure(v.Raw.TransfersPerSecond), count(v.Raw.Batch), 100*v.RawShare))
	if v.HeldFundsSeconds > 0 {
		p.row("held-funds report", fmt.Sprintf("%.2f s with all of them held", v.HeldFundsSeconds))
	}
	p.line("")
}

func (p *printer) overload(v *Point) {
	o := v.Overload
	p.line("%s: %s payments", v.Name, count(v.Requests))
	p.row("capacity", figure(o.Capacity)+" payments/s")
	p.row("offered", fmt.Sprintf("%s payments/s for %.1f s", figure(o.Offered), float64(v.Requests)/o.Offered))
	p.row("accepted", fmt.Sprintf("%s/s, latency in ms %s", figure(o.Accepted), v.Latency))
	p.row("refused", fmt.Sprintf("%s/s (503 with Retry-After), latency in ms %s", figure(o.Refused), o.RefusedLatency))
	c := &v.Cost
	p.row("CPU, ms per payment", fmt.Sprintf("escrowd %s, load generator %s, postgres %s%s", milli(c.CPU.Server), milli(c.CPU.Load), milli(c.CPU.Postgres), tiger(c.CPU.Tigerbeetle)))
	p.row("peak memory", fmt.Sprintf("%.0f MB", float64(c.PeakMemory)/1e6))
	p.line("")
}

func (p *printer) table(points []Point) {
	p.line("%s", strings.Join([]string{"work", "orders", "orders/s", "p50 ms", "p95", "p99", "max",
		"CPU ms/order: escrowd", "load", "postgres", "MB", "transfers/batch", "WAL B/order", "commits/order", "of raw", "with history"}, "\t"))
	for i := range points {
		v := &points[i]
		cells := []string{v.Name, count(v.Orders), figure(v.OrdersPerSecond)}
		if v.Batch > 0 {
			p.line("%s", strings.Join(append(cells, "", "", "", "", "", "", "", "", figure(float64(v.Raw.Batch)), "", "", "", ""), "\t"))
			continue
		}
		if v.Settle {
			cells = append(cells, "", "", "", "")
		} else {
			cells = append(cells, figure(v.Latency.P50), figure(v.Latency.P95), figure(v.Latency.P99), figure(v.Latency.Max))
		}
		ratio := ""
		if v.HistoryRatio > 0 {
			ratio = fmt.Sprintf("%.2f", v.HistoryRatio)
		}
		c := &v.Cost
		cells = append(cells, milli(c.CPU.Server), milli(c.CPU.Load), milli(c.CPU.Postgres)+tiger(c.CPU.Tigerbeetle),
			fmt.Sprintf("%.0f", float64(c.PeakMemory)/1e6), figure(c.Batches.Mean), figure(c.WALBytes), fmt.Sprintf("%.3f", c.Commits),
			fmt.Sprintf("%.1f %%", 100*v.RawShare), ratio)
		p.line("%s", strings.Join(cells, "\t"))
	}
	p.line("")
	for i := range points {
		if v := &points[i]; v.HeldFundsSeconds > 0 {
			p.line("%s: the held-funds report took %.2f s with all %s held", v.Name, v.HeldFundsSeconds, count(v.Orders))
		}
	}
}

func (p *printer) books(b *Books) {
	verdict := "the books balance"
	if !b.Balanced {
		verdict = "THE BOOKS DO NOT BALANCE: the figures above mean nothing"
	}
	p.line("%s: %s orders, %s accounts, checked in %.1f s", verdict, count(int(b.Orders)), count(int(b.Accounts)), b.Seconds)
	for _, s := range b.Problems {
		p.line("  %s", s)
	}
	for _, r := range b.Trial {
		p.line("  %d %s\tdebits %s\tcredits %s", r.Code, r.Account, r.Debits, r.Credits)
	}
	if b.TrialBalanceSeconds > 0 {
		p.line("the trial balance over %s transfers took %.2f s, as of a moment %.2f s", count(int(b.Transfers)), b.TrialBalanceSeconds, b.JournalSeconds)
	}
}

func (l Latency) String() string {
	return fmt.Sprintf("p50 %s, p95 %s, p99 %s, max %s", figure(l.P50), figure(l.P95), figure(l.P99), figure(l.Max))
}

// figure writes three digits of a number, and all that stand before the point.
func figure(v float64) string {
	switch {
	case v >= 100:
		return count(int(math.Round(v)))
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func milli(v *float64) string {
	if v == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.3f", *v)
}

func tiger(v *float64) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf(", tigerbeetle %.3f", *v)
}
