package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"escrowd/ledger"
	"escrowd/ledger/mirror"
)

// silent is a ledger that does not answer queries while it has an error for them.
type silent struct {
	ledger.Engine
	err error
}

func (a *silent) QueryTransfers(ctx context.Context, f ledger.QueryFilter) ([]ledger.Transfer, error) {
	if a.err != nil {
		return nil, a.err
	}
	return a.Engine.QueryTransfers(ctx, f)
}

func TestMirror(t *testing.T) {
	w := newWorld(t)
	w.must(mirror.Claim(w.ctx, w.db))
	w.orders(2)
	transfers := len(w.facts())
	reg := prometheus.NewPedanticRegistry()
	now := time.Now().UTC().Truncate(time.Microsecond)
	j := w.jobs(w.poster, func(o *Options) { o.Mirror, o.Registerer, o.Clock = true, reg, func() time.Time { return now } })

	if _, err := w.run(j, Mirror, Run{DryRun: true}); err == nil {
		t.Error("a dry run of the mirror says what it cannot know")
	}
	res, err := w.run(j, Mirror, Run{})
	w.must(err)
	var copied int
	w.must(w.db.Get(&copied, `SELECT count(*) FROM ledger_transfers`))
	if int(res.Items) != transfers || copied != transfers || res.Failed != 0 || res.Detail.Compared == 0 {
		t.Errorf("%+v, %d in the journal; the ledger has %d", res, copied, transfers)
	}
	if res, err := w.run(j, Mirror, Run{}); err != nil || res.Items != 0 {
		t.Errorf("and again: %+v, %v", res, err)
	}

	newest, err := w.engine.QueryTransfers(w.ctx, ledger.QueryFilter{Limit: 1, Flags: ledger.FilterQueryReversed})
	w.must(err)
	now = now.Add(3 * time.Second)
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(fmt.Sprintf(`
# HELP escrowd_mirror_lag_seconds How long ago all that the ledger held was last known to be in the journal that mirrors it, in seconds. Absent where the journal is no mirror, and before it was complete for the first time.
# TYPE escrowd_mirror_lag_seconds gauge
escrowd_mirror_lag_seconds 3
# HELP escrowd_mirror_ledger_timestamp_seconds The ledger's time of the newest transfer in the journal that mirrors it, Unix seconds; 0 for none. Absent where the journal is no mirror.
# TYPE escrowd_mirror_ledger_timestamp_seconds gauge
escrowd_mirror_ledger_timestamp_seconds %v
# HELP escrowd_mirror_transfers_total Transfers that the mirror of this process copied from the ledger to the journal.
# TYPE escrowd_mirror_transfers_total counter
escrowd_mirror_transfers_total %d
`, float64(newest[0].Timestamp)/1e9, transfers)), "escrowd_mirror_lag_seconds", "escrowd_mirror_ledger_timestamp_seconds", "escrowd_mirror_transfers_total"); err != nil {
		t.Error(err)
	}

	// A balance that is not the ledger's is a failure that tells itself apart.
	_, err = w.db.Exec(`UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE code = 2100`)
	w.must(err)
	res, err = w.run(j, Mirror, Run{})
	if !CopyIsWrong(err) || res.Failed != 1 {
		t.Errorf("a wrong balance: %+v, %v", res, err)
	}
}

// Where the ledger is in the database there is nothing to mirror.
func TestNoMirror(t *testing.T) {
	w := newWorld(t)
	reg := prometheus.NewPedanticRegistry()
	j := w.jobs(w.poster, func(o *Options) { o.Registerer = reg })
	if _, err := j.Job(Mirror); !errors.Is(err, ErrNoJob) {
		t.Errorf("the job: %v", err)
	}
	families, err := reg.Gather()
	w.must(err)
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "escrowd_mirror") {
			t.Errorf("there is %s", f.GetName())
		}
	}
	// And a journal that is not a mirror's is left alone.
	j = w.jobs(w.poster, func(o *Options) { o.Mirror = true })
	if _, err := w.run(j, Mirror, Run{}); !errors.Is(err, mirror.ErrNotMirror) || CopyIsWrong(err) {
		t.Errorf("a journal that nobody claimed: %v", err)
	}
}

// Of the mirror's runs by the schedule those leave a row that are news.
func TestMirrorRows(t *testing.T) {
	w := newWorld(t)
	w.must(mirror.Claim(w.ctx, w.db))
	cut := &silent{Engine: w.engine}
	w.engine = cut
	now := time.Date(2026, 3, 1, 9, 59, 0, 0, time.UTC)
	j := w.jobs(w.poster, func(o *Options) { o.Mirror, o.Clock = true, func() time.Time { return now } })
	job, err := j.Job(Mirror)
	w.must(err)
	for i, step := range []struct {
		src  source
		err  error
		pass time.Duration
		want int // rows in all
	}{
		{bySchedule, nil, 0, 1}, // the first in the hour
		{bySchedule, nil, time.Second, 1},
		{bySchedule, ledger.ErrNotSent, time.Second, 2}, // news
		{bySchedule, ledger.ErrNotSent, time.Second, 2},
		{bySchedule, nil, time.Second, 3}, // news
		{bySchedule, nil, time.Second, 3},
		{bySchedule, nil, time.Hour, 4},
		{byHand, nil, time.Second, 5},
		{byHand, nil, time.Second, 6},
	} {
		w.agree(fmt.Sprint(i))
		w.pay(w.agree(fmt.Sprint(i, "b"))) // there is always something to copy
		now = now.Add(step.pass)
		cut.err = step.err
		if _, err := j.run(w.ctx, job, Run{}, step.src); !errors.Is(err, step.err) {
			t.Errorf("step %d: %v", i, err)
		}
		cut.err = nil
		if n := w.rows(`job = $1`, Mirror); n != step.want {
			t.Errorf("step %d: %d rows, want %d", i, n, step.want)
		}
	}
}
