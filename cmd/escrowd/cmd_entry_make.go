package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"escrowd/intake/api"
	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/orderdb"
)

type entryMakeCmd struct {
	marketFlags `embed:""`
	EngineFlags `embed:""`
	apiFlags    `embed:""`
	Kind        string    `arg:"" help:"payout, receipt, repayment, recovery, psp_settlement or fee_sweep; or, proposed by one person and approved by another, write_off, adjustment, bank_details, conversion, ruling or policy."`
	Currency    string    `placeholder:"CODE" help:"ISO 4217 code; of all but bank_details, ruling and policy."`
	Amount      string    `placeholder:"AMOUNT" help:"A decimal with all the decimals of the currency; of the same."`
	Fee         string    `placeholder:"AMOUNT" help:"psp_settlement: what the provider kept."`
	Reference   string    `placeholder:"ID" help:"receipt, psp_settlement, fee_sweep: the outside world's own name for it, such as the line of a statement; unique, so that nothing is booked twice."`
	Party       string    `placeholder:"ID" help:"The seller or the buyer; of a ruling the order's id. A receipt without one is nobody's known."`
	Method      string    `placeholder:"METHOD" help:"receipt, repayment, psp_settlement: the payment method it came or goes by."`
	Orders      []string  `placeholder:"ID" help:"receipt: the ids of the orders that it was sent for; they are paid if it is enough."`
	Debit       string    `placeholder:"CODE[:OWNER]" help:"adjustment: an account of the chart, such as 5100 or 2210:seller-3."`
	Credit      string    `placeholder:"CODE[:OWNER]" help:"adjustment: the same."`
	ToCurrency  string    `placeholder:"CODE" help:"conversion: into which currency."`
	ToAmount    string    `placeholder:"AMOUNT" help:"conversion: what it comes to there."`
	Rate        string    `placeholder:"RATE" help:"conversion: units of --to-currency for one of --currency, an exact decimal."`
	Spread      string    `placeholder:"AMOUNT" help:"conversion: how much of --amount the marketplace keeps."`
	Details     string    `placeholder:"JSON" help:"bank_details: an object such as {\"iban\":\"...\"}. ruling: to_buyer and to_seller, minor units. policy: the document that POST /v1/policies takes."`
	Reason      string    `placeholder:"TEXT" help:"write_off, adjustment, ruling: why."`
	Person      string    `placeholder:"NAME" help:"Who does it; needed where somebody else has to approve it."`
	At          time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"T" help:"When it took effect (RFC 3339). Without this now, by the marketplace's clock."`
	Format      string    `enum:"text,json" default:"text" help:"${enum}. JSON is the API's answer, with integers of minor units."`
}

func (entryMakeCmd) Help() string {
	return `As POST /v1/entries, and checked like it. It may run beside a server. Of a proposal the digest is printed, which its approval names: 'escrowd entry do'. A refusal exits 1 and names the rule; nothing moves then.

    escrowd entry make shop receipt --currency USD --amount 99.00 --method bank_transfer --reference 2026-03-01/17 --party ann
    escrowd entry make shop payout --currency USD --amount 950.00 --party bob
    escrowd entry make shop bank_details --party bob --details '{"iban":"DE02120300000000202051"}' --person eve
    escrowd entry make shop adjustment --currency USD --amount 1.00 --debit 5900 --credit 2000:ann --reason "rounding" --person eve
    escrowd entry make shop conversion --currency USD --amount 50.00 --party ann --to-currency JPY --to-amount 7463 --rate 149.25 --person eve`
}

// Run makes it.
func (c *entryMakeCmd) Run(ctx context.Context, g *Globals) error {
	in, err := c.body()
	if err != nil {
		return err
	}
	return c.withMarketAPI(ctx, g, c.EngineFlags, c.Key, func(m orderdb.Marketplace, l *localAPI) error {
		var e api.EntryMade
		if err := l.call("POST", "/v1/entries", in, &e); err != nil {
			return err
		}
		if c.Format == "json" {
			return printJSON(g, e)
		}
		if _, err := fmt.Fprintf(g.Stdout, "%s %s: %s\n", e.Kind, e.ID, e.State); err != nil {
			return err
		}
		for _, o := range e.Paid {
			if _, err := fmt.Fprintf(g.Stdout, "order %s is paid\n", o.ID); err != nil {
				return err
			}
		}
		if e.Unpaid != nil {
			if _, err := fmt.Fprintf(g.Stdout, "the orders are not paid, the money is the buyer's balance: %s\n", oneLine(e.Unpaid)); err != nil {
				return err
			}
		}
		if e.State == "proposed" {
			_, err := fmt.Fprintf(g.Stdout, "digest %s\n", e.Digest)
			return err
		}
		return nil
	})
}

func (c *entryMakeCmd) body() (fields, error) {
	in := fields{"kind": strings.ReplaceAll(c.Kind, "-", "_")}
	for name, v := range map[string]string{"reference": c.Reference, "party": c.Party, "method": c.Method, "reason": c.Reason, "person": c.Person, "at": moment(c.At)} {
		in.text(name, v)
	}
	var cur chart.Currency
	var err error
	if c.Currency != "" {
		if cur, err = currencyOf("--currency", c.Currency); err != nil {
			return nil, err
		}
		in["currency"] = cur.Code
	} else if c.Amount != "" || c.Fee != "" || c.Spread != "" {
		return nil, usageError("--currency: is required with an amount")
	}
	for name, decimal := range map[string]string{"amount": c.Amount, "fee": c.Fee} {
		if err := in.amount(name, cur, decimal); err != nil {
			return nil, err
		}
	}
	if c.ToCurrency != "" {
		into, err := currencyOf("--to-currency", c.ToCurrency)
		if err != nil {
			return nil, err
		}
		to := fields{"currency": into.Code}
		to.text("rate", c.Rate)
		if err := to.amount("amount", into, c.ToAmount); err != nil {
			return nil, err
		}
		if err := to.amount("spread", cur, c.Spread); err != nil {
			return nil, err
		}
		in["to"] = to
	} else if c.ToAmount != "" || c.Rate != "" || c.Spread != "" {
		return nil, usageError("--to-currency: is required with --to-amount, --rate and --spread")
	}
	for name, text := range map[string]string{"debit": c.Debit, "credit": c.Credit} {
		if text == "" {
			continue
		}
		code, owner, _ := strings.Cut(text, ":")
		n, err := strconv.Atoi(code)
		if err != nil {
			return nil, usageError("--%s: %q does not begin with an account's number", name, text)
		}
		account := fields{"code": n}
		account.text("owner", owner)
		in[name] = account
	}
	if c.Details != "" {
		if !json.Valid([]byte(c.Details)) {
			return nil, usageError("--details: not JSON")
		}
		in["details"] = json.RawMessage(c.Details)
	}
	if len(c.Orders) > 0 {
		in["orders"] = c.Orders
	}
	return in, nil
}

// withMarketAPI runs f with the API of the marketplace that the flags name.
func (c marketFlags) withMarketAPI(ctx context.Context, g *Globals, books EngineFlags, key string,
	f func(orderdb.Marketplace, *localAPI) error) (err error) {
	s, err := c.Open(ctx, g, JoinStore)
	if err != nil {
		return err
	}
	defer closeInto(s, &err)
	m, err := c.find(ctx, orderdb.New(s.DB))
	if err != nil {
		return err
	}
	return withAPI(ctx, g, s, books, m.ID, key, func(l *localAPI) error { return f(m, l) })
}

type entryBalancesCmd struct {
	marketFlags `embed:""`
	EngineFlags `embed:""`
	Party       string `arg:"" help:"The buyer's or the seller's id."`
	Format      string `enum:"table,json" default:"table" help:"${enum}. Amounts are decimals in a table and minor units in JSON."`
}

func (entryBalancesCmd) Help() string {
	return `A line for each account: a buyer's balance; of a seller what matures, what is available, the reserve and the debt.

    escrowd entry balances shop bob`
}

// Run prints the balances.
func (c *entryBalancesCmd) Run(ctx context.Context, g *Globals) error {
	return c.withMarketAPI(ctx, g, c.EngineFlags, "", func(_ orderdb.Marketplace, l *localAPI) error {
		var b api.Balances
		if err := l.call("GET", "/v1/balances?"+url.Values{"party": {c.Party}}.Encode(), nil, &b); err != nil {
			return err
		}
		if c.Format == "json" {
			return printJSON(g, b)
		}
		if len(b.Balances) == 0 {
			_, err := fmt.Fprintln(g.Stdout, "(nothing)")
			return err
		}
		rows := [][]string{{"currency", "account", "amount", "pending"}}
		for _, a := range b.Balances {
			cur, ok := chart.ByCode(a.Currency)
			if !ok {
				return fmt.Errorf("a balance is in %q, which is no currency", a.Currency)
			}
			row := []string{a.Currency, a.Account}
			for _, text := range []string{a.Amount, a.Pending} {
				n, err := ledger.ParseUint128(text)
				if err != nil {
					return err
				}
				row = append(row, cur.Format(n))
			}
			rows = append(rows, row)
		}
		return printTable(g.Stdout, rows)
	})
}

type payoutShowCmd struct {
	marketFlags `embed:""`
	Seller      string `arg:"" help:"The seller's id."`
}

// Run says how the seller is paid out.
func (c *payoutShowCmd) Run(ctx context.Context, g *Globals) error {
	return c.withMarket(ctx, g, ReadStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		p, err := store.Payee(ctx, m.ID, c.Seller)
		if err != nil {
			return err
		}
		return printPayee(ctx, g, store, m, p)
	})
}
