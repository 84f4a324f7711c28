package intake

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"escrowd/intake/api"
	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

var (
	kindParam       = param{"kind", "Only entries of this kind.", &huma.Schema{Type: "string", Enum: anys(treasury.Kinds)}, oneOf(treasury.Kinds)}
	entryStateParam = param{"state", "Only entries in this state.", &huma.Schema{Type: "string", Enum: anys(treasury.States)}, oneOf(treasury.States)}
	partyParam      = param{"party", "Only entries of this seller or buyer.", &huma.Schema{Type: "string"}, storable}
	payeeParam      = param{"seller", "The seller.", &huma.Schema{Type: "string"}, storable}
)

func oneOf[T ~string](list []T) func(string) string {
	return func(v string) string {
		for _, s := range list {
			if string(s) == v {
				return ""
			}
		}
		return "is none of those that there are"
	}
}

// entryRoutes are the routes of money that moves for no order.
func (s *Server) entryRoutes() []route {
	problems := []string{api.ProblemNotFound, api.ProblemLedger, api.ProblemFrozen}
	list := []route{
		{method: "POST", path: "/v1/entries", id: "makeEntry", tag: tagEntries, keyed: true,
			summary:     "Move money that is no order's, or propose to",
			description: "A payout, a receipt, a repayment, a debt's recovery, a provider's settlement, a sweep of fees; an adjustment, a write-off, a conversion, a seller's bank details, a ruling or a policy are proposed here, and come about when another person approves them.",
			in:          reflect.TypeFor[api.NewEntry](), status: 201, out: reflect.TypeFor[api.EntryMade](),
			problems: append([]string{api.ProblemReference}, problems...), handle: s.makeEntry},
		{method: "GET", path: "/v1/entries", id: "listEntries", tag: tagEntries,
			summary: "List entries by age", description: "Oldest first, a page at a time.",
			query: []param{kindParam, entryStateParam, partyParam, cursorParam, limitParam},
			out:   reflect.TypeFor[api.Entries](), handle: s.listEntries},
		{method: "GET", path: "/v1/entries/{id}", id: "getEntry", tag: tagEntries,
			summary: "An entry and all that happened to it", description: "With its digest, which an approval has to name, and what can happen now.",
			out: reflect.TypeFor[api.EntryDetail](), problems: []string{api.ProblemNotFound}, handle: s.getEntry},
		{method: "GET", path: "/v1/payees", id: "getPayee", tag: tagEntries,
			summary: "How a seller is paid out", description: "A seller of whom nothing was said is paid out by hand.",
			query: []param{payeeParam}, out: reflect.TypeFor[api.Payee](), handle: s.getPayee},
		{method: "POST", path: "/v1/payees", id: "setPayee", tag: tagEntries,
			summary: "Say how a seller is paid out", description: "Takes the place of what was said before; repeating it does no harm. Bank details are an entry: another person has to approve them.",
			in: reflect.TypeFor[api.SetPayee](), out: reflect.TypeFor[api.Payee](), handle: s.setPayee},
	}
	list = append(list, route{method: "GET", path: "/v1/payouts", id: "listPayouts", tag: tagEntries,
		summary:     "The payouts that are on their way, for the bank",
		description: "Those in state sent, oldest first, a page at a time, with the bank details that were approved when each was sent. Reading them moves nothing; what the bank answers is booked on the entry.",
		query:       []param{cursorParam, limitParam}, out: reflect.TypeFor[api.SentPayouts](), handle: s.listPayouts})
	list = append(list, route{method: "GET", path: "/v1/balances", id: "getBalances", tag: tagEntries,
		summary: "What a buyer or a seller has, by the ledger", description: "One line for each account, as the ledger has it now: a buyer's balance; of a seller what matures, what is available, the reserve and the debt.",
		query: []param{partyParam}, out: reflect.TypeFor[api.Balances](), handle: s.getBalances})
	for _, e := range []struct {
		event                      treasury.Event
		name, summary, description string
	}{
		{treasury.Approve, "approve", "Approve a proposal", "By another person than the one who made it, who names the digest of what was seen. The money moves, the ruling is made, or the policy's version is added, and never the one without the other: where the order has moved on since, the approval is refused as the ruling would be."},
		{treasury.Reject, "reject", "Reject a proposal, or book that a repayment was", "Nothing moves, or the money is the buyer's again."},
		{treasury.Accept, "accept", "Book that the bank took a payout", "What was pending has left the seller's account."},
		{treasury.Fail, "fail", "Book that the bank refused a payout", "The money is available to the seller again."},
		{treasury.Settle, "settle", "Book that a payout left the bank, or a repayment arrived", "By the bank's statement."},
		{treasury.Return, "return", "Book that a payout came back", "The money is available to the seller again, however late it came."},
		{treasury.Assign, "assign", "Say whose money a receipt is", "It goes to the buyer's balance, from which orders can be paid."},
		{treasury.SendBack, "send-back", "Send a receipt of nobody known back", "By the way that it came."},
		{treasury.Send, "send", "Book that a repayment was sent", "The provider has it; settle or reject tells what became of it."},
	} {
		list = append(list, route{method: "POST", path: "/v1/entries/{id}/" + e.name, id: camel(e.name) + "Entry", tag: tagEntries, keyed: true,
			summary: e.summary, description: e.description, in: reflect.TypeFor[api.EntryAct](), out: reflect.TypeFor[api.Entry](), problems: problems,
			handle: func(c *call) (answer, error) { return s.moveEntry(c, e.event) }})
	}
	return list
}

