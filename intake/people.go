package intake

import (
	"fmt"
	"net/url"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"escrowd/intake/api"
	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/people"
	"escrowd/settlement/peopledb"
)

var (
	aboutParam = param{"about", "The id of the seller or buyer who was rated; required.",
		&huma.Schema{Type: "string"}, storable}
	sellerParam = param{"seller", "Only this seller's.",
		&huma.Schema{Type: "string"}, storable}
	whoseParam = param{"seller", "The seller's id; required.",
		&huma.Schema{Type: "string"}, storable}
	categoryParam = param{"category", "For orders of this category; left out for those without one.",
		&huma.Schema{Type: "string"}, func(v string) string {
			if !order.PolicyWord(v) {
				return "is not a category"
			}
			return ""
		}}
)

// peopleRoutes are what people say around orders. No money moves by any of it.
func (s *Server) peopleRoutes() []route {
	gone := []string{api.ProblemNotFound}
	return []route{
		{method: "POST", path: "/v1/orders/{id}/feedback", id: "giveFeedback", tag: tagPeople, keyed: true,
			summary:     "Rate the other party of an order that has ended",
			description: "Once for each of buyer and seller, within the policy's feedback_within of the order's end. Orders that were never paid have none.",
			in:          reflect.TypeFor[api.NewFeedback](), status: 201, out: reflect.TypeFor[api.FeedbackEntry](), problems: gone,
			handle: sayOf(s, func(in *api.NewFeedback) people.Command {
				return people.Command{Part: people.Given, By: order.Role(in.By), Rating: in.Rating, Text: in.Text}
			})},
		{method: "POST", path: "/v1/orders/{id}/feedback/reply", id: "replyToFeedback", tag: tagPeople, keyed: true,
			summary: "Reply to the other party's feedback", description: "Once, by the one who was rated.",
			in: reflect.TypeFor[api.FeedbackReply](), status: 201, out: reflect.TypeFor[api.FeedbackEntry](), problems: gone,
			handle: sayOf(s, func(in *api.FeedbackReply) people.Command {
				return people.Command{Part: people.Reply, By: order.Role(in.By), Text: in.Text}
			})},
		{method: "POST", path: "/v1/orders/{id}/feedback/revision", id: "reviseFeedback", tag: tagPeople, keyed: true,
			summary:     "Revise a feedback that was replied to",
			description: "Once, by its author, within the policy's feedback_revision_within of the reply. The earlier version stays readable.",
			in:          reflect.TypeFor[api.FeedbackRevision](), status: 201, out: reflect.TypeFor[api.FeedbackEntry](), problems: gone,
			handle: sayOf(s, func(in *api.FeedbackRevision) people.Command {
				return people.Command{Part: people.Revision, By: order.Role(in.By), Rating: in.Rating, Text: in.Text}
			})},
		{method: "GET", path: "/v1/orders/{id}/feedback", id: "getFeedback", tag: tagPeople,
			summary: "What buyer and seller said of each other", description: "Every version, and the replies.",
			out: reflect.TypeFor[api.Feedbacks](), problems: gone, handle: s.getFeedback},
		{method: "GET", path: "/v1/feedback", id: "listFeedback", tag: tagPeople,
			summary: "The feedback about a seller or a buyer", description: "Of all orders, in the order in which it was given, a page at a time.",
			query: []param{aboutParam, cursorParam, limitParam}, out: reflect.TypeFor[api.Feedbacks](), handle: s.listFeedback},
		{method: "POST", path: "/v1/orders/{id}/notes", id: "addNote", tag: tagPeople, keyed: true,
			summary: "Note something on an order", description: "For the marketplace's support; a note never changes and goes with no other answer.",
			in: reflect.TypeFor[api.NewNote](), status: 201, out: reflect.TypeFor[api.Note](), problems: gone, handle: s.addNote},
		{method: "GET", path: "/v1/orders/{id}/notes", id: "listNotes", tag: tagPeople,
			summary: "What support noted on an order", description: "Oldest first. Not for buyers and sellers: whoever shows them orders leaves this out.",
			query: []param{afterParam, limitParam}, out: reflect.TypeFor[api.Notes](), problems: gone, handle: s.listNotes},
		{method: "POST", path: "/v1/sellers/marks", id: "markSeller", tag: tagSellers, keyed: true,
			summary:     "Mark a seller as eligible for escrow, or as not",
			description: "For all orders or for those of a category. Agreeing an order with a seller who is not eligible is refused by the rule seller-not-eligible; orders that are agreed go on. A marketplace's first mark counts within five seconds, further ones at once.",
			in:          reflect.TypeFor[api.NewMark](), status: 201, out: reflect.TypeFor[api.Mark](), handle: s.markSeller},
		{method: "GET", path: "/v1/sellers/marks", id: "listMarks", tag: tagSellers,
			summary: "All marks of sellers", description: "In the order in which they were made, those that no longer count too.",
			query: []param{sellerParam, afterParam, limitParam}, out: reflect.TypeFor[api.Marks](), handle: s.listMarks},
		{method: "POST", path: "/v1/sellers/records", id: "recordSeller", tag: tagSellers, keyed: true,
			summary:     "Keep a seller's tier and jurisdiction",
			description: "Agreements and quotes that name no tier, or no jurisdiction, take those; one that names them keeps its own, and orders that are agreed keep theirs. It takes the place of the seller's record before, which stays readable. When it counts is as for marks.",
			in:          reflect.TypeFor[api.NewSellerRecord](), status: 201, out: reflect.TypeFor[api.SellerRecord](), handle: s.recordSeller},
		{method: "GET", path: "/v1/sellers/records", id: "listSellerRecords", tag: tagSellers,
			summary: "All records of sellers' tiers and jurisdictions", description: "In the order in which they were made, those that no longer count too.",
			query: []param{sellerParam, afterParam, limitParam}, out: reflect.TypeFor[api.SellerRecords](), handle: s.listSellerRecords},
		{method: "GET", path: "/v1/sellers/standing", id: "getStanding", tag: tagSellers,
			summary: "Whether a seller is eligible now, and why", description: "What an agreement would be decided by at this moment.",
			query: []param{whoseParam, categoryParam}, out: reflect.TypeFor[api.Standing](), handle: s.getStanding},
		{method: "GET", path: "/v1/sellers/settings", id: "getSellerSettings", tag: tagSellers,
			summary: "Whom the marketplace lets into escrow", description: "All sellers that no mark keeps out, or only those with a mark.",
			out: reflect.TypeFor[api.SellerSettings](), handle: s.getSellerSettings},
		{method: "POST", path: "/v1/sellers/settings", id: "setSellerSettings", tag: tagSellers,
			summary: "Set whom the marketplace lets into escrow", description: "Counts within five seconds. Repeating it does no harm.",
			in: reflect.TypeFor[api.SellerSettings](), out: reflect.TypeFor[api.SellerSettings](), handle: s.setSellerSettings},
	}
}

