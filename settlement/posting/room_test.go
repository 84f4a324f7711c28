package posting

import (
	"testing"
	"time"

	"escrowd/ledger"
)

// With callers and jobs in line a batch has room for both; alone either may
// fill it.
func TestRoom(t *testing.T) {
	for _, c := range []struct {
		name                  string
		callers, jobs         int
		wantCallers, wantJobs int
		somebodyFoundNoRoom   bool
	}{
		{"callers alone", 20, 0, 8, 0, true},
		{"jobs alone", 0, 20, 0, 8, false},
		{"many of both", 20, 20, 6, 2, true},
		{"a few callers", 3, 20, 3, 2, false},
		{"a job's last", 20, 1, 6, 1, true},
		{"few", 3, 3, 3, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &Poster{opts: Options{BatchMax: 8}, inflight: map[ledger.ID]int{}}
			p.m = newMetrics(nil, p)
			began := time.Now()
			add := func(n int, patient bool) {
				for range n {
					id, number := ledger.U64(uint64(len(p.pending)+1)), len(p.pending)
					p.pending = append(p.pending, &task{ctx: t.Context(), began: began.Add(time.Duration(number)),
						req: Request{Orders: []ledger.ID{id}, Patient: patient}})
				}
			}
			add(c.jobs, true) // they were here first
			add(c.callers, false)
			batch, _ := p.pick(time.Now())
			callers, jobs := 0, 0
			for _, x := range batch {
				if x.patient() {
					jobs++
				} else {
					callers++
				}
			}
			if callers != c.wantCallers || jobs != c.wantJobs {
				t.Errorf("%d callers and %d jobs in a batch, want %d and %d", callers, jobs, c.wantCallers, c.wantJobs)
			}
			if len(batch)+len(p.pending) != c.callers+c.jobs {
				t.Errorf("%d in the batch and %d left of %d", len(batch), len(p.pending), c.callers+c.jobs)
			}
			var want time.Time
			if c.somebodyFoundNoRoom {
				want = began.Add(time.Duration(c.jobs + c.wantCallers))
			}
			if !p.first.Equal(want) {
				t.Errorf("the first without room came at %v, want %v", p.first, want)
			}
		})
	}
}
