package intake

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"escrowd/intake/api"
	"escrowd/intake/strict"
	"escrowd/ledger"
	"escrowd/settlement/order"
)

// route is one line of the API: what the mux serves and what the document
// says of it.
type route struct {
	method, path string
	id           string // operationId
	tag          string
	summary      string
	description  string
	public       bool // needs no key
	query        []param
	in           reflect.Type // the body; nil for none
	ownDecode    bool         // the handler decodes the items by itself
	keyed        bool         // the Idempotency-Key counts
	limit        int64        // of the body; 0 means bodyMax
	timeout      time.Duration
	status       int // when all is well; 0 means 200
	out          reflect.Type
	problems     []string // beside those that every route has
	handle       func(c *call) (answer, error)
}

// param is a query parameter.
type param struct {
	name, doc string
	schema    *huma.Schema
	check     func(value string) string // what is wrong with it, "" for nothing
}

const (
	tagOrders   = "orders"
	tagEvents   = "events"
	tagBulk     = "bulk"
	tagPreviews = "previews"
	tagEntries  = "entries"
	tagSettings = "marketplace"
	tagProbes   = "probes"
	tagPeople   = "people"
	tagSellers  = "sellers"
)

// pageMax is the most rows of one page.
const pageMax = 1000

var (
	limitParam = param{"limit", "The most rows to answer, 1 to 1000; 100 if left out.",
		&huma.Schema{Type: "integer", Minimum: new(1.0), Maximum: new(float64(pageMax)), Default: 100}, integerBetween(1, pageMax)}
	stateParam = param{"state", "Only orders in this state.",
		&huma.Schema{Type: "string", Enum: anys(order.States)}, func(v string) string {
			for _, s := range order.States {
				if string(s) == v {
					return ""
				}
			}
			return "is not a state"
		}}
	referenceParam = param{"reference", "Only the order with this reference.",
		&huma.Schema{Type: "string"}, storable}
	cursorParam = param{"cursor", "The next of the page before.",
		&huma.Schema{Type: "string"}, func(v string) string {
			if _, err := ledger.ParseUUID(v); err != nil {
				return "is not a cursor that a page gave"
			}
			return ""
		}}
	afterParam = param{"after", "The next of the page before; 0 or left out starts at the beginning.",
		&huma.Schema{Type: "integer", Format: "int64", Minimum: new(0.0)}, integerBetween(0, 1<<63-1)}
)

func integerBetween(low, high int64) func(string) string {
	return func(v string) string {
		if n, err := strconv.ParseInt(v, 10, 64); err != nil || n < low || n > high || strings.HasPrefix(v, "+") {
			return fmt.Sprintf("must be an integer from %d to %d", low, high)
		}
		return ""
	}
}

