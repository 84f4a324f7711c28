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
	Amount      string    `placeholder:"AMOUNT" help:"How much, of an event that takes an amount. Without this all; reprice: the new price."`
	Method      string    `placeholder:"METHOD" help:"pay, authorise: how it would be paid; chargeback: by which method the money had come in, where the order was paid from the buyer's balance."`
	Return      bool      `help:"offer, rule: once the goods are back."`
	Replacement bool      `help:"offer, accept_offer, rule: other goods in place of those that came."`
	Reason      string    `default:"a preview" placeholder:"TEXT" help:"Why, where an event needs a reason."`
	At          time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"T" help:"When it would take effect (RFC 3339), not after the marketplace's clock. Without this now."`
	Format      string    `enum:"text,json" default:"text" help:"${enum}. JSON is what POST /v1/orders/{id}/.../preview answers, with integers of minor units."`
	FX          fxFlags   `embed:"" prefix:"fx-"`
}

// fxFlags say what is paid, or taken back, in another currency than the order's.
type fxFlags struct {
	Currency string `placeholder:"CODE" help:"pay, chargeback: in which currency, if not in the order's own."`
	Amount   string `placeholder:"AMOUNT" help:"How much of that currency."`
	Rate     string `placeholder:"RATE" help:"Units of the order's currency for one unit of it, a decimal."`
	Spread   string `placeholder:"AMOUNT" help:"pay: how much of --fx-amount the marketplace keeps."`
}

// fx is what the flags say, zero for nothing.
func (f *fxFlags) fx() (fx order.FX, err error) {
	if *f == (fxFlags{}) {
		return fx, nil
	}
	cur, err := chart.Find(f.Currency)
	if err != nil {
		return fx, usageError("--fx-currency: %w", err)
	}
	fx = order.FX{Currency: cur.Code, Rate: f.Rate}
	if fx.Amount, err = minorFlag(cur, "--fx-amount", f.Amount); err != nil {
		return fx, err
	}
	if fx.Spread, err = minorFlag(cur, "--fx-spread", f.Spread); err != nil {
		return fx, err
	}
	if field, detail := fx.Check(); field != "" {
		return fx, usageError("--fx-%s: %s", field, detail)
	}
	return fx, nil
}

// minorFlag reads an amount of a flag, 0 for none.
func minorFlag(cur chart.Currency, flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	v, err := cur.Parse(text)
	if err == nil && v.Cmp(ledger.U64(order.MaxAmount)) > 0 {
		err = errors.New("more than an order can be about")
	}
	if err != nil {
		return 0, usageError("%s: %w", flag, err)
	}
	return int64(v.Lo), nil
}

func (orderPreviewCmd) Help() string {
	return `Nothing moves. Of a ruling the seller gets what does not go to the buyer. Below what the event does stands what the next deadline would cause if nobody acted then, such as a ruling that nobody appeals. Exits 2 if the event would be refused, and says by which rule.

    escrowd order preview A-1001 rule --to-buyer 40.00
    escrowd order preview A-1001 refund --amount 5.00 --format json
    escrowd order preview A-1001 reprice --amount 119.90
    escrowd order preview A-1001 chargeback --method bank_transfer
    escrowd order preview A-1002 chargeback --fx-currency JPY --fx-amount 15000 --fx-rate 0.0067`
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
		w, err := posting.Preview(ctx, a.store, a.market, o, cmd, time.Now())
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
	var err error
	if cmd.ToBuyer, err = minorFlag(cur, "--to-buyer", c.ToBuyer); err != nil {
		return cmd, err
	}
	if cmd.Amount, err = minorFlag(cur, "--amount", c.Amount); err != nil {
		return cmd, err
	}
	if cmd.FX, err = c.FX.fx(); err != nil {
		return cmd, err
	}
	if cmd.Event == order.Rule {
		cmd.ToSeller = o.AtStake() - cmd.ToBuyer
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
		amount := money(m.Currency, m.Amount)
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
