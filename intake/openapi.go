package intake

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"escrowd/intake/api"
)

const apiDescription = `Escrow for marketplaces: a buyer's payment is held until the goods are confirmed; then it is released to the seller less the fee, or refunded, or split by a ruling.

**Amounts** are integers of the currency's minor unit (cents for USD, yen for JPY), at most 2^53-1. **Times** are RFC 3339 with a zone and at most microseconds; answers are in UTC. **JSON** is read strictly: unknown, duplicate and wrongly cased keys are refused, and so are amounts written with a point or an exponent.

**Idempotency.** Send an Idempotency-Key with every POST that moves an order or adds something to it; the same request with the same key, at any time, answers what the first one did, with the header Idempotent-Replayed: true. The same key with another body is refused. A request that was refused used nothing up and may be sent again with its key.

**Problems** are application/problem+json (RFC 9457). type is stable, for programs, and a path on this server that says what it means. 503 with Retry-After passes: either nothing was decided, or the outcome is not known yet; the same request with the same key is right in both cases.

**Who may see what.** A key belongs to one marketplace; what is another's is not found. A revoked key stops working within five seconds.`

// newDocument is the OpenAPI document before its routes.
func newDocument(version string) *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{Title: "escrowd", Version: version, Description: apiDescription,
			License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}},
		Servers: []*huma.Server{{URL: "/", Description: "this server"}},
		Tags: []*huma.Tag{
			{Name: tagOrders, Description: "What was agreed, and where it stands."},
			{Name: tagEvents, Description: "What happens to orders."},
			{Name: tagBulk, Description: "The same for many orders in one request."},
			{Name: tagPreviews, Description: "What an event would do to an order. Nothing moves."},
			{Name: tagEntries, Description: "Money that moves for no order: payouts, receipts, repayments, debts, settlements and corrections by hand."},
			{Name: tagPeople, Description: "What people say around orders: feedback, and support's notes. No money moves by it."},
			{Name: tagSellers, Description: "Whom the marketplace lets into escrow."},
			{Name: tagSettings, Description: "The marketplace's own clock and policies."},
			{Name: tagProbes, Description: "For whoever runs the server."},
		},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
			SecuritySchemes: map[string]*huma.SecurityScheme{"key": {
				Type: "http", Scheme: "bearer", BearerFormat: "esk_...",
				Description: "A marketplace's API key; 256 random bits, shown once when it is made and stored only as a hash.",
			}},
		},
		Security: []map[string][]string{{"key": {}}},
	}
}

// schemaName names a schema after its type; a Bulk after its items.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if item, ok := strings.CutPrefix(name, "Bulk"); ok && item != "" {
		return "Bulk" + strings.TrimSuffix(item, "Item") + "s"
	}
	return name
}

// operation is what the document says of a route.
func (r *route) operation(schemas huma.Registry) *huma.Operation {
	op := &huma.Operation{
		Method: r.method, Path: r.path, OperationID: r.id, Tags: []string{r.tag},
		Summary: r.summary, Description: r.description,
		Responses: map[string]*huma.Response{},
	}
	if r.public {
		op.Security = []map[string][]string{} // none, in place of the document's
	}
	if strings.Contains(r.path, "{id}") {
		op.Parameters = append(op.Parameters, &huma.Param{Name: "id", In: "path", Required: true,
			Description: "The order's id, or the entry's.", Schema: &huma.Schema{Type: "string", Format: "uuid"}})
	}
	for _, p := range r.query {
		op.Parameters = append(op.Parameters, &huma.Param{Name: p.name, In: "query", Description: p.doc, Schema: p.schema})
	}
	ok := &huma.Response{Description: "Done.", Headers: map[string]*huma.Param{},
		Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf(schemas, r.out)}}}
	if r.in != nil {
		op.RequestBody = &huma.RequestBody{Required: len(schemas.Schema(r.in, false, "").Required) > 0,
			Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf(schemas, r.in)}}}
	}
	if r.keyed {
		op.Parameters = append(op.Parameters, &huma.Param{Name: "Idempotency-Key", In: "header",
			Description: "Makes the request idempotent for ever; recommended. The items of a bulk request that bring no key of their own get this one with their index.",
			Schema:      &huma.Schema{Type: "string", MinLength: new(1), MaxLength: new(255), Pattern: "^[!-~]+$"}})
		if r.tag != tagBulk {
			ok.Headers["Idempotent-Replayed"] = &huma.Param{Description: "true: an earlier request with the same key did it.",
				Schema: &huma.Schema{Type: "string", Enum: []any{"true"}}}
		}
	}
	if r.status == 201 {
		ok.Headers["Location"] = &huma.Param{Description: "The path of what was made.", Schema: &huma.Schema{Type: "string", Format: "uri-reference"}}
	}
	op.Responses[strconv.Itoa(r.status)] = ok
	r.documentProblems(op, schemas)
	return op
}

