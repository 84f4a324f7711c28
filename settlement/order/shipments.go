package order

import (
	"slices"
	"time"
)

// Shipment is goods that left together, to the buyer or back to the seller. It
// is worked out from what has happened to the order and stored nowhere, so it
// cannot say anything else than the timeline does.
type Shipment struct {
	Number int // from 1, in the order in which they became known
	Kind   ShipmentKind
	Parts  []string // of an order in parts, which of them it brings; none of another
	// ChildOf is the number of the shipment that a replacement takes the place of,
	// or that a return brings back. 0 for none, and for a return of parts that came
	// in several.
	ChildOf int
	// Amount is what was held for its goods when it left, in minor units: what
	// the seller is to be paid for it, if all goes well. Nothing for a replacement
	// or a return, which bring no money of their own.
	Amount int64

	Carrier, Tracking string         // as the sender said; "" for not said
	ShippedAt         time.Time      // zero for goods that were handed back without a word of their shipment
	DeliveredAt       time.Time      // zero for not yet, or not reported
	Scans             []ShipmentScan // in the order in which they were reported
}

// ShipmentKind is what a shipment is for.
type ShipmentKind string

// The kinds. Goods are all of the order, in one shipment.
const (
	ShipmentOfGoods       ShipmentKind = "goods"
	ShipmentOfPart        ShipmentKind = "part"
	ShipmentOfReplacement ShipmentKind = "replacement"
	ShipmentOfReturn      ShipmentKind = "return"
)

// ShipmentKinds lists every kind.
var ShipmentKinds = []ShipmentKind{ShipmentOfGoods, ShipmentOfPart, ShipmentOfReplacement, ShipmentOfReturn}

// ShipmentScan is a carrier's word of where a shipment is.
type ShipmentScan struct {
	Status   string    // one of ScanStatuses, or ScanDelivered
	Location string    // "" for not said
	At       time.Time // when the carrier noted it, or else when it took effect
	Tracking string    // as the carrier said, where that is not the shipment's own
	Note     string
}

// Happened is an event of an order's timeline as far as shipments go: what was
// said of it, and the order right after it.
type Happened struct {
	Event    Event
	Carrier  string
	Tracking string
	Parts    []string // track: of which it is
	Scan     Scan
	Location string
	Note     string
	After    Progress
}

// Shipments are those of an order with such a timeline, from its agreement on.
//
// A scan belongs to the shipment whose tracking number it names. One that names
// none, or an unknown one, belongs to the shipments that bring the goods, or the
// parts it names: those under way, or the last ones if none is. Once a replacement
// was shipped, it is the one that brings the goods, and so it is what is delivered.
func Shipments(timeline []Happened) []Shipment {
	s := shipping{brings: map[string]int{}}
	before := &Progress{}
	for i := range timeline {
		h := &timeline[i]
		switch h.Event {
		case Ship, ShipPart:
			s.ship(h, before)
		case ShipReplacement:
			s.again(h, before)
		case ShipBack:
			s.back(h, before).ShippedAt = h.After.At
		case ReceiveReturn:
			if before.State != Returned { // handed over: nobody shipped it
				s.back(h, before)
			}
			s.list[len(s.list)-1].DeliveredAt = h.After.At
		case RefuseReturn:
			// What is damaged has come. Without a claim for that nobody has said so:
			// a parcel that never came, or came empty, is refused like any other.
			if h.After.Claim.Damage != nil {
				s.list[len(s.list)-1].DeliveredAt = h.After.At
			}
		case Track:
			s.note(h, s.scanned(h))
		case Deliver, DeliverPart:
			s.deliver(h, before)
		}
		before = &h.After
	}
	return s.list
}

// shipping works shipments out.
type shipping struct {
	list []Shipment
	// brings is the index of the shipment that brings the goods of a part, or of
	// an order that is not in parts, under "": the last one.
	brings map[string]int
}

// add notes a shipment, of parts unless the order is not in parts.
func (s *shipping) add(h *Happened, kind ShipmentKind, parts []string) *Shipment {
	s.list = append(s.list, Shipment{Number: len(s.list) + 1, Kind: kind, Parts: parts, Carrier: h.Carrier, Tracking: h.Tracking})
	return &s.list[len(s.list)-1]
}

// out makes the shipment the one that brings its goods.
func (s *shipping) out(sh *Shipment, at time.Time) {
	sh.ShippedAt = at
	for _, name := range keys(sh.Parts) {
		s.brings[name] = sh.Number - 1
	}
}

// keys are the keys of brings for parts.
func keys(parts []string) []string {
	if parts == nil {
		return []string{""}
	}
	return parts
}

