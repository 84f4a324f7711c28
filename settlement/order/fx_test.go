package order_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
)

func currencyOf(t testing.TB, code string) chart.Currency {
	t.Helper()
	c, err := chart.Find(code)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// agreedIn is an order that waits to be paid.
func agreedIn(t testing.TB, code string, amount int64, at time.Time) order.Order {
	t.Helper()
	books, err := chart.Ledger(1, currencyOf(t, code))
	if err != nil {
		t.Fatal(err)
	}
	policy := order.Standard()
	return order.Order{Terms: order.Terms{ID: ledger.U64(1 << 20), Marketplace: 1, Ledger: books, Amount: amount, Policy: &policy, BuyerAccount: ledger.U64(2000)},
		Progress: order.Progress{State: order.Agreed, Deadline: order.PayBy, DeadlineAt: at.AddDate(0, 1, 0), At: at}}
}

// payFX asks for a payment in another currency, on books whose accounts have
// the chart's numbers as ids: 1100 in the order's ledger, 91100 in the other.
func payFX(o order.Order, fx order.FX) (*order.Change, error) {
	books := &order.Books{Clearing: ledger.U64(1100), Position: ledger.U64(1400), Spread: ledger.U64(4110)}
	paid := &order.Books{Clearing: ledger.U64(91100), Position: ledger.U64(91400), Spread: ledger.U64(94110)}
	return order.Plan(o, order.Command{Event: order.Pay, By: order.Buyer, At: o.At, Method: "card", FX: fx, Books: books, PaidBooks: paid})
}

// What is paid in one currency for an order in another: the legs in the ledgers
// of both, or the rule that refuses and what it says.
func TestPaidInAnotherCurrency(t *testing.T) {
	for _, c := range []struct {
		name   string
		year   int
		of     string // the order's currency
		amount int64
		fx     order.FX
		want   string // legs "debit>credit amount in ledger", or "rule: what it says"
	}{
		{"yen for dollars, with a spread", 2023, "USD", 10_050, order.FX{"JPY", 15_100, "0.0067", 100},
			"91100>91400 15000 in 1392, 91100>94110 100 in 1392, 1400>2000 10050 in 1840, 2000>1048576 10050 in 1840"},
		{"without a spread that leg is left out", 2023, "USD", 10_050, order.FX{"JPY", 15_000, "0.0067", 0},
			"91100>91400 15000 in 1392, 1400>2000 10050 in 1840, 2000>1048576 10050 in 1840"},
		{"dollars for dinars", 2023, "KWD", 12_346, order.FX{"USD", 4_015, "0.3075", 0},
			"91100>91400 4015 in 1840, 1400>2000 12346 in 1414, 2000>1048576 12346 in 1414"},
		{"dinars for yen", 2023, "JPY", 4_902, order.FX{"KWD", 10_000, "490.25", 0},
			"91100>91400 10000 in 1414, 1400>2000 4902 in 1392, 2000>1048576 4902 in 1392"},
		{"yen for dinars", 2023, "KWD", 30_750, order.FX{"JPY", 15_000, "0.00205", 0},
			"91100>91400 15000 in 1392, 1400>2000 30750 in 1414, 2000>1048576 30750 in 1414"},
		{"kuna for euro, while there are any", 2022, "EUR", 10_000, order.FX{"HRK", 75_345, "0.132722808414", 0},
			"91100>91400 75345 in 1191, 1400>2000 10000 in 1978, 2000>1048576 10000 in 1978"},
		{"euro for an order that was agreed in kuna, at the fixed rate", 2023, "HRK", 75_345, order.FX{"EUR", 10_000, "7.53450", 0},
			"91100>91400 10000 in 1978, 1400>2000 75345 in 1191, 2000>1048576 75345 in 1191"},
		{"the fixed rate rounds once, at the end", 2023, "HRK", 8, order.FX{"EUR", 1, "7.53450", 0}, // 7.5345 lipa
			"91100>91400 1 in 1978, 1400>2000 8 in 1191, 2000>1048576 8 in 1191"},

		{"no kuna when there are none any more", 2023, "EUR", 10_000, order.FX{"HRK", 75_345, "0.132722808414", 0},
			"currency: HRK was withdrawn on 2023-01-01: EUR took its place"},
		{"one lipa too many", 2023, "HRK", 75_346, order.FX{"EUR", 10_000, "7.53450", 0},
			"rate: EUR 100.00 at the rate 7.53450 would be HRK 753.45, not 753.46"},
		{"the spread is the marketplace's", 2023, "USD", 10_050, order.FX{"JPY", 15_000, "0.0067", 100},
			"rate: JPY 15000 less 100 at the rate 0.0067 would be USD 99.83, not 100.50"},
		{"more than can be counted", 2023, "KWD", 1, order.FX{"JPY", order.MaxAmount, "999999999999", 0},
			"rate: JPY 9007199254740991 at the rate 999999999999 is more KWD than can be counted"},
		{"gold", 2023, "USD", 1, order.FX{"XAU", 1, "1", 0}, "currency: currency: XAU, gold, has no minor unit"},
		{"a rate that is none", 2023, "USD", 1, order.FX{"JPY", 1, "1/3", 0}, "rate: rate: not a rate: want digits, like 1.0825"},
		{"nothing paid", 2023, "USD", 1, order.FX{"JPY", 0, "1", 0}, "amount: amount: must be from 1 to 9007199254740991 minor units"},
		{"all of it spread", 2023, "USD", 1, order.FX{"JPY", 5, "1", 5}, "amount: spread: must be from 0 to less than what was paid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := agreedIn(t, c.of, c.amount, time.Date(c.year, 6, 1, 0, 0, 0, 0, time.UTC))
			ch, err := payFX(o, c.fx)
			var r *order.Refusal
			if errors.As(err, &r) {
				if got := r.Rule + ": " + r.Detail; got != c.want {
					t.Fatalf("refused\n%s\nwant\n%s", got, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var legs []string
			for i, l := range ch.Legs {
				legs = append(legs, fmt.Sprintf("%s>%s %s in %d", l.DebitAccountID, l.CreditAccountID, l.Amount, l.Ledger))
				if l.Flags.Has(ledger.TransferLinked) != (i < len(ch.Legs)-1) || l.UserData128 != o.ID {
					t.Errorf("leg %d: %+v", i, l)
				}
			}
			if got := strings.Join(legs, ", "); got != c.want {
				t.Errorf("legs\n%s\nwant\n%s", got, c.want)
			}
			if ch.After.Held != c.amount || ch.After.State != order.Held {
				t.Errorf("%+v", ch.After.Progress)
			}
		})
	}
}

// What came in as kuna is taken as kuna, also when there are none any more: a bank
// cannot be told that it is too late.
func TestChargebackInAWithdrawnCurrency(t *testing.T) {
	o := agreedIn(t, "EUR", 10_000, time.Date(2022, 12, 28, 0, 0, 0, 0, time.UTC))
	fx := order.FX{Currency: "HRK", Amount: 75_345, Rate: "0.132722808414"}
	paid, err := payFX(o, fx)
	if err != nil {
		t.Fatal(err)
	}
	kuna, _ := fx.Ledger(1)
	c := order.Command{Event: order.TakeBackPayment, By: order.Operator, At: time.Date(2023, 1, 3, 0, 0, 0, 0, time.UTC), Reason: "10.4", FX: fx, Paid: order.Payment{Method: "card", Ledger: kuna},
		Books: &order.Books{Receivable: ledger.U64(1300), Position: ledger.U64(1400), Suspense: ledger.U64(2110)}, PaidBooks: &order.Books{Clearing: ledger.U64(91100), Position: ledger.U64(91400)}}
	ch, err := order.Plan(paid.After, c)
	if err != nil {
		t.Fatal(err)
	}
	var legs []string
	for _, l := range ch.Legs {
		legs = append(legs, fmt.Sprintf("%s>%s %s in %d", l.DebitAccountID, l.CreditAccountID, l.Amount, l.Ledger))
	}
	if got := strings.Join(legs, ", "); got != "1300>1400 10000 in 1978, 91400>91100 75345 in 1191, 1048576>2110 10000 in 1978" {
		t.Errorf("legs %s", got)
	}
}

// Whatever the currencies, the rate and the amounts: the order gets exactly what
// it is about, both ledgers balance, all that was paid is in the position or the
// spread (audit), and a minor unit more or less is refused.
func TestAnyPaymentInAnotherCurrency(t *testing.T) {
	open := slices.DeleteFunc(chart.Currencies(), func(c chart.Currency) bool { return c.Open(start) != nil })
	paid := 0
	rapid.Check(t, func(t *rapid.T) {
		from, to := rapid.SampledFrom(open).Draw(t, "paid"), rapid.SampledFrom(open).Draw(t, "order")
		fx := order.FX{Currency: from.Code, Amount: rapid.OneOf(rapid.Int64Range(1, 100), rapid.Int64Range(1, 1_000_000_000)).Draw(t, "amount"),
			Rate: rapid.StringMatching(`(0|[1-9][0-9]{0,3})\.[0-9]{0,11}[1-9]`).Draw(t, "rate")}
		fx.Spread = rapid.Int64Range(0, fx.Amount-1).Draw(t, "spread")
		rate, err := chart.ParseRate(fx.Rate)
		if err != nil {
			t.Fatal(err)
		}
		comes, err := rate.Convert(fx.Amount-fx.Spread, from, to)
		if err != nil || comes < 2 || comes > order.MaxAmount-1 || from == to {
			return
		}
		paid++
		books, err := chart.Ledger(1, to)
		if err != nil {
			t.Fatal(err)
		}
		policy := order.Standard()
		pay := order.Command{Event: order.Pay, By: order.Buyer, At: start, Method: "card", FX: fx}
		w := newWorld(t)
		for off := int64(-1); off <= 1; off++ {
			e := w.agree(fmt.Sprint("order ", off), order.Terms{Ledger: books, Policy: &policy, Buyer: "ann", Seller: "bob", Amount: comes + off}, nil)
			r := w.refusedOrDone(pay, e)
			switch {
			case off == 0 && (r != nil || e.now.Held != comes):
				t.Fatalf("%+v for %s %d: %v, %d held", fx, to, comes, r, e.now.Held)
			case off != 0 && (r == nil || r.Rule != order.RuleRate):
				t.Fatalf("%+v for %s %d: %v", fx, to, comes+off, r)
			}
		}
	})
	if paid == 0 {
		t.Error("nothing was ever paid")
	}
}