func (s *Server) makeEntry(c *call) (answer, error) {
	in, err := decode[api.NewEntry](c)
	if err != nil {
		return answer{}, err
	}
	t := treasury.Terms{Kind: treasury.Kind(in.Kind), Reference: in.Reference, Party: in.Party, Method: in.Method, Amount: in.Amount, Fee: in.Fee,
		Debit: accountFrom(in.Debit), Credit: accountFrom(in.Credit), Details: in.Details, Reason: in.Reason, Maker: in.Person}
	switch {
	case t.Kind == treasury.Ruling:
		if err := s.ofOrder(c, &in, &t); err != nil {
			return answer{}, err
		}
	case t.Kind.InLedger():
		if t.Ledger, err = ledgerOf(c.marketplace, in.Currency); err != nil {
			return answer{}, &posting.Invalid{Field: "currency", Detail: err.Error()}
		}
	case in.Currency != "":
		return answer{}, &posting.Invalid{Field: "currency", Detail: "this kind has no currency"}
	}
	if in.To != (api.ConvertTo{}) {
		t.To = treasury.ConvertTo{Amount: in.To.Amount, Rate: in.To.Rate, Spread: in.To.Spread}
		if t.To.Ledger, err = ledgerOf(c.marketplace, in.To.Currency); err != nil {
			return answer{}, &posting.Invalid{Field: "to/currency", Detail: err.Error()}
		}
	}
	orders, err := s.ordersOfReceipt(c, &in, &t)
	if err != nil {
		return answer{}, err
	}
	res, err := s.do(c, posting.Request{Orders: posting.OrdersOf(&t, treasury.Propose), Entry: &posting.EntryRequest{New: &t, Command: treasury.Command{Person: in.Person, At: in.At}}})
	if err != nil {
		return answer{}, err
	}
	made := api.EntryMade{Entry: entryOf(res.Entry)}
	if len(orders) > 0 {
		made.Paid, made.Unpaid = s.payFromBalance(c, orders)
	}
	return answer{body: made, location: "/v1/entries/" + made.ID, replayed: res.Replayed}, nil
}

// ledgerOf is the number of the marketplace's ledger in a currency.
func ledgerOf(marketplace uint32, currency string) (uint32, error) {
	cur, err := chart.Find(currency)
	if err != nil {
		return 0, err
	}
	return chart.Ledger(marketplace, cur)
}