func (s *shipping) ship(h *Happened, before *Progress) {
	if h.After.Parts == nil {
		sh := s.add(h, ShipmentOfGoods, nil)
		sh.Amount = h.After.Held
		s.out(sh, h.After.At)
		return
	}
	names, held := movedTo(before.Parts, h.After.Parts, Shipped)
	kind := ShipmentOfPart
	if len(names) == len(h.After.Parts.List) {
		kind = ShipmentOfGoods
	}
	sh := s.add(h, kind, names)
	sh.Amount = held
	s.out(sh, h.After.At)
}

// again is a replacement, of all that the dispute was about.
func (s *shipping) again(h *Happened, before *Progress) {
	parts := disputed(before)
	of := s.only(parts)
	sh := s.add(h, ShipmentOfReplacement, parts)
	sh.ChildOf = of
	s.out(sh, h.After.At)
}

// back is a return, of the same.
func (s *shipping) back(h *Happened, before *Progress) *Shipment {
	parts := disputed(before)
	of := s.only(parts)
	sh := s.add(h, ShipmentOfReturn, parts)
	sh.ChildOf = of
	return sh
}

// only is the number of the one shipment that has brought the parts, 0 if they
// came in several.
func (s *shipping) only(parts []string) int {
	if of := s.bringing(parts); len(of) == 1 {
		return s.list[of[0]].Number
	}
	return 0
}

// bringing are the shipments that bring the parts, each once, by number.
func (s *shipping) bringing(parts []string) (of []int) {
	for _, name := range keys(parts) {
		if i, ok := s.brings[name]; ok {
			of = append(of, i)
		}
	}
	slices.Sort(of)
	return slices.Compact(of)
}

// scanned are the shipments that a scan is about.
func (s *shipping) scanned(h *Happened) []int {
	if h.Tracking != "" {
		for i := len(s.list) - 1; i >= 0; i-- {
			if s.list[i].Tracking == h.Tracking {
				return []int{i}
			}
		}
	}
	var parts []string
	switch {
	case len(h.Parts) > 0:
		parts = h.Parts
	case h.After.Parts != nil:
		parts = h.After.Parts.names()
	}
	of := s.bringing(parts)
	arrived := func(i int) bool { return !s.list[i].DeliveredAt.IsZero() }
	if underWay := slices.DeleteFunc(slices.Clone(of), arrived); len(underWay) > 0 {
		return underWay
	}
	return of
}

// note adds a scan to shipments.
func (s *shipping) note(h *Happened, of []int) {
	if h.Scan.Status == "" {
		return // a delivery that no carrier has reported
	}
	at := h.Scan.At
	if at.IsZero() {
		at = h.After.At
	}
	for _, i := range of {
		sh := &s.list[i]
		scan := ShipmentScan{Status: h.Scan.Status, Location: h.Location, At: at, Note: h.Note}
		if h.Tracking != sh.Tracking {
			scan.Tracking = h.Tracking
		}
		sh.Scans = append(sh.Scans, scan)
	}
}

// deliver is the delivery of all that is under way, or of parts. A shipment is
// delivered when the last of its parts is.
func (s *shipping) deliver(h *Happened, before *Progress) {
	var parts []string
	if h.After.Parts != nil {
		parts, _ = movedTo(before.Parts, h.After.Parts, Delivered)
	}
	of := s.bringing(parts)
	s.note(h, of)
	for _, i := range of {
		sh := &s.list[i]
		if !slices.ContainsFunc(sh.Parts, func(name string) bool { return h.After.Parts.in(name, Shipped) }) {
			sh.DeliveredAt = h.After.At
		}
	}
}

// movedTo are the parts that have come to a state, and what is held of them.
func movedTo(before, after *Parts, s State) (names []string, held int64) {
	names = []string{}
	for i := range after.List {
		if t := &after.List[i]; t.State == s && before.List[i].State != s {
			names, held = append(names, t.Name), held+t.Held
		}
	}
	return names, held
}

// disputed are the parts that a dispute's end is about: those that were shipped
// and that something is held of or, after the release, those that were released.
// None of an order that is not in parts.
func disputed(before *Progress) []string {
	if before.Parts == nil {
		return nil
	}
	about := func(t *Part) bool { return t.Deadline() == ConfirmPartBy }
	if before.Claim.Released() {
		about = func(t *Part) bool { return t.State == Released }
	}
	names := []string{}
	for i := range before.Parts.List {
		if t := &before.Parts.List[i]; about(t) {
			names = append(names, t.Name)
		}
	}
	return names
}

func (t *Parts) names() []string {
	names := make([]string, len(t.List))
	for i := range t.List {
		names[i] = t.List[i].Name
	}
	return names
}

// in reports whether the part of the name is in a state.
func (t *Parts) in(name string, s State) bool {
	return slices.ContainsFunc(t.List, func(p Part) bool { return p.Name == name && p.State == s })
}