// routes is the whole API.
func (s *Server) routes() []route {
	list := []route{
		{method: "POST", path: "/v1/orders", id: "createOrder", tag: tagOrders, keyed: true,
			summary:     "Record what buyer and seller agreed",
			description: "The terms, the fee and the policy's version are fixed here and never change. Nothing is held before the payment.",
			in:          reflect.TypeFor[api.NewOrder](), status: 201, out: reflect.TypeFor[api.Order](),
			problems: []string{api.ProblemReference}, handle: s.createOrder},
		{method: "GET", path: "/v1/orders", id: "listOrders", tag: tagOrders,
			summary: "List orders by age", description: "Oldest first, a page at a time.",
			query: []param{stateParam, referenceParam, cursorParam, limitParam},
			out:   reflect.TypeFor[api.Orders](), handle: s.listOrders},
		{method: "GET", path: "/v1/orders/{id}", id: "getOrder", tag: tagOrders,
			summary:     "An order, and why its money is where it is",
			description: "The explanation says in words why money is held, until when, who must act, and what happens otherwise; allowed lists what can happen now and by whom.",
			out:         reflect.TypeFor[api.OrderDetail](), problems: []string{api.ProblemNotFound}, handle: s.getOrder},
		{method: "GET", path: "/v1/orders/{id}/timeline", id: "getTimeline", tag: tagOrders,
			summary: "All that happened to an order", description: "Oldest first, with what the caller said of each event.",
			out: reflect.TypeFor[api.Timeline](), problems: []string{api.ProblemNotFound}, handle: s.getTimeline},
		{method: "GET", path: "/v1/orders/{id}/shipments", id: "getShipments", tag: tagOrders,
			summary:     "What was shipped of an order, and where it is",
			description: "From the timeline: each shipment with its carrier, tracking number, scans and delivery. A replacement is a shipment of its own, the child of the one that it replaces, and no money goes with it. A scan belongs to the shipment whose tracking number it names; one that names none, or an unknown one, to those that bring its goods: those under way, or the last ones if none is. Once a replacement was shipped, scans and the delivery are its own.",
			out:         reflect.TypeFor[api.Shipments](), problems: []string{api.ProblemNotFound}, handle: s.getShipments},
		{method: "POST", path: "/v1/quotes", id: "quote", tag: tagOrders,
			summary:     "What an order would cost and pay out",
			description: "Fee, tax, what the seller would get, and every state in which the order could wait: until when, for whom, and what happens otherwise. Nothing is stored.",
			in:          reflect.TypeFor[api.NewQuote](), out: reflect.TypeFor[api.Quote](), handle: s.quote},
		{method: "POST", path: "/v1/payments", id: "pay", tag: tagEvents, keyed: true,
			summary:     "Book one payment of one or several orders",
			description: "All of its orders are held, or none is.",
			in:          reflect.TypeFor[api.Payment](), out: reflect.TypeFor[api.Paid](),
			problems: []string{api.ProblemNotFound, api.ProblemLedger, api.ProblemFrozen}, handle: s.pay},
		{method: "POST", path: "/v1/payments/preview", id: "previewPayment", tag: tagPreviews,
			summary:     "Book one payment of one or several orders: what it would do",
			description: "Takes the payment's own body and moves nothing. Answers for each of the orders how it would stand, each movement with its accounts, and what its next deadline would cause if nobody acted then; what would be refused is refused here as there, of all or of none, by the ledger too where the buyer's balance is not enough.",
			in:          reflect.TypeFor[api.Payment](), out: reflect.TypeFor[api.PaymentPreview](),
			problems: []string{api.ProblemNotFound, api.ProblemRefused, api.ProblemLedger}, handle: s.previewPayment},
		{method: "GET", path: "/v1/events", id: "listEvents", tag: tagEvents,
			summary:     "All that happened in the marketplace",
			description: "In the order in which it was recorded. A reader that goes on from next misses nothing; positions rise and may have gaps.",
			query:       []param{afterParam, limitParam}, out: reflect.TypeFor[api.Feed](), handle: s.listEvents},
		{method: "GET", path: "/v1/clock", id: "getClock", tag: tagSettings,
			summary: "The marketplace's clock", description: "A live clock is the machine's; a test clock stands where its owner set it.",
			out: reflect.TypeFor[api.Clock](), handle: s.getClock},
		{method: "POST", path: "/v1/clock", id: "setClock", tag: tagSettings, timeout: clockTimeout,
			summary:     "Move a test clock forward",
			description: "Deadlines that pass fire before the answer, unless they are held; fired counts what they caused. Repeating it does no harm: a clock never moves back.",
			in:          reflect.TypeFor[api.SetClock](), out: reflect.TypeFor[api.ClockMoved](),
			problems: []string{api.ProblemLiveClock}, handle: s.setClock},
		{method: "GET", path: "/v1/policies", id: "listPolicies", tag: tagSettings,
			summary:     "The versions in force and those to come",
			description: "Of each policy the version under which orders are agreed now, and the newer ones, which wait for their time. Orders keep the version under which they were agreed.",
			out:         reflect.TypeFor[api.Policies](), handle: s.listPolicies},
		{method: "POST", path: "/v1/policies", id: "addPolicy", tag: tagSettings,
			summary:     "Make the next version of a policy",
			description: "New orders are agreed under it from its effective time on. A newer version that is in force takes the place of all before it, also of those that wait for their time. A document that equals the newest version answers that one, so repeating it does no harm. Refused by the rule four-eyes where the marketplace has policies proposed and approved: POST /v1/entries, kind policy.",
			in:          reflect.TypeFor[api.PolicyTerms](), out: reflect.TypeFor[api.Policy](), problems: []string{api.ProblemRefused}, handle: s.addPolicy},
		{method: "GET", path: "/v1/whoami", id: "whoami", tag: tagSettings,
			summary: "The marketplace that the key belongs to", description: "A way to try a key.",
			out: reflect.TypeFor[api.Whoami](), handle: s.whoami},
		{method: "GET", path: "/healthz", id: "healthz", tag: tagProbes, public: true,
			summary: "The process runs", description: "Asks nothing else; for restarting it.",
			out: reflect.TypeFor[api.Health](), handle: s.healthz},
		{method: "GET", path: "/readyz", id: "readyz", tag: tagProbes, public: true,
			summary: "The database and the ledger answer", description: "For sending it requests or not.",
			out: reflect.TypeFor[api.Health](), handle: s.readyz},
	}
	for _, e := range s.events() {
		list = append(list, e.single, e.bulk, e.preview)
	}
	list = append(list, s.entryRoutes()...)
	list = append(list, s.bulkRoutes()...)
	return append(list, s.peopleRoutes()...)
}

