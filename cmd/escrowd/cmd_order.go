package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"escrowd/intake"
	"escrowd/intake/api"
	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/reports"
	"escrowd/reports/render"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/policyfile"
	"escrowd/settlement/posting"
)

type orderCmd struct {
	Show           orderShowCmd           `cmd:"" help:"Say why an order's money is where it is, until when, who must act, and what happens otherwise."`
	List           orderListCmd           `cmd:"" help:"List orders as they stand now, oldest first."`
	Quote          orderQuoteCmd          `cmd:"" help:"Say what an order would cost and pay out, and how long each step could take. Nothing is stored."`
	Agree          orderAgreeCmd          `cmd:"" help:"Record what buyer and seller agreed."`
	Do             orderDoCmd             `cmd:"" help:"Book an event of an order: its payment, its shipment, a dispute's next step, a ruling."`
	Propose        orderProposeCmd        `cmd:"" help:"Propose a ruling, which another person approves with 'escrowd entry do'."`
	Preview        orderPreviewCmd        `cmd:"" help:"Say what an event, such as a ruling, would do to an order now: who would get what, and what would follow. Nothing moves."`
	PreviewPayment orderPreviewPaymentCmd `cmd:"" help:"Say what one payment of one or several orders would do now. Nothing moves."`

	Note     orderNoteCmd     `cmd:"" help:"Support's notes on an order."`
	Feedback orderFeedbackCmd `cmd:"" help:"What buyer and seller of an order said of each other."`
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
	State       string `placeholder:"STATE" help:"Only orders in this state: ${order_states}."`
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

type orderQuoteCmd struct {
	marketFlags `embed:""`
	Currency    string    `arg:"" help:"An ISO 4217 code."`
	Amount      string    `arg:"" help:"What would be agreed, a decimal with all the decimals of the currency: 129.90 in USD, 1500 in JPY."`
	Policy      string    `placeholder:"NAME" help:"The policy; the standard one if left out."`
	At          time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"T" help:"When it would be agreed (RFC 3339), also in the future. Without this now, by the marketplace's clock."`
	Format      string    `enum:"text,json" default:"text" help:"${enum}. JSON is what POST /v1/quotes answers, with integers of minor units."`

	SellerTier   string `placeholder:"WORD" help:"The seller's tier, by which the fee can differ."`
	Jurisdiction string `placeholder:"CODE" help:"The seller's jurisdiction, like DE or US-CA, by which tax on the fee can differ."`
	Seller       string `placeholder:"ID" help:"The seller: tier and jurisdiction that are not named are those of the seller's record."`
	Category     string `placeholder:"WORD" help:"What kind of goods: the seller can be eligible in some only."`
	Virtual      bool   `help:"Of virtual goods, which nobody carries."`

	ConfirmWithin string `placeholder:"TIME" help:"The time to confirm from the delivery that would be agreed, as in a policy: 14d, 36h. Without this the policy's own."`
}

func (orderQuoteCmd) Help() string {
	return `By the version of the policy that is in force at that time.

    escrowd order quote shop USD 129.90
    escrowd order quote shop USD 129.90 --policy alibaba --at 2026-12-01T00:00:00Z
    escrowd order quote shop USD 129.90 --seller-tier gold --jurisdiction DE
    escrowd order quote shop USD 129.90 --seller seller-3
    escrowd order quote shop USD 129.90 --policy inspection --confirm-within 14d`
}

// Run prints the quote.
func (c *orderQuoteCmd) Run(ctx context.Context, g *Globals) error {
	cur, err := chart.Find(c.Currency)
	if err != nil {
		return usageError("%q: %w", c.Currency, err)
	}
	amount, err := cur.Parse(c.Amount)
	if err != nil {
		return usageError("%w", err)
	}
	if amount.Cmp(ledger.U64(order.MaxAmount)) > 0 {
		return usageError("%s is more than an order can be about: 2^53-1 minor units", c.Amount)
	}
	within, err := inspectionFlag(c.ConfirmWithin)
	if err != nil {
		return err
	}
	return c.withMarket(ctx, g, ReadStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		o, err := posting.Quote(ctx, store, m, posting.Agreement{Seller: c.Seller, Category: c.Category, Currency: cur.Code, Amount: int64(amount.Lo),
			Policy: c.Policy, SellerTier: c.SellerTier, Jurisdiction: c.Jurisdiction, Virtual: c.Virtual, ConfirmWithin: within}, c.At, time.Now())
		if _, refused := errors.AsType[*posting.Invalid](err); refused {
			return usageError("%w", err)
		}
		if err != nil {
			return refusalAsUsage(err)
		}
		q := intake.QuoteOf(&o)
		if c.Format == "json" {
			return printJSON(g, q)
		}
		if err := printQuote(g.Stdout, &o, &q); err != nil {
			return err
		}
		return printSteps(g.Stdout, q.Steps)
	})
}

// inspectionFlag reads a time to confirm that is agreed, 0 for none.
func inspectionFlag(text string) (within order.Seconds, err error) {
	if text == "" {
		return 0, nil
	}
	if within, err = policyfile.ParseSeconds(text); err == nil && within < 1 {
		err = errors.New("must be longer than nothing")
	}
	if err != nil {
		return 0, usageError("--confirm-within: %w", err)
	}
	return within, nil
}

// printQuote says what an order would come to, in a line for each method where
// that depends on it.
func printQuote(w io.Writer, o *order.Order, q *api.Quote) error {
	rows := costRows("", q)
	fmt.Fprintf(w, "Agreed at %s under policy %s version %d:", stamp(o.At), q.Policy, q.PolicyVersion)
	if len(rows) == 1 {
		_, err := fmt.Fprintf(w, " %s\n\n", rows[0][1])
		return err
	}
	for _, row := range rows {
		fmt.Fprintf(w, "\n    %s", row[1])
	}
	_, err := fmt.Fprint(w, "\n\n")
	return err
}
