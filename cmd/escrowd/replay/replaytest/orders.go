// Package replaytest is for tests of the replay: where the real orders are,
// made up ones with every story, what the books must show at any moment,
// worked out straight from the files by an accountant of its own, and a server
// to play them on.
package replaytest

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"escrowd/cmd/escrowd/replay"
)

// Dir is the directory of real orders: olist in the folder that ESCROWD_SHARED
// names, else in the folder "shared" beside the module. Without it the test is
// skipped.
func Dir(t testing.TB) string {
	t.Helper()
	shared := os.Getenv("ESCROWD_SHARED")
	if shared == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for !exists(filepath.Join(root, "go.mod")) {
			parent := filepath.Dir(root)
			if parent == root {
				t.Fatal("no go.mod above the test")
			}
			root = parent
		}
		shared = filepath.Join(filepath.Dir(root), "shared")
	}
	dir := filepath.Join(shared, "olist")
	if !exists(filepath.Join(dir, replay.OrdersFile)) {
		t.Skipf("%s: no real orders: neither ESCROWD_SHARED nor a folder shared beside the module has olist/%s", t.Name(), replay.OrdersFile)
	}
	return dir
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Kinds is how many different stories Write makes; the first Kinds orders
// have one each.
const Kinds = 16

// Write makes up orders of 2017, in turn of every kind, as Olist's two files
// in a directory. The same seed makes the same files.
func Write(t testing.TB, dir string, seed uint64, orders int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	o, i := Make(seed, orders)
	for name, data := range map[string][]byte{replay.OrdersFile: o, replay.ItemsFile: i} {
		if err := os.WriteFile(filepath.Join(dir, name), data, fs.FileMode(0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// Make is Write's two files.
func Make(seed uint64, orders int) (ordersCSV, itemsCSV []byte) {
	var ob, ib bytes.Buffer
	ow, iw := csv.NewWriter(&ob), csv.NewWriter(&ib)
	write := func(w *csv.Writer, fields ...string) {
		if err := w.Write(fields); err != nil {
			panic(err) // a bytes.Buffer takes everything
		}
	}
	write(ow, "order_id", "customer_id", "order_status", "order_purchase_timestamp", "order_approved_at",
		"order_delivered_carrier_date", "order_delivered_customer_date", "order_estimated_delivery_date")
	write(iw, "order_id", "order_item_id", "product_id", "seller_id", "shipping_limit_date", "price", "freight_value")
	rng := rand.New(rand.NewPCG(seed, 1))
	for n := range orders {
		f := made(rng, n%Kinds)
		id := fmt.Sprintf("order%05d", n)
		write(ow, id, fmt.Sprintf("customer%04d", rng.IntN(orders)), f.status, stamp(f.purchase), stamp(f.approved),
			stamp(f.carrier), stamp(f.delivered), stamp(f.estimated))
		for i, cents := range f.items {
			seller := fmt.Sprintf("seller%02d", rng.IntN(20))
			freight := min(cents, int64(rng.IntN(2000)))
			write(iw, id, strconv.Itoa(i+1), fmt.Sprintf("product%03d", rng.IntN(500)), seller,
				stamp(f.limit.Add(time.Duration(i)*time.Hour)), decimal(rng, cents-freight), decimal(rng, freight))
		}
	}
	ow.Flush()
	iw.Flush()
	return ob.Bytes(), ib.Bytes()
}

type order struct {
	status                                                   string
	purchase, approved, carrier, delivered, estimated, limit time.Time
	items                                                    []int64
}

// made is an order of a kind: a plain one, and what makes it special.
func made(rng *rand.Rand, kind int) order {
	hours := func(from, to int) time.Duration {
		return time.Duration(from*3600+rng.IntN((to-from)*3600)) * time.Second
	}
	var f order
	f.status = "delivered"
	f.purchase = time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC).Add(hours(0, 330*24))
	f.approved = f.purchase.Add(hours(0, 48))
	f.carrier = f.approved.Add(hours(2, 72))
	f.delivered = f.carrier.Add(hours(24, 480))
	f.estimated = f.purchase.Truncate(24*time.Hour).AddDate(0, 0, 10+rng.IntN(20))
	f.limit = f.approved.Add(hours(72, 200))
	f.items = []int64{100 + rng.Int64N(40_000)}
	none := time.Time{}
	switch kind {
	case 1: // never paid
		f.status, f.approved, f.carrier, f.delivered = "created", none, none, none
	case 2: // never shipped
		f.status, f.carrier, f.delivered = "processing", none, none
	case 3: // shipped late
		f.carrier = f.limit.Add(hours(30, 900))
		f.delivered = f.carrier.Add(hours(24, 480))
	case 4: // delivered and canceled
		f.status = "canceled"
	case 5: // never arrived
		f.status, f.delivered = "shipped", none
	case 6: // shipped without approval
		f.approved = none
	case 7: // delivered without being handed over
		f.carrier = none
	case 8: // times before those that they follow
		f.approved = f.purchase.Add(-hours(1, 5))
		f.carrier = f.purchase.Add(-hours(1, 5))
	case 9:
		f.delivered = f.carrier.Add(-hours(1, 5))
	case 10: // no items: no order at all
		f.status, f.items = "unavailable", nil
	case 11: // many items, of several sellers
		for range 1 + rng.IntN(5) {
			f.items = append(f.items, 100+rng.Int64N(9_000))
		}
	case 12: // left after it should have arrived, and never arrived
		f.status, f.delivered = "shipped", none
		f.carrier = f.estimated.Add(hours(24, 200))
	case 13: // the fee is all of it
		f.items = []int64{1 + rng.Int64N(49)}
	case 14: // the fee has a cap
		f.items = []int64{95_000 + rng.Int64N(10_000_000)}
	case 15: // limit before the payment, ship by a day after it
		f.limit = f.purchase.Add(-hours(1, 100))
		f.carrier = f.approved.Add(24 * time.Hour)
		f.delivered = f.carrier
	}
	return f
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateTime)
}

// decimal writes cents as Olist does: without zeros at the end, mostly.
func decimal(rng *rand.Rand, cents int64) string {
	s := fmt.Sprintf("%d.%02d", cents/100, cents%100)
	switch {
	case cents%100 == 0 && rng.IntN(2) == 0:
		return s[:len(s)-3]
	case cents%10 == 0 && rng.IntN(2) == 0:
		return s[:len(s)-1]
	}
	return s
}
