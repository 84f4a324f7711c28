package posting_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// BenchmarkOrders takes orders from agreement to release on the embedded
// engine, the write path alone: callers at once, orders in a request.
func BenchmarkOrders(b *testing.B) {
	for _, c := range []struct{ callers, bulk int }{{1, 1}, {16, 1}, {64, 1}, {1, 100}, {2, 1000}} {
		b.Run(fmt.Sprintf("callers=%d/bulk=%d", c.callers, c.bulk), func(b *testing.B) {
			db := pgtest.Open(b)
			eng, err := pgengine.New(db)
			if err != nil {
				b.Fatal(err)
			}
			p := posting.New(db, eng, posting.Options{})
			defer p.Close(b.Context())
			m, err := orderdb.New(db).CreateMarketplace(b.Context(), "bench", orderdb.LiveClock, time.Time{})
			if err != nil {
				b.Fatal(err)
			}
			var wg sync.WaitGroup
			next := make(chan int)
			b.ResetTimer()
			for range c.callers {
				wg.Go(func() {
					for from := range next {
						life(b, p, m.ID, from, c.bulk)
					}
				})
			}
			for i := range b.N {
				next <- i * c.bulk
			}
			close(next)
			wg.Wait()
			b.ReportMetric(float64(b.N*c.bulk)/b.Elapsed().Seconds(), "orders/s")
		})
	}
}

func life(b *testing.B, p *posting.Poster, market uint32, from, n int) {
	reqs := make([]posting.Request, n)
	for i := range reqs {
		reqs[i] = posting.Request{Marketplace: market, Key: fmt.Sprint("k", from+i),
			Agreement: &posting.Agreement{Reference: fmt.Sprint("o-", from+i), Buyer: fmt.Sprint("b", (from+i)%1000), Seller: fmt.Sprint("s", (from+i)%100), Currency: "USD", Amount: 10_000},
			Command:   order.Command{Event: order.Agree}}
	}
	for _, e := range []order.Event{order.Pay, order.Ship, order.Confirm, ""} {
		for i, a := range p.DoAll(b.Context(), reqs) {
			if a.Err != nil {
				b.Error(a.Err)
				return
			}
			reqs[i] = posting.Request{Marketplace: market, Key: fmt.Sprint("k", from+i, e), Orders: []ledger.ID{a.Result.Orders[0].ID},
				Command: order.Command{Event: e, Method: "card"}}
		}
	}
}
