package intake

import (
	"bytes"
	"cmp"
	"encoding/json"
	"reflect"
	"strconv"
	"time"

	"escrowd/intake/api"
	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// eventRoutes are the ways to send an event: for one order, and in bulk; and to
// ask what it would do.
type eventRoutes struct{ single, bulk, preview route }

// said is what the caller said of an event, for the timeline: words, and lists of
// them. Empty ones are left out.
type said map[string]any

func (w said) json() json.RawMessage {
	for k, v := range w {
		if list, ok := v.([]string); v == "" || ok && len(list) == 0 {
			delete(w, k)
		}
	}
	if len(w) == 0 {
		return nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // six bytes for "<" could pass the limit that the sender kept
	if err := e.Encode(w); err != nil {
		panic(err) // words always have a JSON form
	}
	return bytes.TrimSpace(b.Bytes())
}

func amountWord(n int64) string { return strconv.FormatInt(n, 10) }

// amountOrNone leaves out an amount that was not given.
func amountOrNone(n int64) string {
	if n == 0 {
		return ""
	}
	return amountWord(n)
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return ""
}

func momentWord(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// tracked is the event that a carrier's status is.
func tracked(in *api.Track) order.Event {
	switch {
	case in.Status != order.ScanDelivered:
		return order.Track
	case len(in.Parts) > 0:
		return order.DeliverPart
	}
	return order.Deliver
}

// takenBack is a chargeback as the write path wants it.
func takenBack(in *api.Chargeback) (api.Act, order.Command, said) {
	return in.Act, order.Command{Amount: in.Amount, Method: in.Method, Reason: in.Reason,
			FX: order.FX{Currency: in.FX.Currency, Amount: in.FX.Amount, Rate: in.FX.Rate}},
		said{"reason": in.Reason, "reference": in.Reference, "method": in.Method}
}

// events are the routes of the events of one order.
func (s *Server) events() []eventRoutes {
	return []eventRoutes{
		eventOf(s, "reprice", order.Reprice, "Book that another price was agreed", "Of an order that nobody has paid and that is not in parts. Fee, tax and the buyer's share are worked out anew by the order's own policy, and the time to pay starts anew.",
			func(i *api.RepriceItem) (*api.Reprice, *api.Target) { return &i.Reprice, &i.Target },
			func(in *api.Reprice) (api.Act, order.Command, said) {
				return in.Act, order.Command{Amount: in.Amount, Reason: in.Reason}, said{"amount": amountWord(in.Amount), "reason": in.Reason}
			}),
		eventOf(s, "authorise", order.Authorise, "Book that a payment is authorised", "The ledger keeps it as a pending transfer; nothing is held before it is captured.",
			func(i *api.AuthoriseItem) (*api.Authorise, *api.Target) { return &i.Authorise, &i.Target },
			func(in *api.Authorise) (api.Act, order.Command, said) {
				return in.Act, order.Command{Method: in.Method, Amount: in.Amount}, said{"method": in.Method, "reference": in.Reference}
			}),
		eventOf(s, "capture", order.Capture, "Book that an authorised payment is captured", "It is held. Of a part, which only the operator captures, the rest is void: the order comes to that part then, and its fee and tax are worked out anew.",
			func(i *api.CaptureItem) (*api.Capture, *api.Target) { return &i.Capture, &i.Target },
			func(in *api.Capture) (api.Act, order.Command, said) {
				return in.Act, order.Command{Amount: in.Amount}, said{"reference": in.Reference}
			}),
		eventOf(s, "void", order.Void, "End an authorisation without a payment", "The order is canceled.",
			func(i *api.VoidItem) (*api.Void, *api.Target) { return &i.Void, &i.Target },
			func(in *api.Void) (api.Act, order.Command, said) {
				return in.Act, order.Command{Reason: in.Reason}, said{"reason": in.Reason}
			}),
		eventOf(s, "ship", order.Ship, "Book that the goods left", "The time to confirm starts.",
			func(i *api.ShipItem) (*api.Ship, *api.Target) { return &i.Ship, &i.Target },
			func(in *api.Ship) (api.Act, order.Command, said) {
				return in.Act, order.Command{Carrier: in.Carrier, Tracking: in.Tracking},
					said{"carrier": in.Carrier, "tracking": in.Tracking}
			}),
		eventOf(s, "track", order.Track, "Note where the goods are", "A carrier's scan, kept on the timeline. It moves neither money nor a deadline; but delivered is the event deliver, or deliver_part where it names parts.",
			func(i *api.TrackItem) (*api.Track, *api.Target) { return &i.Track, &i.Target },
			func(in *api.Track) (api.Act, order.Command, said) {
				return in.Act, order.Command{Event: tracked(in), Scan: order.Scan{Status: in.Status, At: in.ScannedAt}, Parts: in.Parts},
					said{"status": in.Status, "location": in.Location, "scanned_at": momentWord(in.ScannedAt), "tracking": in.Tracking, "parts": in.Parts, "note": in.Note}
			}),
		eventOf(s, "deliver", order.Deliver, "Book that the goods arrived", "The time to confirm starts anew.",
			func(i *api.DeliverItem) (*api.Deliver, *api.Target) { return &i.Deliver, &i.Target },
			func(in *api.Deliver) (api.Act, order.Command, said) { return in.Act, order.Command{}, nil }),
		eventOf(s, "ship-part", order.ShipPart, "Book that parts of the order left", "Their time to confirm starts.",
			func(i *api.ShipPartItem) (*api.ShipPart, *api.Target) { return &i.ShipPart, &i.Target },
			func(in *api.ShipPart) (api.Act, order.Command, said) {
				return in.Act, order.Command{Parts: in.Parts, Carrier: in.Carrier, Tracking: in.Tracking},
					said{"parts": in.Parts, "carrier": in.Carrier, "tracking": in.Tracking}
			}),
		eventOf(s, "deliver-part", order.DeliverPart, "Book that parts of the order arrived", "Their time to confirm starts anew.",
			func(i *api.DeliverPartItem) (*api.DeliverPart, *api.Target) { return &i.DeliverPart, &i.Target },
			func(in *api.DeliverPart) (api.Act, order.Command, said) {
				return in.Act, order.Command{Parts: in.Parts}, said{"parts": in.Parts}
			}),
		eventOf(s, "release-part", order.ReleasePart, "Book the buyer's confirmation of parts of the order", "What is held of them is released to the seller, less its share of the fee. It matures by itself, the policy's mature_after after that.",
			func(i *api.ReleasePartItem) (*api.ReleasePart, *api.Target) { return &i.ReleasePart, &i.Target },
			func(in *api.ReleasePart) (api.Act, order.Command, said) {
				return in.Act, order.Command{Parts: in.Parts}, said{"parts": in.Parts}
			}),
		eventOf(s, "confirm", order.Confirm, "Book the buyer's confirmation", "All that is held is released to the seller, less the fee.",
			func(i *api.ConfirmItem) (*api.Confirm, *api.Target) { return &i.Confirm, &i.Target },
			func(in *api.Confirm) (api.Act, order.Command, said) { return in.Act, order.Command{}, nil }),
		eventOf(s, "extend", order.Extend, "Move a ship_by or confirm_by deadline", "As often and as far as the policy lets buyer and seller: each alone or, where it says so, both. Then the first of them asks, and the deadline moves when the other extends to the same moment.",
			func(i *api.ExtendItem) (*api.Extend, *api.Target) { return &i.Extend, &i.Target },
			func(in *api.Extend) (api.Act, order.Command, said) {
				return in.Act, order.Command{Until: in.Until}, nil
			}),
		eventOf(s, "cancel", order.Cancel, "End an order that was not shipped", "What is held goes back to the buyer.",
			func(i *api.CancelItem) (*api.Cancel, *api.Target) { return &i.Cancel, &i.Target },
			func(in *api.Cancel) (api.Act, order.Command, said) {
				return in.Act, order.Command{Reason: in.Reason}, said{"reason": in.Reason}
			}),
		eventOf(s, "refund", order.Refund, "Give a part of what is held, or all, back to the buyer", "Where all is refunded the order ends.",
			func(i *api.RefundItem) (*api.Refund, *api.Target) { return &i.Refund, &i.Target },
			func(in *api.Refund) (api.Act, order.Command, said) {
				return in.Act, order.Command{Amount: in.Amount, Parts: in.Parts, Reason: in.Reason}, said{"parts": in.Parts, "reason": in.Reason}
			}),
		eventOf(s, "refund-released", order.RefundReleased, "Give a part of what was released, or all, back to the buyer", "The seller's money pays, and the fee's part of it goes back by the policy; what the seller's accounts do not have is written down as a debt. Where all is refunded the order ends.",
			func(i *api.RefundReleasedItem) (*api.RefundReleased, *api.Target) {
				return &i.RefundReleased, &i.Target
			},
			func(in *api.RefundReleased) (api.Act, order.Command, said) {
				return in.Act, order.Command{Amount: in.Amount, Reason: in.Reason}, said{"reason": in.Reason}
			}),
		eventOf(s, "chargeback", order.TakeBackPayment, "Book that the buyer's bank has taken the payment back", "All that is held is frozen, what the seller has available of what was released is kept, and the order's clock stands still, also that of a dispute. The provider takes the money where it came in: of an order that was paid from the buyer's balance method says how that was; of one that was paid in another currency fx says how much of it was taken, and at which rate.",
			func(i *api.ChargebackItem) (*api.Chargeback, *api.Target) { return &i.Chargeback, &i.Target },
			func(in *api.Chargeback) (api.Act, order.Command, said) {
				return takenBack(in)
			}),
		eventOf(s, "second-chargeback", order.SecondChargeback, "Book a chargeback after one that was won", "Once, at most; as the first one.",
			func(i *api.SecondChargebackItem) (*api.SecondChargeback, *api.Target) {
				return &i.SecondChargeback, &i.Target
			},
			func(in *api.SecondChargeback) (api.Act, order.Command, said) {
				return takenBack((*api.Chargeback)(in))
			}),
		eventOf(s, "represent", order.Represent, "Book that the marketplace has answered a chargeback", "From then on the bank decides.",
			func(i *api.RepresentItem) (*api.Represent, *api.Target) { return &i.Represent, &i.Target },
			func(in *api.Represent) (api.Act, order.Command, said) {
				return in.Act, order.Command{Reason: in.Reason}, said{"reason": in.Reason, "reference": in.Reference}
			}),
		eventOf(s, "win-chargeback", order.WinChargeback, "Book that the bank gives the payment back", "The order goes on where it stood.",
			func(i *api.WinChargebackItem) (*api.WinChargeback, *api.Target) { return &i.WinChargeback, &i.Target },
			func(in *api.WinChargeback) (api.Act, order.Command, said) {
				return in.Act, order.Command{Reason: in.Reason}, said{"reason": in.Reason, "reference": in.Reference}
			}),
		eventOf(s, "lose-chargeback", order.LoseChargeback, "Book that the bank keeps the payment", "What is held pays for it, then the seller or the marketplace, by the policy; the order goes on with what is left, if anything is.",
			func(i *api.LoseChargebackItem) (*api.LoseChargeback, *api.Target) {
				return &i.LoseChargeback, &i.Target
			},
			func(in *api.LoseChargeback) (api.Act, order.Command, said) {
				return in.Act, order.Command{Reason: in.Reason}, said{"reason": in.Reason, "reference": in.Reference}
			}),
		eventOf(s, "dispute", order.Dispute, "Open the buyer's dispute", "All that is held is frozen in the ledger until the dispute ends. What was released already can be disputed too, for as long as the order's policy says: what is claimed is at stake then, and of the seller's as much of it is kept as is available.",
			func(i *api.DisputeItem) (*api.Dispute, *api.Target) { return &i.Dispute, &i.Target },
			func(in *api.Dispute) (api.Act, order.Command, said) {
				return in.Act, order.Command{Amount: in.Amount, Reason: in.Reason}, said{"reason": in.Reason}
			}),
		eventOf(s, "accept-claim", order.AcceptClaim, "Book that a party accepts what the other claims", "The freeze ends. By the seller: what the buyer claims goes back, the rest to the seller, less the fee. By the buyer, of goods that came back damaged: what was to be paid for them less the damage goes back, and the rest to the seller.",
			func(i *api.AcceptClaimItem) (*api.AcceptClaim, *api.Target) { return &i.AcceptClaim, &i.Target },
			func(in *api.AcceptClaim) (api.Act, order.Command, said) { return in.Act, order.Command{}, nil }),
		eventOf(s, "contest", order.Contest, "Book that the seller contests the claim", "The time to negotiate starts.",
			func(i *api.ContestItem) (*api.Contest, *api.Target) { return &i.Contest, &i.Target },
			func(in *api.Contest) (api.Act, order.Command, said) {
				return in.Act, order.Command{Reason: in.Reason}, said{"reason": in.Reason}
			}),
		eventOf(s, "offer", order.MakeOffer, "Book what a party offers to end the dispute", "It takes the place of the offer before.",
			func(i *api.OfferItem) (*api.Offer, *api.Target) { return &i.Offer, &i.Target },
			func(in *api.Offer) (api.Act, order.Command, said) {
				return in.Act, order.Command{ToBuyer: in.ToBuyer, Return: in.Return, Replacement: in.Replacement},
					said{"to_buyer": amountWord(in.ToBuyer), "return": yes(in.Return), "replacement": yes(in.Replacement), "note": in.Note}
			}),
		eventOf(s, "accept-offer", order.AcceptOffer, "Book that the other party accepts the offer", "What is held is split by it: at once, or when the goods are back if that was offered. Where it was that they are replaced, the seller has to ship others.",
			func(i *api.AcceptOfferItem) (*api.AcceptOffer, *api.Target) { return &i.AcceptOffer, &i.Target },
			func(in *api.AcceptOffer) (api.Act, order.Command, said) {
				return in.Act, order.Command{ToBuyer: in.ToBuyer, Replacement: in.Replacement},
					said{"to_buyer": amountWord(in.ToBuyer), "replacement": yes(in.Replacement)}
			}),
		eventOf(s, "evidence", order.GiveEvidence, "Note a file that speaks for a party", "The file stays where it is; its content is named by its SHA-256.",
			func(i *api.EvidenceItem) (*api.Evidence, *api.Target) { return &i.Evidence, &i.Target },
			func(in *api.Evidence) (api.Act, order.Command, said) {
				return in.Act, order.Command{Evidence: order.Evidence{SHA256: in.SHA256, URL: in.URL, Type: in.Type, Size: in.Size}},
					said{"sha256": in.SHA256, "url": in.URL, "type": in.Type, "size": amountWord(in.Size), "note": in.Note}
			}),
		eventOf(s, "withdraw", order.Withdraw, "Book that the buyer withdraws the claim", "The freeze ends and the time to confirm runs on where it stood.",
			func(i *api.WithdrawItem) (*api.Withdraw, *api.Target) { return &i.Withdraw, &i.Target },
			func(in *api.Withdraw) (api.Act, order.Command, said) {
				return in.Act, order.Command{Reason: in.Reason}, said{"reason": in.Reason}
			}),
		eventOf(s, "escalate", order.Escalate, "Put the dispute before the marketplace", "The time for evidence starts. Buyer and seller may do that from the policy's moment on.",
			func(i *api.EscalateItem) (*api.Escalate, *api.Target) { return &i.Escalate, &i.Target },
			func(in *api.Escalate) (api.Act, order.Command, said) {
				return in.Act, order.Command{Reason: in.Reason}, said{"reason": in.Reason}
			}),
		eventOf(s, "appeal", order.Appeal, "Appeal against a ruling", "The ruling falls, and the marketplace rules once more; that one is the last.",
			func(i *api.AppealItem) (*api.Appeal, *api.Target) { return &i.Appeal, &i.Target },
			func(in *api.Appeal) (api.Act, order.Command, said) {
				return in.Act, order.Command{Reason: in.Reason}, said{"reason": in.Reason}
			}),
		eventOf(s, "ship-back", order.ShipBack, "Book that the goods went back to the seller", "The seller's time to inspect them starts.",
			func(i *api.ShipBackItem) (*api.ShipBack, *api.Target) { return &i.ShipBack, &i.Target },
			func(in *api.ShipBack) (api.Act, order.Command, said) {
				return in.Act, order.Command{Carrier: in.Carrier, Tracking: in.Tracking},
					said{"carrier": in.Carrier, "tracking": in.Tracking}
			}),
		eventOf(s, "receive-return", order.ReceiveReturn, "Book that the seller has the goods back", "What is held is split as agreed for the return.",
			func(i *api.ReceiveReturnItem) (*api.ReceiveReturn, *api.Target) { return &i.ReceiveReturn, &i.Target },
			func(in *api.ReceiveReturn) (api.Act, order.Command, said) { return in.Act, order.Command{}, nil }),
		eventOf(s, "refuse-return", order.RefuseReturn, "Book that the seller refuses what came back", "The dispute goes before the marketplace. With an amount the seller claims so much for damage, and offers the buyer the rest.",
			func(i *api.RefuseReturnItem) (*api.RefuseReturn, *api.Target) { return &i.RefuseReturn, &i.Target },
			func(in *api.RefuseReturn) (api.Act, order.Command, said) {
				return in.Act, order.Command{Amount: in.Amount, Reason: in.Reason}, said{"amount": amountOrNone(in.Amount), "reason": in.Reason}
			}),
		eventOf(s, "ship-replacement", order.ShipReplacement, "Book that other goods left in place of those that came", "The dispute ends and the time to confirm starts, as for a first shipment; the buyer may dispute the order once more.",
			func(i *api.ShipReplacementItem) (*api.ShipReplacement, *api.Target) {
				return &i.ShipReplacement, &i.Target
			},
			func(in *api.ShipReplacement) (api.Act, order.Command, said) {
				return in.Act, order.Command{Carrier: in.Carrier, Tracking: in.Tracking},
					said{"carrier": in.Carrier, "tracking": in.Tracking}
			}),
		eventOf(s, "ruling", order.Rule, "End a dispute by a ruling", "The freeze ends and what was held is split: to_buyer and to_seller must sum to it. Where the policy lets the parties appeal, that happens when nobody has in time; with return, only once the goods are back; with replacement the seller has to ship others.",
			func(i *api.RulingItem) (*api.Ruling, *api.Target) { return &i.Ruling, &i.Target },
			func(in *api.Ruling) (api.Act, order.Command, said) {
				return in.Act, order.Command{ToBuyer: in.ToBuyer, ToSeller: in.ToSeller, Return: in.Return, Replacement: in.Replacement, Reason: in.Reason},
					said{"to_buyer": amountWord(in.ToBuyer), "to_seller": amountWord(in.ToSeller), "return": yes(in.Return), "replacement": yes(in.Replacement), "reason": in.Reason}
			}),
	}
}

// eventOf makes the routes of an event. parts takes a bulk item apart, say
// puts a request's fields into a command and the timeline; it may say another
// event than the route's.
func eventOf[In, Item any](s *Server, name string, event order.Event, summary, description string,
	parts func(*Item) (*In, *api.Target), say func(*In) (api.Act, order.Command, said)) eventRoutes {
	request := func(in *In, id ledger.ID) posting.Request {
		act, cmd, words := say(in)
		cmd.Event, cmd.By, cmd.At = cmp.Or(cmd.Event, event), order.Role(act.By), act.At
		return posting.Request{Orders: []ledger.ID{id}, Command: cmd, Data: words.json()}
	}
	problems := []string{api.ProblemNotFound, api.ProblemLedger, api.ProblemFrozen}
	return eventRoutes{
		single: route{method: "POST", path: "/v1/orders/{id}/" + name, id: camel(name), tag: tagEvents, keyed: true,
			summary: summary, description: description,
			in: reflect.TypeFor[In](), out: reflect.TypeFor[api.Order](), problems: problems,
			handle: func(c *call) (answer, error) {
				id, err := ledger.ParseUUID(c.id)
				if err != nil {
					return answer{}, posting.ErrNotFound
				}
				in, err := decode[In](c)
				if err != nil {
					return answer{}, err
				}
				return s.moveOne(c, request(&in, id))
			}},
		bulk: bulkOf(s, name, summary, func(item *Item) (posting.Request, string, error) {
			in, target := parts(item)
			id, err := ledger.ParseUUID(target.Order)
			return request(in, id), target.IdempotencyKey, err
		}, func(_ *Item, r posting.Result) api.Answer {
			return api.Answer{Status: 200, Order: new(orderOf(&r.Orders[0]))}
		}),
		preview: route{method: "POST", path: "/v1/orders/{id}/" + name + "/preview", id: "preview" + upper(camel(name)), tag: tagPreviews,
			summary:     summary + ": what it would do",
			description: "Takes the event's own body and moves nothing. Answers the order as it would stand, each movement with its accounts, and what the next deadline would cause if nobody acted then; what would be refused is refused here as there.",
			in:          reflect.TypeFor[In](), out: reflect.TypeFor[api.Preview](), problems: []string{api.ProblemNotFound, api.ProblemRefused},
			handle: func(c *call) (answer, error) {
				in, err := decode[In](c)
				if err != nil {
					return answer{}, err
				}
				return s.preview(c, request(&in, ledger.ID{}).Command)
			}},
	}
}

// preview answers what an event would do to the order of the path.
func (s *Server) preview(c *call, cmd order.Command) (answer, error) {
	o, err := s.order(c)
	if err != nil {
		return answer{}, err
	}
	m, err := s.opts.Store.Marketplace(c.ctx, c.marketplace)
	if err != nil {
		return answer{}, err
	}
	w, err := posting.Preview(c.ctx, s.opts.Store, m, o, cmd, s.opts.Clock())
	return answer{body: PreviewOf(&w, cmd.Method)}, err
}

// PreviewOf is what posting.Preview found, as the API shows it; method is the
// payment method that the command named. Of a chargeback it is known anyway.
func PreviewOf(w *order.WhatIf, method string) api.Preview {
	if w.Change == nil {
		return api.Preview{}
	}
	after := &w.Change.After
	out := api.Preview{Order: orderOf(after), Explanation: api.Explanation(order.Explain(after)), Effect: effectOf(w.Change, method), Approval: w.Approval}
	if w.Otherwise != nil {
		out.Otherwise = new(effectOf(w.Otherwise, method))
	}
	return out
}

func effectOf(ch *order.Change, method string) api.Effect {
	o, money := &ch.After, ch.Money()
	for _, a := range []*order.Aftermath{ch.Before.Aftermath, o.Aftermath} {
		if a != nil && a.Chargeback != nil {
			method = a.Chargeback.Method
		}
	}
	out := api.Effect{Event: string(ch.Event), State: string(o.State), At: o.At.UTC(), ToBuyer: money.ToBuyer, ToSeller: money.ToSeller,
		Fee: money.Fee, Tax: money.Tax, Moves: []api.Move{}}
	account := func(code chart.AccountCode) api.MoveAccount {
		a := api.MoveAccount{Code: int(code), Name: code.Name()}
		switch code.Scope() {
		case chart.PerBuyer:
			a.Owner = o.Buyer
		case chart.PerSeller:
			a.Owner = o.Seller
		case chart.PerMethod:
			a.Owner = method
		case chart.PerOrder:
			a.Owner = o.ID.UUID()
		}
		return a
	}
	for _, m := range ch.Moves() {
		move := api.Move{Code: int(m.Code), Name: m.Name, Debit: account(m.Debit), Credit: account(m.Credit), Amount: m.Amount, AtMost: m.AtMost}
		if _, cur, ok := chart.SplitLedger(m.Ledger); ok {
			move.Currency = cur.Code
		}
		out.Moves = append(out.Moves, move)
	}
	return out
}

// moveOne books an event of one order.
func (s *Server) moveOne(c *call, req posting.Request) (answer, error) {
	res, err := s.do(c, req)
	if err != nil {
		return answer{}, err
	}
	return answer{body: orderOf(&res.Orders[0]), replayed: res.Replayed}, nil
}

// do gives a request to the write path, under the call's key.
func (s *Server) do(c *call, req posting.Request) (posting.Result, error) {
	req.Marketplace, req.Key = c.marketplace, c.key
	req.Hash = hash(c.route, &c.body)
	return s.opts.Poster.Do(c.ctx, req)
}

// payment is a payment as the write path wants it.
func payment(in *api.Payment) (posting.Request, error) {
	req := posting.Request{
		Command: order.Command{Event: order.Pay, By: order.Role(in.By), At: in.At, Method: in.Method, Amount: in.Amount, FX: order.FX(in.FX)},
		Data:    said{"method": in.Method, "reference": in.Reference}.json(),
	}
	for _, s := range in.Orders {
		id, err := ledger.ParseUUID(s)
		if err != nil {
			return req, err
		}
		req.Orders = append(req.Orders, id)
	}
	return req, nil
}

func (s *Server) pay(c *call) (answer, error) {
	in, err := decode[api.Payment](c)
	if err != nil {
		return answer{}, err
	}
	req, err := payment(&in)
	if err != nil {
		return answer{}, err
	}
	res, err := s.do(c, req)
	if err != nil {
		return answer{}, err
	}
	return answer{body: api.Paid{Intent: res.Intent.UUID(), Orders: ordersOf(res.Orders)}, replayed: res.Replayed}, nil
}

// previewPayment is pay, and moves nothing.
func (s *Server) previewPayment(c *call) (answer, error) {
	in, err := decode[api.Payment](c)
	if err != nil {
		return answer{}, err
	}
	req, err := payment(&in)
	if err != nil {
		return answer{}, err
	}
	m, err := s.opts.Store.Marketplace(c.ctx, c.marketplace)
	if err != nil {
		return answer{}, err
	}
	what, err := posting.PreviewPayment(c.ctx, s.opts.Store, s.opts.Ledger, m, req.Orders, req.Command, s.opts.Clock())
	return answer{body: PaymentPreviewOf(what, in.Method)}, err
}

// PaymentPreviewOf is what posting.PreviewPayment found, as the API shows it.
func PaymentPreviewOf(what []order.WhatIf, method string) api.PaymentPreview {
	out := api.PaymentPreview{Orders: make([]api.Preview, len(what))}
	for i := range what {
		out.Orders[i] = PreviewOf(&what[i], method)
	}
	return out
}
