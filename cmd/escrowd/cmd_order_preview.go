package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"escrowd/intake"
	"escrowd/intake/api"
	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

type orderPreviewCmd struct {
	orderFlags  `embed:""`
	Event       string    `arg:"" help:"What would happen, as the timeline names it: rule, accept_claim, refund, ship, ..."`
	By          string    `placeholder:"ROLE" help:"Who would do it: buyer, seller, carrier, operator or system. Without this whoever usually does."`
	ToBuyer     string    `placeholder:"AMOUNT" help:"rule, offer, accept_offer: what would go back to the buyer, a decimal with all the decimals of the currency."`
	Amount      string    `placeholder:"AMOUNT" help:"How much, of an event that takes an amount. Without this all."`
	Method      string    `placeholder:"METHOD" help:"pay, authorise: how it would be paid."`
	Return      bool      `help:"offer, rule: once the goods are back."`
	Replacement bool      `help:"offer, accept_offer, rule: other goods in place of those that came."`
	Reason      string    `default:"a preview" placeholder:"TEXT" help:"Why, where an event needs a reason."`
	At          time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"T" help:"When it would take effect (RFC 3339), not after the marketplace's clock. Without this now."`
	Format      string    `enum:"text,json" default:"text" help:"${enum}. JSON is what POST /v1/orders/{id}/.../preview answers, with integers of minor units."`
}

func (orderPreviewCmd) Help() string {
	return `Nothing moves. Of a ruling the seller gets what does not go to the buyer. Below what the event does stands what the next deadline would cause if nobody acted then, such as a ruling that nobody appeals. Exits 2 if the event would be refused, and says by which rule.

    escrowd order preview A-1001 rule --to-buyer 40.00
    escrowd order preview A-1001 refund --amount 5.00 --format json`
}

// Run prints what would happen.
func (c *orderPreviewCmd) Run(ctx context.Context, g *Globals) error {
	return c.withOrder(ctx, g, ReadStore, func(a *aroundOrder) error {
		o, err := a.store.Order(ctx, a.market.ID, a.id)
		if err != nil {
			return err
		}
		cmd, err := c.command(&o)
		if err != nil {
			return err
		}
		w, err := posting.Preview(a.market, o, cmd, time.Now())
		if err != nil {
			return err
		}
		p := intake.PreviewOf(&w, cmd.Method)
		if c.Format == "json" {
			return printJSON(g, p)
		}
		return printPreview(g, &p)
	})
}

// command is what the flags ask for.
func (c *orderPreviewCmd) command(o *order.Order) (order.Command, error) {
	cmd := order.Command{Event: order.Event(strings.ReplaceAll(c.Event, "-", "_")), By: order.Role(c.By), At: c.At,
		Method: c.Method, Return: c.Return, Replacement: c.Replacement, Reason: c.Reason}
	if !slices.Contains(order.Events, cmd.Event) {
		return cmd, usageError("there is no event %q", c.Event)
	}
	_, cur, _ := chart.SplitLedger(o.Ledger)
	for _, f := range []struct {
		flag, text string
		to         *int64
	}{{"--to-buyer", c.ToBuyer, &cmd.ToBuyer}, {"--amount", c.Amount, &cmd.Amount}} {
		if f.text == "" {
			continue
		}
		v, err := cur.Parse(f.text)
		if err == nil && v.Cmp(ledger.U64(order.MaxAmount)) > 0 {
			err = errors.New("more than an order can be about")
		}
		if err != nil {
			return cmd, usageError("%s: %w", f.flag, err)
		}
		*f.to = int64(v.Lo)
	}
	if cmd.Event == order.Rule {
		cmd.ToSeller = o.Held - cmd.ToBuyer
	}
	return cmd, nil
}

func printPreview(g *Globals, p *api.Preview) error {
	if p.Approval {
		if _, err := fmt.Fprintln(g.Stdout, "One person has to propose it and another to approve it. Then:"); err != nil {
			return err
		}
	}
	if err := printEffect(g, p.Order.Currency, "now", &p.Effect); err != nil {
		return err
	}
	if p.Otherwise != nil {
		if _, err := fmt.Fprintln(g.Stdout); err != nil {
			return err
		}
		if err := printEffect(g, p.Order.Currency, "then, if nobody acts", p.Otherwise); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(g.Stdout, "\nafterwards  %s\nuntil       %s\nnext        %s\notherwise   %s\n",
		p.Explanation.Why, p.Explanation.Until, p.Explanation.Next, p.Explanation.Otherwise)
	return err
}

func printEffect(g *Globals, currency, when string, e *api.Effect) error {
	facts := [][]string{{when, e.Event + " leads to " + e.State + ", at " + stamp(e.At)}}
	if len(e.Moves) == 0 {
		facts = append(facts, []string{"moves", "nothing"})
	} else {
		facts = append(facts, []string{"buyer gets", money(currency, e.ToBuyer)}, []string{"seller gets", money(currency, e.ToSeller)},
			[]string{"fee", money(currency, e.Fee)}, []string{"tax on it", money(currency, e.Tax)})
	}
	if err := printTable(g.Stdout, facts); err != nil || len(e.Moves) == 0 {
		return err
	}
	rows := [][]string{{"movement", "from", "to", "amount"}}
	for _, m := range e.Moves {
		amount := money(currency, m.Amount)
		if m.AtMost {
			amount = "at most " + amount
		}
		rows = append(rows, []string{m.Name, accountWord(m.Debit), accountWord(m.Credit), amount})
	}
	return printTable(g.Stdout, rows)
}

func accountWord(a api.MoveAccount) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", a.Code, a.Name, a.Owner))
}
