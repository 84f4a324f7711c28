package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

// Raw is the ledger alone: the same accounts and transfers for an order, in
// batches of the same size, by one caller, without HTTP and order store.
type Raw struct {
	OrdersPerSecond    float64 `json:"orders_per_second"`
	TransfersPerSecond float64 `json:"transfers_per_second"`
	Batch              int     `json:"transfers_per_batch"` // at most
	Orders             int     `json:"orders"`
}

// rawCase is what can be measured of the raw ledger.
type rawCase struct {
	orders  int  // in a batch
	release bool // the release only, with tax
}

const (
	rawTime = 3 * time.Second // measured for about so long
	// A ledger that no marketplace has: their numbers end at 4294966.
	rawLedger = 4_294_967_000
)

// compare measures the raw ledger at the batch size that p had.
func (s *session) compare(ctx context.Context, p *Point) error {
	perEvent := 2.0 // pay: received, held; confirm: net, fee
	if p.Settle {
		perEvent = 3 // net, fee, tax
	}
	c := rawCase{orders: max(1, int(math.Round(p.Cost.Batches.Mean/perEvent))), release: p.Settle}
	r, ok := s.raw[c]
	if !ok {
		s.tell("%s: the raw ledger, %d orders a batch", p.Name, c.orders)
		var err error
		if r, err = s.measureRaw(ctx, c, p.Orders); err != nil {
			return fmt.Errorf("the raw ledger: %w", err)
		}
		s.raw[c] = r
	}
	p.Raw = r
	p.RawShare = p.OrdersPerSecond / r.OrdersPerSecond
	return nil
}

// alone measures nothing but the ledger.
func (s *session) alone(ctx context.Context, p *Point) (err error) {
	if p.Raw, err = s.measureRaw(ctx, rawCase{orders: max(1, p.Batch/2)}, p.Orders); err != nil {
		return err
	}
	p.Orders, p.OrdersPerSecond, p.RawShare = p.Raw.Orders, p.Raw.OrdersPerSecond, 1
	p.Seconds = float64(p.Orders) / p.OrdersPerSecond
	return nil
}

func (s *System) measureRaw(ctx context.Context, c rawCase, most int) (r Raw, err error) {
	e, drop, err := s.Raw(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	w, err := newRawWork(ctx, e)
	if err != nil {
		return r, err
	}
	perOrder := 4
	r.Batch = 2 * c.orders // the fund and the release are two requests
	if c.release {
		perOrder, r.Batch = 3, 3*c.orders
	}
	var spent time.Duration
	for round := 0; r.Orders == 0 || spent < rawTime && r.Orders < most; round++ {
		took, err := w.round(ctx, c)
		if err != nil {
			return r, err
		}
		if round == 0 {
			continue // statements are prepared, caches are filled
		}
		spent += took
		r.Orders += c.orders
	}
	r.OrdersPerSecond = float64(r.Orders) / spent.Seconds()
	r.TransfersPerSecond = r.OrdersPerSecond * float64(perOrder)
	return r, nil
}

// rawWork has the accounts that the raw ledger's orders share.
type rawWork struct {
	e                  ledger.Engine
	clearing, fee, tax ledger.ID
	buyers, sellers    []ledger.ID
	next               int
}

func newRawWork(ctx context.Context, e ledger.Engine) (*rawWork, error) {
	w := &rawWork{e: e}
	var list []ledger.Account
	var err error
	add := func(code chart.AccountCode) ledger.ID {
		id, e := orderdb.NewID()
		err = errors.Join(err, e)
		list = append(list, rawAccount(id, code))
		return id
	}
	w.clearing, w.fee, w.tax = add(chart.PayinClearing), add(chart.FeeRevenue), add(chart.TaxPayable)
	for range buyers {
		w.buyers = append(w.buyers, add(chart.Buyer))
	}
	for range sellers {
		w.sellers = append(w.sellers, add(chart.SellerPending))
	}
	if err != nil {
		return nil, err
	}
	return w, createAccounts(ctx, e, list)
}

func rawAccount(id ledger.ID, code chart.AccountCode) ledger.Account {
	return ledger.Account{ID: id, Ledger: rawLedger, Code: uint16(code), Flags: code.Flags()}
}

// round takes the next orders of a batch through fund and release, or the
// release alone, and answers how long that took.
func (w *rawWork) round(ctx context.Context, c rawCase) (time.Duration, error) {
	accounts := make([]ledger.Account, c.orders)
	var fund, release []ledger.Transfer
	for i := range accounts {
		id, err := orderdb.NewID()
		if err != nil {
			return 0, err
		}
		intent, err := orderdb.NewChain()
		if err != nil {
			return 0, err
		}
		n := w.next
		w.next++
		accounts[i] = rawAccount(id, chart.Escrow)
		leg := func(k int, code chart.TransferCode, debit, credit ledger.ID, amount int64, flags ledger.TransferFlags) ledger.Transfer {
			return ledger.Transfer{ID: order.LegID(intent, 0, k), DebitAccountID: debit, CreditAccountID: credit,
				Amount: ledger.U64(uint64(amount)), UserData128: id, Ledger: rawLedger, Code: uint16(code), Flags: flags}
		}
		amount, buyer, seller := amountOf(n), w.buyers[n%buyers], w.sellers[n%sellers]
		fund = append(fund, leg(0, chart.PaymentReceived, w.clearing, buyer, amount, ledger.TransferLinked),
			leg(1, chart.Hold, buyer, id, amount, 0))
		fee := amount / 20
		if c.release {
			tax := fee / 5
			release = append(release, leg(2, chart.Release, id, seller, amount-fee-tax, ledger.TransferLinked),
				leg(3, chart.Fee, id, w.fee, fee, ledger.TransferLinked), leg(4, chart.FeeTax, id, w.tax, tax, 0))
		} else {
			release = append(release, leg(2, chart.Release, id, seller, amount-fee, ledger.TransferLinked),
				leg(3, chart.Fee, id, w.fee, fee, 0))
		}
	}
	begun := time.Now()
	if err := createAccounts(ctx, w.e, accounts); err != nil {
		return 0, err
	}
	if _, err := createTransfers(ctx, w.e, fund); err != nil {
		return 0, err
	}
	if c.release {
		begun = time.Now()
	}
	_, err := createTransfers(ctx, w.e, release)
	return time.Since(begun), err
}
