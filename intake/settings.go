package intake

import (
	"errors"
	"fmt"
	"time"

	"escrowd/intake/api"
	"escrowd/intake/strict"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

func (s *Server) whoami(c *call) (answer, error) {
	m, err := s.opts.Store.Marketplace(c.ctx, c.marketplace)
	return answer{body: api.Whoami{Marketplace: m.ID, Name: m.Name, Clock: string(m.Clock)}}, err
}

func (s *Server) clockOf(m orderdb.Marketplace) api.Clock {
	now, deadlines := m.At(s.opts.Clock())
	return api.Clock{Mode: string(m.Clock), Now: now.UTC(), Deadlines: deadlines.UTC()}
}

func (s *Server) getClock(c *call) (answer, error) {
	m, err := s.opts.Store.Marketplace(c.ctx, c.marketplace)
	return answer{body: s.clockOf(m)}, err
}

// setClock moves now first and fires deadlines afterwards: whoever repeats a
// call that was cut off in between gets the rest fired.
func (s *Server) setClock(c *call) (answer, error) {
	in, err := decode[api.SetClock](c)
	if err != nil {
		return answer{}, err
	}
	m, err := s.opts.Store.Marketplace(c.ctx, c.marketplace)
	if err != nil {
		return answer{}, err
	}
	deadlines := in.To
	if in.HoldDeadlines {
		// What stands already is at most now; a live clock, which has none, is
		// refused by the store.
		deadlines = m.Deadlines
		if deadlines.After(in.To) {
			deadlines = in.To
		}
	}
	if m, err = s.opts.Store.AdvanceClock(c.ctx, c.marketplace, in.To, deadlines); err != nil {
		return answer{}, err
	}
	moved := api.ClockMoved{Clock: s.clockOf(m)}
	if !in.HoldDeadlines {
		if moved.Fired, err = s.opts.Deadlines.Fire(c.ctx, c.marketplace); err != nil {
			return answer{}, fmt.Errorf("firing deadlines of marketplace %d: %w", c.marketplace, err)
		}
	}
	return answer{body: moved}, nil
}

func (s *Server) listPolicies(c *call) (answer, error) {
	m, err := s.opts.Store.Marketplace(c.ctx, c.marketplace)
	if err != nil {
		return answer{}, err
	}
	now, _ := m.At(s.opts.Clock())
	list, err := s.opts.Store.Policies(c.ctx, c.marketplace, now)
	out := api.Policies{Policies: make([]api.Policy, len(list))}
	for i, p := range list {
		out.Policies[i] = policyOf(p, now)
	}
	return answer{body: out}, err
}

func (s *Server) addPolicy(c *call) (answer, error) {
	in, err := decode[api.PolicyTerms](c)
	if err != nil {
		return answer{}, err
	}
	p := policyFrom(&in)
	var unfit order.FieldErrors
	if err := p.Validate(); errors.As(err, &unfit) {
		return answer{}, atPointers(unfit)
	}
	m, err := s.opts.Store.Marketplace(c.ctx, c.marketplace)
	if err != nil {
		return answer{}, err
	}
	if p, err = s.opts.Store.AddPolicy(c.ctx, c.marketplace, p); err != nil {
		return answer{}, err
	}
	now, _ := m.At(s.opts.Clock())
	return answer{body: policyOf(&p, now)}, nil
}

// convert is a list of words as another type of word; nil stays nil.
func convert[To, From ~string](list []From) (out []To) {
	for _, w := range list {
		out = append(out, To(w))
	}
	return out
}

// atPointers says what Validate found as the body's mistakes are said.
func atPointers(list order.FieldErrors) *strict.Error {
	e := &strict.Error{}
	for _, f := range list {
		e.Fields = append(e.Fields, strict.Field{Pointer: f.Path.Pointer(), Detail: f.Detail})
	}
	return e
}

func policyFrom(in *api.PolicyTerms) order.Policy {
	p := order.Policy{Name: in.Name, Effective: in.Effective,
		PayWithin: order.Seconds(in.PayWithin), AuthoriseWithin: order.Seconds(in.AuthoriseWithin), ShipWithin: order.Seconds(in.ShipWithin),
		RequireTracking:      in.RequireTracking,
		ConfirmAfterDelivery: order.Seconds(in.ConfirmAfterDelivery), ConfirmAfterShipment: order.Seconds(in.ConfirmAfterShipment),
		ConfirmAgreedMin: order.Seconds(in.ConfirmAgreedMin), ConfirmAgreedMax: order.Seconds(in.ConfirmAgreedMax),
		ConfirmVirtual: order.Seconds(in.ConfirmVirtual), Calendar: order.Calendar{Name: in.Calendar.Name, Days: convert[order.Day](in.Calendar.Days)},
		Disputes: in.Disputes, ExtendTimes: in.ExtendTimes, ExtendBy: order.Seconds(in.ExtendBy),
		RespondWithin: order.Seconds(in.RespondWithin), NegotiateWithin: order.Seconds(in.NegotiateWithin),
		EscalateAfter: order.Seconds(in.EscalateAfter), EvidenceWithin: order.Seconds(in.EvidenceWithin),
		AppealWithin: order.Seconds(in.AppealWithin), ReturnWithin: order.Seconds(in.ReturnWithin),
		InspectWithin: order.Seconds(in.InspectWithin), ReplaceWithin: order.Seconds(in.ReplaceWithin),
		ApproveRulingsOver: in.ApproveRulingsOver,
		RuleWithin:         order.Seconds(in.RuleWithin), MatureAfter: order.Seconds(in.MatureAfter),
		FeedbackWithin: order.Seconds(in.FeedbackWithin), FeedbackRevisionWithin: order.Seconds(in.FeedbackRevisionWithin),
		ExtendTogether: in.ExtendTogether, DisputeReleasedWithin: order.Seconds(in.DisputeReleasedWithin), RefundReleasedWithin: order.Seconds(in.RefundReleasedWithin), RefundFee: in.RefundFee,
		ReserveBps: in.ReserveBps, ReserveTiers: in.ReserveTiers, ReserveFor: order.Seconds(in.ReserveFor),
		RepresentWithin: order.Seconds(in.RepresentWithin), DecisionWithin: order.Seconds(in.DecisionWithin),
		ChargebackBorneBy: in.ChargebackBorneBy,
		Methods:           in.Methods, Fees: make(map[string]order.Fee, len(in.Fees)),
	}
	for code, f := range in.Fees {
		p.Fees[code] = order.Fee(f)
	}
	for _, r := range in.FeeRules {
		p.FeeRules = append(p.FeeRules, order.FeeRule{Method: r.Method, Tier: r.Tier, Currency: r.Currency,
			Fee: order.Fee(r.Fee), BorneBy: order.Bearer(r.BorneBy), BuyerBps: r.BuyerBps})
	}
	p.Taxes = in.Taxes
	return p
}

// policyOf is a version as the API shows it, at a moment of the marketplace's
// time before which no newer one is in force.
func policyOf(p *order.Policy, now time.Time) api.Policy {
	out := api.Policy{Version: p.Version, InForce: !p.Effective.After(now), PolicyTerms: api.PolicyTerms{Name: p.Name, Effective: utc(p.Effective),
		PayWithin: int64(p.PayWithin), AuthoriseWithin: int64(p.AuthoriseWithin), ShipWithin: int64(p.ShipWithin),
		RequireTracking:      p.RequireTracking,
		ConfirmAfterDelivery: int64(p.ConfirmAfterDelivery), ConfirmAfterShipment: int64(p.ConfirmAfterShipment),
		ConfirmAgreedMin: int64(p.ConfirmAgreedMin), ConfirmAgreedMax: int64(p.ConfirmAgreedMax),
		ConfirmVirtual: int64(p.ConfirmVirtual), Calendar: api.Calendar{Name: p.Calendar.Name, Days: convert[string](p.Calendar.Days)},
		Disputes: p.Disputes, ExtendTimes: p.ExtendTimes, ExtendBy: int64(p.ExtendBy),
		RespondWithin: int64(p.RespondWithin), NegotiateWithin: int64(p.NegotiateWithin),
		EscalateAfter: int64(p.EscalateAfter), EvidenceWithin: int64(p.EvidenceWithin),
		AppealWithin: int64(p.AppealWithin), ReturnWithin: int64(p.ReturnWithin),
		InspectWithin: int64(p.InspectWithin), ReplaceWithin: int64(p.ReplaceWithin), ApproveRulingsOver: p.ApproveRulingsOver,
		RuleWithin: int64(p.RuleWithin), MatureAfter: int64(p.MatureAfter),
		ExtendTogether: p.ExtendTogether, DisputeReleasedWithin: int64(p.DisputeReleasedWithin), RefundReleasedWithin: int64(p.RefundReleasedWithin), RefundFee: p.RefundFee,
		ReserveBps: p.ReserveBps, ReserveTiers: p.ReserveTiers, ReserveFor: int64(p.ReserveFor),
		RepresentWithin: int64(p.RepresentWithin), DecisionWithin: int64(p.DecisionWithin),
		ChargebackBorneBy: p.ChargebackBorneBy,
		Methods:           p.Methods, Fees: make(map[string]api.Fee, len(p.Fees)),
	}}
	for code, f := range p.Fees {
		out.Fees[code] = api.Fee(f)
	}
	for _, r := range p.FeeRules {
		out.FeeRules = append(out.FeeRules, api.FeeRule{Method: r.Method, Tier: r.Tier, Currency: r.Currency,
			Fee: api.Fee(r.Fee), BorneBy: string(r.BorneBy), BuyerBps: r.BuyerBps})
	}
	out.Taxes = p.Taxes
	out.FeedbackWithin, out.FeedbackRevisionWithin = int64(p.FeedbackWithin), int64(p.FeedbackRevisionWithin)
	return out
}