// sayOf makes the handler of something that is said of an order.
func sayOf[In any](s *Server, command func(*In) people.Command) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		in, err := decode[In](c)
		if err != nil {
			return answer{}, err
		}
		m, id, err := s.around(c)
		if err != nil {
			return answer{}, err
		}
		now, _ := m.At(s.opts.Clock())
		e, replayed, err := s.people.Say(c.ctx, c.marketplace, id, command(&in), now, c.peopleKey())
		return answer{body: feedbackEntryOf(&e), location: "/v1/orders/" + id.UUID() + "/feedback", replayed: replayed}, err
	}
}

// around is the caller's marketplace and the order of the path.
func (s *Server) around(c *call) (orderdb.Marketplace, ledger.ID, error) {
	id, err := ledger.ParseUUID(c.id)
	if err != nil {
		return orderdb.Marketplace{}, id, orderdb.ErrNotFound
	}
	m, err := s.opts.Store.Marketplace(c.ctx, c.marketplace)
	return m, id, err
}

// peopleKey is the call's idempotency key, bound to what was sent.
func (c *call) peopleKey() peopledb.Key {
	return peopledb.Key{Name: c.key, Hash: hash(c.route, &c.body)}
}

func (s *Server) getFeedback(c *call) (answer, error) {
	o, err := s.order(c)
	if err != nil {
		return answer{}, err
	}
	list, err := s.people.Feedback(c.ctx, o.ID)
	return answer{body: api.Feedbacks{Feedback: feedbackOf(list)}}, err
}

