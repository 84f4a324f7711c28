package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"escrowd/intake"
	"escrowd/intake/api"
	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/reports"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

type orderPreviewPaymentCmd struct {
	StoreFlags  `embed:""`
	Marketplace string    `placeholder:"NAME|ID" help:"The orders' marketplace. Needed only where several use the same reference."`
	Orders      []string  `arg:"" name:"id-or-reference" help:"The orders that it covers: each one's id, or the marketplace's own reference."`
	Method      string    `required:"" placeholder:"METHOD" help:"How it would be paid: one of the policy's methods, or balance."`
	By          string    `placeholder:"ROLE" help:"Who would say so: buyer or operator. Without this the buyer."`
	Amount      string    `placeholder:"AMOUNT" help:"What would be paid for all of them, a decimal with all the decimals of the currency. Without this what they come to."`
	At          time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"T" help:"When it would take effect (RFC 3339), not after the marketplace's clock. Without this now."`
	Format      string    `enum:"text,json" default:"text" help:"${enum}. JSON is what POST /v1/payments/preview answers, with integers of minor units."`
	FX          fxFlags   `embed:"" prefix:"fx-"`
}

func (orderPreviewPaymentCmd) Help() string {
	return `Nothing moves. All of the orders would be held, or none; what is received at once for all of them is a movement of the first. Whether the buyer's balance is enough for --method balance is for the ledger to say: POST /v1/payments/preview asks it, this does not. Exits 2 if the payment would be refused, and says by which rule.

    escrowd order preview-payment A-1001 A-1002 --method card
    escrowd order preview-payment A-1003 --method card --fx-currency JPY --fx-amount 15100 --fx-rate 0.0067 --fx-spread 100`
}

// Run prints what would happen to each order.
func (c *orderPreviewPaymentCmd) Run(ctx context.Context, g *Globals) (err error) {
	s, err := c.Open(ctx, g, ReadStore)
	if err != nil {
		return err
	}
	defer closeInto(s, &err)
	store := orderdb.New(s.DB)
	in, ids, err := c.find(ctx, reports.New(s.DB))
	if err != nil {
		return asUsage(err)
	}
	m, err := store.Marketplace(ctx, in)
	if err != nil {
		return fmt.Errorf("read marketplace %d: %w", in, err)
	}
	first, err := store.Order(ctx, in, ids[0])
	if err != nil {
		return err
	}
	cmd := order.Command{Event: order.Pay, By: order.Role(c.By), At: c.At, Method: c.Method}
	_, cur, _ := chart.SplitLedger(first.Ledger)
	if cmd.Amount, err = minorFlag(cur, "--amount", c.Amount); err != nil {
		return err
	}
	if cmd.FX, err = c.FX.fx(); err != nil {
		return err
	}
	what, err := posting.PreviewPayment(ctx, store, nil, m, ids, cmd, time.Now())
	if unfit, ok := errors.AsType[*posting.Invalid](err); ok {
		return usageError("%w", unfit)
	}
	if err != nil {
		return refusalAsUsage(err)
	}
	p := intake.PaymentPreviewOf(what, c.Method)
	if c.Format == "json" {
		return printJSON(g, p)
	}
	return printPaymentPreview(g, &p)
}

// find looks the orders up. They are one marketplace's.
func (c *orderPreviewPaymentCmd) find(ctx context.Context, books *reports.Books) (in uint32, ids []ledger.ID, err error) {
	for i, name := range c.Orders {
		m, id, err := books.FindOrder(ctx, c.Marketplace, name)
		if err != nil {
			return 0, nil, err
		}
		if i > 0 && m != in {
			return 0, nil, usageError("%s is another marketplace's than %s", name, c.Orders[0])
		}
		in, ids = m, append(ids, id)
	}
	return in, ids, nil
}

func printPaymentPreview(g *Globals, p *api.PaymentPreview) error {
	for i := range p.Orders {
		one := &p.Orders[i]
		if len(p.Orders) > 1 {
			gap := "\n"
			if i == 0 {
				gap = ""
			}
			if _, err := fmt.Fprintf(g.Stdout, "%sorder %s, %s\n\n", gap, one.Order.Reference, one.Order.ID); err != nil {
				return err
			}
		}
		if err := printPreview(g, one); err != nil {
			return err
		}
	}
	return nil
}
