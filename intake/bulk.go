package intake

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"escrowd/intake/api"
	"escrowd/intake/strict"
	"escrowd/settlement/posting"
)

// bulkRoutes are the bulk forms of what is no event of one existing order.
func (s *Server) bulkRoutes() []route {
	return []route{
		bulkOf(s, "orders", "Record what buyers and sellers agreed",
			func(i *api.NewOrderItem) (posting.Request, string, error) {
				return agreement(&i.NewOrder), i.IdempotencyKey, nil
			},
			func(_ *api.NewOrderItem, r posting.Result) api.Answer {
				return api.Answer{Status: 201, Order: new(orderOf(&r.Orders[0]))}
			}),
		bulkOf(s, "payments", "Book payments",
			func(i *api.PaymentItem) (posting.Request, string, error) {
				req, err := payment(&i.Payment)
				return req, i.IdempotencyKey, err
			},
			func(_ *api.PaymentItem, r posting.Result) api.Answer {
				return api.Answer{Status: 200, Intent: r.Intent.UUID(), Orders: ordersOf(r.Orders)}
			}),
	}
}

// bulkOf makes the bulk route of a kind of item: its items are checked one by
// one, all good ones go to the write path together, and each gets an answer.
func bulkOf[Item any](s *Server, name, summary string,
	request func(*Item) (req posting.Request, key string, err error), say func(*Item, posting.Result) api.Answer) route {
	strict.Check(reflect.TypeFor[Item]())
	return route{method: "POST", path: "/v1/bulk/" + name, id: "bulk" + upper(camel(name)), tag: tagBulk, keyed: true,
		summary: summary + ", many at once",
		description: "Up to 1000 items of the same fields as the single request. Each is answered by itself, by index, and one that is refused stops no other. " +
			"Items about one order take effect in the order in which they stand.",
		in: reflect.TypeFor[api.Bulk[Item]](), ownDecode: true, limit: bulkMax, out: reflect.TypeFor[api.Answers](),
		handle: func(c *call) (answer, error) {
			items, err := bulkItems(c)
			if err != nil {
				return answer{}, err
			}
			answers := make([]api.Answer, len(items))
			parsed := make([]Item, len(items))
			var reqs []posting.Request
			var index []int
			for i := range items {
				req, err := bulkRequest(c, i, &items[i], &parsed[i], request)
				if err != nil {
					answers[i] = s.refused(c, i, err)
					continue
				}
				reqs, index = append(reqs, req), append(index, i)
			}
			done := s.opts.Poster.DoAll(c.ctx, reqs)
			if err := allBusy(done); err != nil {
				return answer{}, err
			}
			for j, a := range done {
				if i := index[j]; a.Err != nil {
					answers[i] = s.refused(c, i, a.Err)
				} else {
					answers[i] = say(&parsed[i], a.Result)
					answers[i].Replayed = a.Result.Replayed
				}
			}
			for _, a := range answers {
				s.metrics.items.WithLabelValues("/v1/bulk/"+name, strconv.Itoa(a.Status)).Inc()
			}
			return answer{body: api.Answers{Answers: answers}}, nil
		}}
}

func bulkRequest[Item any](c *call, i int, v *strict.Value, item *Item,
	request func(*Item) (posting.Request, string, error)) (posting.Request, error) {
	if err := strict.Decode(v, pointerTo(i), item); err != nil {
		return posting.Request{}, err
	}
	req, key, err := request(item)
	if err != nil {
		return req, err
	}
	if key == "" {
		key = itemKey(c.key, i)
	}
	bare := v.Without("idempotency_key")
	req.Marketplace, req.Key, req.Hash = c.marketplace, key, hash(c.route, &bare)
	return req, nil
}

// allBusy is the error of a bulk none of whose items was let in: the answer to
// the whole request then, so that it says when to send it again.
func allBusy(done []posting.Answer) error {
	for _, a := range done {
		if !errors.Is(a.Err, posting.ErrBusy) {
			return nil
		}
	}
	if len(done) == 0 {
		return nil
	}
	return done[0].Err
}

// refused is the answer to a bulk's item i for an error.
func (s *Server) refused(c *call, i int, err error) api.Answer {
	p := s.problem(c.ctx, err)
	for j, e := range p.Errors { // the write path names fields, not places in the body
		if e.In == "body" && !strings.HasPrefix(e.Pointer, pointerTo(i)) {
			p.Errors[j].Pointer = pointerTo(i) + e.Pointer
		}
	}
	return api.Answer{Status: p.Status, Problem: p}
}

// bulkItems are the items of a bulk request, each still to be decoded.
func bulkItems(c *call) ([]strict.Value, error) {
	p := &strict.Error{}
	items, ok := c.body.Get("items")
	switch {
	case c.body.Kind != strict.Object:
		p.Fields = append(p.Fields, strict.Field{Pointer: "", Detail: "must be an object"})
	case !ok:
		p.Fields = append(p.Fields, strict.Field{Pointer: "/items", Detail: "is required"})
	case items.Kind != strict.Array:
		p.Fields = append(p.Fields, strict.Field{Pointer: "/items", Detail: "must be an array"})
	case len(items.Items) < 1 || len(items.Items) > api.BulkMax:
		p.Fields = append(p.Fields, strict.Field{Pointer: "/items", Detail: fmt.Sprintf("must have 1 to %d items", api.BulkMax)})
	case len(c.body.Names) > 1:
		p.Fields = append(p.Fields, strict.Field{Pointer: "", Detail: "has an unknown field beside items"})
	}
	if len(p.Fields) > 0 {
		return nil, p
	}
	return items.Items, nil
}

func pointerTo(i int) string { return "/items/" + strconv.Itoa(i) }

// camel is a path's word as an operation's: accept-claim is acceptClaim.
func camel(s string) string {
	words := strings.Split(s, "-")
	for i, w := range words[1:] {
		words[i+1] = upper(w)
	}
	return strings.Join(words, "")
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