func (s *Server) listFeedback(c *call) (answer, error) {
	if !c.query.Has("about") {
		return answer{}, invalid("query", "about", "is required")
	}
	var after ledger.ID
	var err error
	if c.query.Has("cursor") {
		if after, err = ledger.ParseUUID(c.query.Get("cursor")); err != nil {
			return answer{}, err
		}
	}
	limit := int(c.intParam("limit", 100))
	list, last, err := s.people.About(c.ctx, c.marketplace, c.query.Get("about"), after, limit)
	page := api.Feedbacks{Feedback: feedbackOf(list)}
	if len(list) == limit {
		page.Next = last.UUID()
	}
	return answer{body: page}, err
}

func (s *Server) addNote(c *call) (answer, error) {
	in, err := decode[api.NewNote](c)
	if err != nil {
		return answer{}, err
	}
	m, id, err := s.around(c)
	if err != nil {
		return answer{}, err
	}
	now, _ := m.At(s.opts.Clock())
	n, replayed, err := s.people.AddNote(c.ctx, c.marketplace, id, in.Author, in.Text, now, c.peopleKey())
	return answer{body: noteOf(&n), replayed: replayed,
		location: fmt.Sprintf("/v1/orders/%s/notes?after=%d&limit=1", id.UUID(), n.Number-1)}, err
}

func (s *Server) listNotes(c *call) (answer, error) {
	o, err := s.order(c)
	if err != nil {
		return answer{}, err
	}
	page := api.Notes{Notes: []api.Note{}, Next: c.intParam("after", 0)}
	list, err := s.people.Notes(c.ctx, o.ID, page.Next, int(c.intParam("limit", 100)))
	for i := range list {
		page.Notes = append(page.Notes, noteOf(&list[i]))
		page.Next = int64(list[i].Number)
	}
	return answer{body: page}, err
}

func (s *Server) markSeller(c *call) (answer, error) {
	in, err := decode[api.NewMark](c)
	if err != nil {
		return answer{}, err
	}
	mark := people.Mark{Seller: in.Seller, Category: in.Category, Eligible: in.Eligible, Reason: in.Reason}
	if mark.Since, err = s.orNow(c, in.Since); err != nil {
		return answer{}, err
	}
	mark, replayed, err := s.people.Mark(c.ctx, c.marketplace, mark, c.peopleKey())
	return answer{body: markOf(&mark), replayed: replayed,
		location: fmt.Sprintf("/v1/sellers/marks?seller=%s&after=%d&limit=1", url.QueryEscape(mark.Seller), mark.Position-1)}, err
}

// orNow is a moment, or the marketplace's now for none.
func (s *Server) orNow(c *call, at time.Time) (time.Time, error) {
	if !at.IsZero() {
		return at, nil
	}
	m, err := s.opts.Store.Marketplace(c.ctx, c.marketplace)
	now, _ := m.At(s.opts.Clock())
	return now, err
}

func (s *Server) recordSeller(c *call) (answer, error) {
	in, err := decode[api.NewSellerRecord](c)
	if err != nil {
		return answer{}, err
	}
	terms := people.Terms{Seller: in.Seller, Tier: in.SellerTier, Jurisdiction: in.Jurisdiction, Reason: in.Reason}
	if terms.Since, err = s.orNow(c, in.Since); err != nil {
		return answer{}, err
	}
	terms, replayed, err := s.people.SetTerms(c.ctx, c.marketplace, terms, c.peopleKey())
	return answer{body: sellerRecordOf(&terms), replayed: replayed,
		location: fmt.Sprintf("/v1/sellers/records?seller=%s&after=%d&limit=1", url.QueryEscape(terms.Seller), terms.Position-1)}, err
}