// ofOrder completes a ruling's terms from its order: what is split is all that is
// held, and is said by the parts alone.
func (s *Server) ofOrder(c *call, in *api.NewEntry, t *treasury.Terms) error {
	if in.Currency != "" || in.Amount != 0 {
		return &posting.Invalid{Field: "amount", Detail: "a ruling's amount and currency are the order's: leave them out"}
	}
	id, err := t.Order()
	if err != nil {
		return &posting.Invalid{Field: "party", Detail: "must be the order's id"}
	}
	o, err := s.opts.Store.Order(c.ctx, c.marketplace, id)
	if errors.Is(err, orderdb.ErrNotFound) {
		return &posting.Invalid{Field: "party", Detail: "there is no such order"}
	}
	if err == nil && o.Held == 0 {
		return &posting.Invalid{Field: "party", Detail: "the order holds nothing that could be ruled on"}
	}
	t.Ledger, t.Amount = o.Ledger, o.Held
	return err
}

// ordersOfReceipt reads the orders that a receipt was sent for; their buyer is
// its party.
func (s *Server) ordersOfReceipt(c *call, in *api.NewEntry, t *treasury.Terms) (ids []ledger.ID, err error) {
	wrong := func(detail string) ([]ledger.ID, error) {
		return nil, &posting.Invalid{Field: "orders", Detail: detail}
	}
	if len(in.Orders) > 0 && t.Kind != treasury.Receipt {
		return wrong("only a receipt is for orders")
	}
	for _, text := range in.Orders {
		id, err := ledger.ParseUUID(text)
		if err != nil {
			return wrong("not ids of orders")
		}
		o, err := s.opts.Store.Order(c.ctx, c.marketplace, id)
		switch {
		case errors.Is(err, orderdb.ErrNotFound):
			return wrong("there is no such order")
		case err != nil:
			return nil, err
		case o.Ledger != t.Ledger:
			return wrong("an order is in another currency")
		case t.Party != "" && t.Party != o.Buyer:
			return wrong("an order is another buyer's")
		}
		t.Party = o.Buyer
		ids = append(ids, id)
	}
	return ids, nil
}

// payFromBalance pays orders out of what their buyer has, or says why not. The
// receipt stands either way.
func (s *Server) payFromBalance(c *call, orders []ledger.ID) ([]api.Order, *api.Problem) {
	req := posting.Request{Marketplace: c.marketplace, Orders: orders, Hash: hash(c.route, &c.body),
		Command: order.Command{Event: order.Pay, Method: order.Balance}, Data: said{"method": order.Balance}.json()}
	if c.key != "" {
		req.Key = c.key + " pay" // the space keeps it apart from every key that a caller can send
	}
	res, err := s.opts.Poster.Do(c.ctx, req)
	if err != nil {
		p := problemOf(err)
		if p.Status >= 500 {
			s.log.Error("a receipt's orders could not be paid", "error", err)
		}
		return nil, p
	}
	return ordersOf(res.Orders), nil
}

func (s *Server) moveEntry(c *call, event treasury.Event) (answer, error) {
	id, err := ledger.ParseUUID(c.id)
	if err != nil {
		return answer{}, posting.ErrNotFound
	}
	in, err := decode[api.EntryAct](c)
	if err != nil {
		return answer{}, err
	}
	var orders []ledger.ID
	if event == treasury.Approve {
		e, err := s.opts.Store.Entry(c.ctx, c.marketplace, id)
		if err != nil {
			return answer{}, err
		}
		orders = posting.OrdersOf(&e.Terms, event)
	}
	res, err := s.do(c, posting.Request{Orders: orders, Entry: &posting.EntryRequest{ID: id,
		Command: treasury.Command{Event: event, Person: in.Person, Digest: in.Digest, Party: in.Party, Note: in.Note, At: in.At}}})
	if err != nil {
		return answer{}, err
	}
	return answer{body: entryOf(res.Entry), replayed: res.Replayed}, nil
}

