package jobs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/ledger/pgengine"
	"escrowd/settlement/jobs/books"
)

// journal writes n transfers into the journal that reports read. The world's own
// ledger is in memory and has no part in it.
func (w *world) journal(n int) {
	w.t.Helper()
	engine, err := pgengine.New(w.db)
	w.must(err)
	clearing, buyer := ledger.U64(1), ledger.U64(2)
	_, err = engine.CreateAccounts(w.ctx, []ledger.Account{{ID: clearing, Ledger: 1840, Code: uint16(chart.PayinClearing)}, {ID: buyer, Ledger: 1840, Code: uint16(chart.Buyer)}})
	w.must(err)
	var list []ledger.Transfer
	for i := range n {
		list = append(list, ledger.Transfer{ID: ledger.U64(uint64(w.rowsOf("ledger_transfers") + 10 + i)), DebitAccountID: clearing, CreditAccountID: buyer, Amount: ledger.U64(5),
			Ledger: 1840, Code: 101, UserData64: uint64(start.UnixMicro())})
	}
	results, err := engine.CreateTransfers(w.ctx, list)
	w.must(err)
	for _, r := range results {
		if r.Status != ledger.TransferCreated {
			w.t.Fatal(r.Status)
		}
	}
	w.must(engine.Close())
}

func (w *world) rowsOf(table string) (n int) {
	w.t.Helper()
	w.must(w.db.Get(&n, `SELECT count(*) FROM `+table))
	return n
}

func TestClosePages(t *testing.T) {
	w := newWorld(t)
	j := w.jobs(w.poster, func(o *Options) { o.Page = 10 })
	want := func(r Run, items int64, rows int) {
		t.Helper()
		res, err := w.run(j, ClosePages, r)
		if err != nil || res.Items != items || res.Failed != 0 {
			t.Errorf("%+v, %v; want %d transfers", res, err, items)
		}
		if n := w.rowsOf("ledger_pages"); n != rows {
			t.Errorf("%d pages, want %d", n, rows)
		}
	}
	want(Run{}, 0, 0)
	w.journal(35)
	want(Run{DryRun: true}, 30, 0)
	want(Run{}, 30, 3)
	want(Run{}, 0, 3)
	w.journal(4)
	want(Run{DryRun: true}, 0, 3)
	want(Run{}, 0, 3)
	w.journal(1)
	want(Run{}, 10, 4)

	// A run that is stopped has closed whole pages, and the next does the rest.
	w.journal(30)
	other := w.jobs(w.poster, func(o *Options) { o.Page = 10 })
	stopped := false
	_, err := w.run(other, ClosePages, Run{Progress: func(r Result) {
		if !stopped {
			stopped = true
			close(other.stopping)
		}
	}})
	if !errors.Is(err, ErrStopped) || w.rowsOf("ledger_pages") != 5 {
		t.Errorf("%v with %d pages, want an early end with 5", err, w.rowsOf("ledger_pages"))
	}
	want(Run{}, 20, 7)
	if res, err := w.run(j, CheckBooks, Run{}); err != nil || res.Detail.Books.Pages != 7 {
		t.Errorf("check-books: %+v, %v; want 7 pages added up again", res.Detail.Books, err)
	}
}

// check-books finds what is wrong in a page: by hand at once, by the schedule
// within a day.
func TestCheckBooksOfPages(t *testing.T) {
	w := newWorld(t)
	j := w.jobs(w.poster, func(o *Options) { o.Page = 10 })
	w.journal(50)
	if _, err := w.run(j, ClosePages, Run{}); err != nil {
		t.Fatal(err)
	}
	damage := func(what string) {
		t.Helper()
		tx := w.db.MustBegin()
		tx.MustExec(`SET LOCAL session_replication_role = replica`)
		tx.MustExec(`UPDATE ledger_pages SET ` + what + ` WHERE after = (SELECT after FROM ledger_pages ORDER BY after OFFSET 3 LIMIT 1)`)
		w.must(tx.Commit())
	}
	job, err := j.Job(CheckBooks)
	w.must(err)
	found := func(hour int, src source) bool {
		t.Helper()
		res, err := j.run(w.ctx, job, Run{Due: start.Truncate(24 * time.Hour).Add(time.Duration(hour) * time.Hour)}, src)
		if err == nil {
			return false
		}
		if _, ok := errors.AsType[*books.Unbalanced](err); !ok || !strings.Contains(err.Error(), "the page of the journal after") && !strings.Contains(err.Error(), "the journal sums to") {
			t.Fatalf("%v, want books that do not balance", err)
		}
		return res.Failed > 0
	}
	damage(`effective_last[1] = effective_last[1] + 1`)
	if !found(0, byHand) {
		t.Error("by hand nothing is found")
	}
	for hour := range 24 {
		if got := found(hour, bySchedule); got != (hour == 3) {
			t.Errorf("at %d: found %v", hour, got)
		}
	}
	damage(`amounts[1] = amounts[1] + 1`) // the accounts say otherwise
	for hour := range 24 {
		if !found(hour, bySchedule) {
			t.Errorf("at %d: nothing is found", hour)
		}
	}
}