func (s *Server) listSellerRecords(c *call) (answer, error) {
	page := api.SellerRecords{Records: []api.SellerRecord{}, Next: c.intParam("after", 0)}
	list, err := s.people.Terms(c.ctx, c.marketplace, c.query.Get("seller"), page.Next, int(c.intParam("limit", 100)))
	for i := range list {
		page.Records = append(page.Records, sellerRecordOf(&list[i]))
		page.Next = list[i].Position
	}
	return answer{body: page}, err
}

func (s *Server) listMarks(c *call) (answer, error) {
	page := api.Marks{Marks: []api.Mark{}, Next: c.intParam("after", 0)}
	list, err := s.people.Marks(c.ctx, c.marketplace, c.query.Get("seller"), page.Next, int(c.intParam("limit", 100)))
	for i := range list {
		page.Marks = append(page.Marks, markOf(&list[i]))
		page.Next = list[i].Position
	}
	return answer{body: page}, err
}

func (s *Server) getStanding(c *call) (answer, error) {
	if !c.query.Has("seller") {
		return answer{}, invalid("query", "seller", "is required")
	}
	m, err := s.opts.Store.Marketplace(c.ctx, c.marketplace)
	if err != nil {
		return answer{}, err
	}
	now, _ := m.At(s.opts.Clock())
	ask := orderdb.SellerAsk{Marketplace: m.ID, Seller: c.query.Get("seller"), Category: c.query.Get("category"), At: now}
	st, err := s.opts.Store.Standing(c.ctx, ask)
	return answer{body: api.Standing{Seller: ask.Seller, Category: ask.Category, Eligible: st.Eligible(), Why: st.Why(),
		SellerTier: st.Tier, Jurisdiction: st.Jurisdiction}}, err
}

func (s *Server) getSellerSettings(c *call) (answer, error) {
	m, err := s.opts.Store.Marketplace(c.ctx, c.marketplace)
	return answer{body: api.SellerSettings{OnlyListed: m.OnlyListed}}, err
}

func (s *Server) setSellerSettings(c *call) (answer, error) {
	in, err := decode[api.SellerSettings](c)
	if err != nil {
		return answer{}, err
	}
	m, err := s.opts.Store.SetOnlyListed(c.ctx, c.marketplace, in.OnlyListed)
	return answer{body: api.SellerSettings{OnlyListed: m.OnlyListed}}, err
}

func feedbackEntryOf(e *people.Entry) api.FeedbackEntry {
	return api.FeedbackEntry{ID: e.ID.UUID(), Order: e.Order.UUID(), Part: string(e.Part), By: string(e.By()),
		Rating: e.Rating, Text: e.Text, At: e.At.UTC()}
}

func feedbackOf(list []people.Feedback) []api.Feedback {
	out := make([]api.Feedback, len(list))
	for i := range list {
		f := &list[i]
		now := f.Current()
		out[i] = api.Feedback{Order: f.Order.UUID(), By: string(f.Author), About: f.Rated, Rating: now.Rating, Text: now.Text,
			Entries: make([]api.FeedbackEntry, len(f.Entries))}
		for j := range f.Entries {
			out[i].Entries[j] = feedbackEntryOf(&f.Entries[j])
		}
	}
	return out
}

func noteOf(n *people.Note) api.Note {
	return api.Note{Number: n.Number, Author: n.Author, Text: n.Text, At: n.At.UTC()}
}

func markOf(m *people.Mark) api.Mark {
	return api.Mark{Position: m.Position, Seller: m.Seller, Category: m.Category, Eligible: m.Eligible, Reason: m.Reason, Since: m.Since.UTC()}
}

func sellerRecordOf(t *people.Terms) api.SellerRecord {
	return api.SellerRecord{Position: t.Position, Seller: t.Seller, SellerTier: t.Tier, Jurisdiction: t.Jurisdiction, Reason: t.Reason, Since: t.Since.UTC()}
}