func (s *Server) getEntry(c *call) (answer, error) {
	id, err := ledger.ParseUUID(c.id)
	if err != nil {
		return answer{}, orderdb.ErrNotFound
	}
	e, err := s.opts.Store.Entry(c.ctx, c.marketplace, id)
	if err != nil {
		return answer{}, err
	}
	events, err := s.opts.Store.EntryEvents(c.ctx, id)
	if err != nil {
		return answer{}, err
	}
	out := api.EntryDetail{Entry: entryOf(&e), Timeline: make([]api.EntryEvent, len(events)), Allowed: allowedOf(treasury.AllowedIn(&e))}
	for i, ev := range events {
		out.Timeline[i] = api.EntryEvent{Intent: ev.Intent.UUID(), Seq: ev.Seq, Event: string(ev.Event), By: string(ev.Actor), Person: ev.Said.Person,
			Note: ev.Said.Note, Digest: ev.Said.Digest, Result: ev.Said.Result, State: string(ev.State), At: ev.At.UTC(), RecordedAt: ev.RecordedAt.UTC()}
		if ev.LedgerTimestamp != 0 {
			out.Timeline[i].LedgerTimestamp = strconv.FormatUint(ev.LedgerTimestamp, 10)
		}
	}
	return answer{body: out}, nil
}

func (s *Server) listEntries(c *call) (answer, error) {
	limit := int(c.intParam("limit", 100))
	f := orderdb.EntryFilter{Kind: treasury.Kind(c.query.Get("kind")), State: treasury.State(c.query.Get("state")), Owner: c.query.Get("party"), Limit: limit}
	if c.query.Has("cursor") {
		var err error
		if f.After, err = ledger.ParseUUID(c.query.Get("cursor")); err != nil {
			return answer{}, err
		}
	}
	list, err := s.opts.Store.Entries(c.ctx, c.marketplace, f)
	if err != nil {
		return answer{}, err
	}
	out := api.Entries{Entries: make([]api.Entry, len(list))}
	for i := range list {
		out.Entries[i] = entryOf(&list[i])
	}
	if len(list) == limit {
		out.Next = list[len(list)-1].ID.UUID()
	}
	return answer{body: out}, nil
}

func (s *Server) listPayouts(c *call) (answer, error) {
	limit := int(c.intParam("limit", 100))
	f := orderdb.EntryFilter{Kind: treasury.Payout, State: treasury.Sent, Limit: limit}
	if c.query.Has("cursor") {
		var err error
		if f.After, err = ledger.ParseUUID(c.query.Get("cursor")); err != nil {
			return answer{}, err
		}
	}
	list, err := s.opts.Store.Entries(c.ctx, c.marketplace, f)
	if err != nil {
		return answer{}, err
	}
	details, err := s.opts.Store.PaidTo(c.ctx, c.marketplace, list)
	if err != nil {
		return answer{}, err
	}
	out := api.SentPayouts{Payouts: make([]api.SentPayout, len(list))}
	for i := range list {
		e := entryOf(&list[i])
		out.Payouts[i] = api.SentPayout{Payout: e.ID, Currency: e.Currency, Amount: e.Amount, Seller: e.Party, SentAt: e.At, Details: details[i]}
	}
	if len(list) == limit {
		out.Next = list[limit-1].ID.UUID()
	}
	return answer{body: out}, nil
}

func (s *Server) setPayee(c *call) (answer, error) {
	in, err := decode[api.SetPayee](c)
	if err != nil {
		return answer{}, err
	}
	if err := s.opts.Store.SetPayee(c.ctx, c.marketplace, orderdb.Payee{Seller: in.Seller, Schedule: orderdb.Schedule(in.Schedule), Minimum: in.Minimum, Blocked: in.Blocked}); err != nil {
		return answer{}, err
	}
	return s.payee(c, in.Seller)
}

