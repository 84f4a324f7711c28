package intake

import (
	"fmt"

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
	list, err := s.opts.Store.Policies(c.ctx, c.marketplace)
	out := api.Policies{Policies: make([]api.Policy, len(list))}
	for i := range list {
		out.Policies[i] = policyOf(&list[i])
	}
	return answer{body: out}, err
}

func (s *Server) addPolicy(c *call) (answer, error) {
	p, err := parsePolicy(&c.body)
	if err != nil {
		return answer{}, err
	}
	if p, err = s.opts.Store.AddPolicy(c.ctx, c.marketplace, p); err != nil {
		return answer{}, err
	}
	return answer{body: policyOf(&p)}, nil
}

// ParsePolicy reads a policy as POST /v1/policies does, but passes over a
// version in it, so that a policy that was listed can be edited and added. The
// error lists all that is wrong with it.
func ParsePolicy(data []byte) (order.Policy, error) {
	v, err := strict.Parse(data)
	if err != nil {
		return order.Policy{}, err
	}
	v = v.Without("version")
	return parsePolicy(&v)
}

func parsePolicy(v *strict.Value) (order.Policy, error) {
	var in api.PolicyTerms
	if err := strict.Decode(v, "", &in); err != nil {
		return order.Policy{}, err
	}
	p := policyFrom(&in)
	if err := p.Validate(); err != nil {
		return order.Policy{}, unfit(err)
	}
	return p, nil
}

// unfit lists what Validate found; the fields are in its words.
func unfit(err error) *strict.Error {
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	e := &strict.Error{}
	for _, each := range list {
		e.Fields = append(e.Fields, strict.Field{Detail: each.Error()})
	}
	return e
}

func policyFrom(in *api.PolicyTerms) order.Policy {
	p := order.Policy{Name: in.Name,
		PayWithin: order.Seconds(in.PayWithin), AuthoriseWithin: order.Seconds(in.AuthoriseWithin), ShipWithin: order.Seconds(in.ShipWithin),
		ConfirmAfterDelivery: order.Seconds(in.ConfirmAfterDelivery), ConfirmAfterShipment: order.Seconds(in.ConfirmAfterShipment),
		ExtendTimes: in.ExtendTimes, ExtendBy: order.Seconds(in.ExtendBy),
		RespondWithin: order.Seconds(in.RespondWithin), NegotiateWithin: order.Seconds(in.NegotiateWithin),
		EscalateAfter: order.Seconds(in.EscalateAfter), EvidenceWithin: order.Seconds(in.EvidenceWithin),
		AppealWithin: order.Seconds(in.AppealWithin), ReturnWithin: order.Seconds(in.ReturnWithin),
		InspectWithin: order.Seconds(in.InspectWithin),
		RuleWithin:    order.Seconds(in.RuleWithin), MatureAfter: order.Seconds(in.MatureAfter),
		RefundReleasedWithin: order.Seconds(in.RefundReleasedWithin), RefundFee: in.RefundFee,
		ReserveBps: in.ReserveBps, ReserveFor: order.Seconds(in.ReserveFor),
		RepresentWithin: order.Seconds(in.RepresentWithin), DecisionWithin: order.Seconds(in.DecisionWithin),
		ChargebackBorneBy: in.ChargebackBorneBy,
		Methods:           in.Methods, Fees: make(map[string]order.Fee, len(in.Fees)),
	}
	for code, f := range in.Fees {
		p.Fees[code] = order.Fee(f)
	}
	return p
}

func policyOf(p *order.Policy) api.Policy {
	out := api.Policy{Version: p.Version, PolicyTerms: api.PolicyTerms{Name: p.Name,
		PayWithin: int64(p.PayWithin), AuthoriseWithin: int64(p.AuthoriseWithin), ShipWithin: int64(p.ShipWithin),
		ConfirmAfterDelivery: int64(p.ConfirmAfterDelivery), ConfirmAfterShipment: int64(p.ConfirmAfterShipment),
		ExtendTimes: p.ExtendTimes, ExtendBy: int64(p.ExtendBy),
		RespondWithin: int64(p.RespondWithin), NegotiateWithin: int64(p.NegotiateWithin),
		EscalateAfter: int64(p.EscalateAfter), EvidenceWithin: int64(p.EvidenceWithin),
		AppealWithin: int64(p.AppealWithin), ReturnWithin: int64(p.ReturnWithin),
		InspectWithin: int64(p.InspectWithin),
		RuleWithin:    int64(p.RuleWithin), MatureAfter: int64(p.MatureAfter),
		RefundReleasedWithin: int64(p.RefundReleasedWithin), RefundFee: p.RefundFee,
		ReserveBps: p.ReserveBps, ReserveFor: int64(p.ReserveFor),
		RepresentWithin: int64(p.RepresentWithin), DecisionWithin: int64(p.DecisionWithin),
		ChargebackBorneBy: p.ChargebackBorneBy,
		Methods:           p.Methods, Fees: make(map[string]api.Fee, len(p.Fees)),
	}}
	for code, f := range p.Fees {
		out.Fees[code] = api.Fee(f)
	}
	return out
}