// register puts a route on the mux and into the document.
func (s *Server) register(hapi huma.API, r route) {
	if r.limit == 0 {
		r.limit = bodyMax
	}
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.timeout == 0 {
		r.timeout = requestTimeout
	}
	if r.in != nil && !r.ownDecode {
		strict.Check(r.in)
	}
	op := r.operation(hapi.OpenAPI().Components.Schemas)
	hapi.OpenAPI().AddOperation(op)
	hapi.Adapter().Handle(op, func(hc huma.Context) {
		req, w := humago.Unwrap(hc)
		s.serve(w, req, &r)
	})
}

// serve is what every route goes through.
func (s *Server) serve(w http.ResponseWriter, req *http.Request, r *route) {
	if r.timeout > requestTimeout {
		// Writers that have no deadlines, as in tests, need none moved.
		_ = http.NewResponseController(w).SetWriteDeadline(s.opts.Clock().Add(r.timeout + writeTimeout - requestTimeout))
	}
	ctx, cancel := context.WithTimeout(req.Context(), r.timeout)
	defer cancel()
	req = req.WithContext(ctx)
	c := &call{ctx: ctx, id: req.PathValue("id")}
	a, err := s.answer(w, req, r, c)
	if err != nil {
		s.fail(w, req, err)
		return
	}
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	if a.replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	s.write(w, req, r.status, "application/json", a.body)
}

func (s *Server) answer(w http.ResponseWriter, req *http.Request, r *route, c *call) (answer, error) {
	var err error
	if !r.public {
		if c.marketplace, err = s.caller(req); err != nil {
			return answer{}, err
		}
		traceOf(req.Context()).marketplace = c.marketplace
		w.Header().Set("Cache-Control", "no-store")
	}
	if c.query, err = readQuery(req.URL.RawQuery, r.query); err != nil {
		return answer{}, err
	}
	if r.in != nil {
		if c.key, err = idempotencyKey(req.Header); err != nil {
			return answer{}, err
		}
		if c.body, err = readBody(w, req, r.limit); err != nil {
			return answer{}, err
		}
		c.route = req.Method + " " + req.URL.Path
	}
	return r.handle(c)
}

func anys[T ~string](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}