func (s *Server) getPayee(c *call) (answer, error) {
	if !c.query.Has("seller") {
		return answer{}, invalid("query", "seller", "is required")
	}
	return s.payee(c, c.query.Get("seller"))
}

func (s *Server) payee(c *call, seller string) (answer, error) {
	p, err := s.opts.Store.Payee(c.ctx, c.marketplace, seller)
	if err != nil {
		return answer{}, err
	}
	out := api.Payee{SetPayee: api.SetPayee{Seller: p.Seller, Schedule: string(p.Schedule), Minimum: p.Minimum, Blocked: p.Blocked}}
	details, err := s.opts.Store.BankDetails(c.ctx, c.marketplace, seller)
	if errors.Is(err, orderdb.ErrNotFound) {
		return answer{body: out}, nil
	}
	out.BankDetails = details.ID.UUID()
	return answer{body: out}, err
}

func (s *Server) getBalances(c *call) (answer, error) {
	if !c.query.Has("party") {
		return answer{}, invalid("query", "party", "is required")
	}
	accounts, err := s.opts.Store.PartyAccounts(c.ctx, c.marketplace, c.query.Get("party"))
	if err != nil {
		return answer{}, err
	}
	out := api.Balances{Balances: []api.Balance{}}
	for batch := range slices.Chunk(accounts, ledger.BatchMax) {
		ids := make([]ledger.ID, len(batch))
		names := map[ledger.ID]orderdb.PartyAccount{}
		for i, a := range batch {
			ids[i], names[a.ID] = a.ID, a
		}
		list, err := s.opts.Ledger.LookupAccounts(c.ctx, ids)
		if err != nil {
			return answer{}, fmt.Errorf("reading balances: %w", err)
		}
		for _, a := range list {
			out.Balances = append(out.Balances, balanceOf(names[a.ID], &a))
		}
	}
	return answer{body: out}, nil
}

// balanceOf is an account on its normal side. None of a party's accounts can
// stand on the other one: the ledger sees to that.
func balanceOf(name orderdb.PartyAccount, a *ledger.Account) api.Balance {
	in, out, pending := a.CreditsPosted, a.DebitsPosted, a.DebitsPending
	if name.Code.NormalSide() == chart.Debit {
		in, out, pending = a.DebitsPosted, a.CreditsPosted, a.CreditsPending
	}
	left, _ := in.Sub(out)
	b := api.Balance{Code: int(name.Code), Account: name.Code.Slug(), Amount: left.String(), Pending: pending.String()}
	if _, cur, ok := chart.SplitLedger(name.Ledger); ok {
		b.Currency = cur.Code
	}
	return b
}

func accountFrom(a api.EntryAccount) treasury.Account {
	return treasury.Account{Code: chart.AccountCode(a.Code), Owner: a.Owner}
}

func accountOf(a treasury.Account) api.EntryAccount {
	return api.EntryAccount{Code: int(a.Code), Owner: a.Owner}
}

func entryOf(e *treasury.Entry) api.Entry {
	out := api.Entry{ID: e.ID.UUID(), Kind: string(e.Kind), State: string(e.State), Amount: e.Amount, Fee: e.Fee, Reference: e.Reference,
		Party: e.Owner, Method: e.Method, Debit: accountOf(e.Debit), Credit: accountOf(e.Credit), Details: e.Details, Reason: e.Reason, Maker: e.Maker,
		MadeAt: e.MadeAt.UTC(), At: e.At.UTC(), DueAt: utc(e.DueAt), Digest: e.Digest(), Events: e.Seq}
	if _, cur, ok := chart.SplitLedger(e.Ledger); ok {
		out.Currency = cur.Code
	}
	if _, cur, ok := chart.SplitLedger(e.To.Ledger); ok {
		out.To = api.ConvertTo{Currency: cur.Code, Amount: e.To.Amount, Rate: e.To.Rate, Spread: e.To.Spread}
	}
	return out
}
