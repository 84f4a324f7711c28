package bench

import (
	"context"
	"fmt"
	"time"

	"escrowd/reports"
	"escrowd/settlement/jobs"
)

// settle measures the auto-release job: all orders are shipped and nobody
// confirms them, the clock passes their deadlines, and the job releases them
// with fee and tax.
func (s *session) settle(ctx context.Context, p *Point) error {
	job, err := s.Jobs.Job(jobs.AutoRelease)
	if err != nil {
		return err
	}
	if err := s.generate(ctx, p.Orders, shippedLife); err != nil {
		return fmt.Errorf("writing the due orders: %w", err)
	}
	if s.Engine == postgres {
		begun := time.Now()
		r, err := reports.New(s.DB).HeldFunds(ctx, reports.Options{Marketplace: s.market.Name, Now: begun})
		if err != nil {
			return err
		}
		if len(r.Problems) > 0 {
			return &Unbalanced{Problems: r.Problems}
		}
		p.HeldFundsSeconds = time.Since(begun).Seconds()
	}
	until := s.market.Now.Add(s.policies[taxPolicy].ConfirmAfterShipment.Duration())
	if s.market, err = s.Orders.AdvanceClock(ctx, s.market.ID, until, until); err != nil {
		return fmt.Errorf("moving the clock: %w", err)
	}
	s.tell("%s: releasing %d due orders", p.Name, p.Orders)
	s.meter.start()
	before, err := s.meter.read(ctx)
	if err != nil {
		return err
	}
	begun := time.Now()
	res, err := job.RunOnce(ctx, jobs.Run{Marketplace: s.market.ID})
	p.Seconds = time.Since(begun).Seconds()
	if err != nil {
		return err
	}
	if err := s.meter.add(ctx, before); err != nil {
		return err
	}
	if res.Items != int64(p.Orders) || res.Failed > 0 {
		return fmt.Errorf("%d orders were due: %d released, %d failed", p.Orders, res.Items, res.Failed)
	}
	for i := s.next - p.Orders; i < s.next; i++ {
		s.expect.event(confirmed, amountOf(i), s.policies[taxPolicy])
	}
	p.Cost = s.meter.cost(p.Orders)
	return nil
}
