package main

import (
	"bufio"
	"context"
	"errors"
	"strings"
	"time"

	"escrowd/reports"
	"escrowd/reports/render"
)

type orderCmd struct {
	Show orderShowCmd `cmd:"" help:"Say why an order's money is where it is, until when, who must act, and what happens otherwise."`
	List orderListCmd `cmd:"" help:"List orders as they stand now, oldest first."`
}

type orderShowCmd struct {
	StoreFlags  `embed:""`
	Marketplace string `placeholder:"NAME|ID" help:"The order's marketplace. Needed only where several use the same reference."`
	Format      string `enum:"text,json" default:"text" help:"Form of the output: ${enum}."`
	Order       string `arg:"" name:"id-or-reference" help:"The order's id, or the marketplace's own reference."`
}

func (orderShowCmd) Help() string {
	return `Below the explanation stand the order's timeline and the T-account of its escrow account, read from the ledger's journal. Exits 1 if the order and its account contradict each other, 2 if there is no such order.

    escrowd order show 01941f29-7c00-7000-8000-000000000000
    escrowd order show A-1001 --marketplace shop --format json`
}

// Run prints all that is known of the order.
func (c *orderShowCmd) Run(ctx context.Context, g *Globals) (err error) {
	s, err := c.Open(ctx, g, ReadStore)
	if err != nil {
		return err
	}
	defer closeInto(s, &err)
	sheet, err := reports.New(s.DB).Order(ctx, c.Marketplace, c.Order)
	if err != nil {
		return asUsage(err)
	}
	format := render.Table
	if c.Format == "json" {
		format = render.JSON
	}
	out := bufio.NewWriter(g.Stdout)
	if err := errors.Join(render.Order(out, format, sheet), out.Flush()); err != nil {
		return err
	}
	if len(sheet.Problems) > 0 {
		return checkFailed("order %s does not add up: %s", sheet.Order.ID, strings.Join(sheet.Problems, "; "))
	}
	return nil
}

type orderListCmd struct {
	StoreFlags  `embed:""`
	State       string `placeholder:"STATE" help:"Only orders in this state: agreed, authorised, held, part_shipped, shipped, delivered, disputed, negotiating, escalated, arbitration, decided, returning, returned, ruled, released, refunded, canceled, expired, closed."`
	Marketplace string `placeholder:"NAME|ID" help:"Only this marketplace's."`
	Currency    string `placeholder:"CODE" help:"Only in this currency: an ISO 4217 code."`
	After       string `placeholder:"ID" help:"Only orders after this one: the last of the page before."`
	Limit       int    `default:"100" help:"At most so many; 0 for all."`
	Format      string `enum:"table,csv,json" default:"table" help:"${enum}. Amounts are decimals in a table and integers of minor units in the others."`
}

func (orderListCmd) Help() string {
	return `JSON is {"report":"orders","as_of","basis","ledger_timestamp","rows":[...]}, as a report's.

    escrowd order list --state disputed
    escrowd order list --limit 0 --format csv >orders.csv`
}

// Run prints the orders.
func (c *orderListCmd) Run(ctx context.Context, g *Globals) (err error) {
	if c.Limit < 0 {
		return usageError("--limit: %d is below 0", c.Limit)
	}
	s, err := c.Open(ctx, g, ReadStore)
	if err != nil {
		return err
	}
	defer closeInto(s, &err)
	r, err := reports.New(s.DB).Orders(ctx, reports.OrderFilter{State: c.State, Marketplace: c.Marketplace,
		Currency: c.Currency, After: c.After, Limit: c.Limit, Now: time.Now()})
	if err != nil {
		return asUsage(err)
	}
	return printSheet(g, render.Format(c.Format), r)
}
