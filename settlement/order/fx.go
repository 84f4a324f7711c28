package order

import (
	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// FX is a payment in another currency than the order's. What was paid, less the
// spread that the marketplace keeps of it, comes at the rate to exactly what the
// order is about; nobody takes a difference silently, not of one minor unit.
//
// In the books it goes through the FX position (1400) of two ledgers, in one
// linked chain:
//
//	paid     1100 -> 1400 what was paid, less the spread
//	         1100 -> 4110 the spread
//	order's  1400 -> 2000 what the order is about; and 2000 -> 2100, as always
//
// From then on the order is like any other: what is refunded goes to the buyer's
// balance in the order's currency. To repay it in the currency that was paid is a
// conversion, see settlement/treasury.
type FX struct {
	Currency string `json:"currency"` // that was paid, an ISO 4217 code
	Amount   int64  `json:"amount"`   // what was paid, minor units of it
	Rate     string `json:"rate"`     // units of the order's currency for one unit of it, see chart.ParseRate
	Spread   int64  `json:"spread"`   // of Amount, what the marketplace keeps
}

// fxRules are the rules that FX.Check's fields are refused by.
var fxRules = map[string]string{"currency": RuleCurrency, "amount": RuleAmount, "spread": RuleAmount, "rate": RuleRate}

// Check says what is wrong with it whatever the order: the field and why; "" for
// nothing.
func (fx *FX) Check() (field, detail string) {
	if _, err := chart.Find(fx.Currency); err != nil {
		return "currency", err.Error()
	}
	if _, err := chart.ParseRate(fx.Rate); err != nil {
		return "rate", err.Error()
	}
	switch {
	case fx.Amount < 1 || fx.Amount > MaxAmount:
		return "amount", "must be from 1 to 9007199254740991 minor units"
	case fx.Spread < 0 || fx.Spread >= fx.Amount:
		return "spread", "must be from 0 to less than what was paid"
	}
	return "", ""
}

// Ledger is the ledger of the marketplace that the payment came into.
func (fx *FX) Ledger(marketplace uint32) (uint32, error) {
	cur, err := chart.Find(fx.Currency)
	if err != nil {
		return 0, err
	}
	return chart.Ledger(marketplace, cur)
}

// receiveFX adds the legs of a payment in another currency.
func (p *planner) receiveFX() error {
	o, c, fx := p.o, p.c, &p.c.FX
	if field, detail := fx.Check(); field != "" {
		return p.refuse(fxRules[field], "%s: %s", field, detail)
	}
	if c.Method == Balance {
		return p.refuse(RuleMethod, "the buyer's balance is in the order's currency: it needs no rate")
	}
	paid, err := fx.Ledger(o.Marketplace)
	if err != nil {
		return err
	}
	if paid == o.Ledger {
		return p.refuse(RuleCurrency, "the order itself is in %s", fx.Currency)
	}
	_, from, _ := chart.SplitLedger(paid)
	_, to, _ := chart.SplitLedger(o.Ledger)
	if err := from.Open(c.At); err != nil {
		return p.refuse(RuleCurrency, "%s", err)
	}
	pays := o.Charge().Pays()
	if detail := Converts(from, fx.Amount, fx.Spread, fx.Rate, to, pays); detail != "" {
		return p.refuse(RuleRate, "%s", detail)
	}
	p.accountIn(paid, c.PaidBooks.Clearing, chart.PayinClearing, ledger.Uint128{})
	p.accountIn(paid, c.PaidBooks.Position, chart.FXPosition, ledger.Uint128{})
	p.legIn(paid, chart.FXReceived, c.PaidBooks.Clearing, c.PaidBooks.Position, fx.Amount-fx.Spread)
	if fx.Spread > 0 {
		p.accountIn(paid, c.PaidBooks.Spread, chart.FXSpread, ledger.Uint128{})
		p.legIn(paid, chart.FXSpreadIn, c.PaidBooks.Clearing, c.PaidBooks.Spread, fx.Spread)
	}
	p.account(c.Books.Position, chart.FXPosition, ledger.Uint128{})
	p.leg(chart.FXToBuyer, c.Books.Position, o.BuyerAccount, pays)
	return nil
}

// Converts says why amount of from, less spread, does not come at the rate to
// exactly so much of to, and what it would be; "" if it does. All are minor
// units, half a one goes to the even one.
func Converts(from chart.Currency, amount, spread int64, rate string, to chart.Currency, much int64) string {
	r, err := chart.ParseRate(rate)
	if err != nil {
		return err.Error()
	}
	is, err := r.Convert(amount-spread, from, to)
	if err != nil {
		return err.Error()
	}
	if is == much {
		return ""
	}
	less := ""
	if spread > 0 {
		less = " less " + from.Minor(spread)
	}
	return from.Code + " " + from.Minor(amount) + less + " at the rate " + rate + " would be " +
		to.Code + " " + to.Minor(is) + ", not " + to.Minor(much)
}