// documentProblems adds a response for each status that the route's problems
// have, naming all of them.
func (r *route) documentProblems(op *huma.Operation, schemas huma.Registry) {
	types := append(slices.Clone(r.problems), api.ProblemInvalid, api.ProblemInternal, api.ProblemUnavailable)
	if !r.public {
		types = append(types, api.ProblemUnauthorized)
	}
	if r.in != nil {
		types = append(types, api.ProblemMalformed, api.ProblemTimeout, api.ProblemTooLarge, api.ProblemMediaType)
	}
	switch {
	case r.tag == tagBulk: // refusals are in the answers
	case r.keyed:
		types = append(types, api.ProblemRefused, api.ProblemKeyReused, api.ProblemUnknown)
	}
	if r.tag == tagBulk {
		types = slices.DeleteFunc(types, func(t string) bool { return kindOf[t].status == 404 || kindOf[t].status == 409 })
	}
	slices.SortFunc(types, func(a, b string) int {
		return cmp.Or(cmp.Compare(kindOf[a].status, kindOf[b].status), strings.Compare(a, b))
	})
	for _, t := range slices.Compact(types) {
		k := kindOf[t]
		code := strconv.Itoa(k.status)
		res := op.Responses[code]
		if res == nil {
			res = &huma.Response{Headers: map[string]*huma.Param{},
				Content: map[string]*huma.MediaType{"application/problem+json": {Schema: schemaOf(schemas, reflect.TypeFor[api.Problem]())}}}
			op.Responses[code] = res
		}
		res.Description = strings.TrimSpace(res.Description + "\n\n`" + k.typ + "`: " + k.title + ". " + k.meaning)
		switch k.status {
		case 503:
			res.Headers["Retry-After"] = &huma.Param{Description: "Seconds.", Schema: &huma.Schema{Type: "integer"}}
		case 401:
			res.Headers["WWW-Authenticate"] = &huma.Param{Schema: &huma.Schema{Type: "string"}}
		}
	}
}

// schemaOf is a type's schema. Free JSON is always an object here, which its
// Go type cannot say.
func schemaOf(schemas huma.Registry, t reflect.Type) *huma.Schema {
	s := schemas.Schema(t, true, "")
	for _, each := range schemas.Map() {
		for _, name := range []string{"goods", "data", "details"} {
			if p := each.Properties[name]; p != nil && p.Type == "" && p.Ref == "" {
				p.Type, p.AdditionalProperties = "object", true
			}
		}
	}
	return s
}

// openAnswers lets answers grow: a schema that no request uses allows further
// fields, so that a client that checks answers by this document still reads
// those of a newer server. Requests stay closed, as the decoder is.
func openAnswers(doc *huma.OpenAPI) {
	closed := map[string]bool{}
	var visit func(s *huma.Schema)
	visit = func(s *huma.Schema) {
		if s == nil {
			return
		}
		if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok && !closed[name] {
			closed[name] = true
			visit(doc.Components.Schemas.Map()[name])
		}
		visit(s.Items)
		if values, ok := s.AdditionalProperties.(*huma.Schema); ok {
			visit(values)
		}
		for _, p := range s.Properties {
			visit(p)
		}
	}
	for _, item := range doc.Paths {
		if item.Post != nil && item.Post.RequestBody != nil {
			visit(item.Post.RequestBody.Content["application/json"].Schema)
		}
	}
	for name, s := range doc.Components.Schemas.Map() {
		if s.AdditionalProperties == false && !closed[name] {
			s.AdditionalProperties = nil
		}
	}
}
