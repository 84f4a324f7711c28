package intake

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/lib/pq"

	"escrowd/intake/api"
	"escrowd/intake/strict"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/peopledb"
	"escrowd/settlement/posting"
)

// kind is a kind of problem: what RFC 9457 calls its type.
type kind struct {
	typ     string
	status  int
	title   string
	meaning string // what to do about it; answered at the type's own path
}

// kinds are all kinds of problem that the API answers with.
var kinds = []kind{
	{api.ProblemMalformed, 400, "The body is not acceptable JSON",
		"It does not parse, or it has duplicate keys, invalid UTF-8, NUL characters or too much nesting. Nothing was done."},
	{api.ProblemInvalid, 400, "The request has invalid fields",
		"errors says which field or parameter is wrong and why. Nothing was done."},
	{api.ProblemUnauthorized, 401, "No valid API key",
		"Send the header Authorization: Bearer KEY with a key that was made for the marketplace and is not revoked."},
	{api.ProblemNotFound, 404, "There is no such thing",
		"No such order or path; another marketplace's orders are not found either."},
	{api.ProblemMethod, 405, "The path does not take this method",
		"The Allow header lists the methods that it takes."},
	{api.ProblemTimeout, 408, "The body took too long to arrive",
		"Nothing was done; send the request again."},
	{api.ProblemRefused, 409, "The order does not admit this event",
		"rule names the rule that refused, state the order's state, allowed what can happen now and by whom. Nothing moved."},
	{api.ProblemReference, 409, "The reference is taken",
		"The marketplace has an order with this reference: GET /v1/orders?reference=... finds it. A retry of the same request needs the same Idempotency-Key."},
	{api.ProblemLedger, 409, "The ledger refused the money's movement",
		"reason is the ledger's status, such as exceeds_credits. Nothing moved; a new request is a new attempt."},
	{api.ProblemFrozen, 409, "The order stands still until a person has looked",
		"The ledger holds something else under the ids of this order's next event. Nothing moves before that is cleared up; tell the operator."},
	{api.ProblemLiveClock, 409, "The marketplace's clock is live",
		"Only a test clock can be set."},
	{api.ProblemTooLarge, 413, "The body is too large",
		"A request takes at most 64 KiB, a bulk request 8 MiB. Nothing was done."},
	{api.ProblemMediaType, 415, "The body has to be application/json",
		"Send Content-Type: application/json, in UTF-8 and not compressed."},
	{api.ProblemKeyReused, 422, "The Idempotency-Key was used for another request",
		"A key belongs to the first request that came with it. Nothing was done; take a new key for a new request."},
	{api.ProblemInternal, 500, "Something went wrong here",
		"The request_id names the request in the server's log. An event may have been booked: send the same request with the same Idempotency-Key, or look at the order, before anything else."},
	{api.ProblemUnavailable, 503, "Not available at the moment",
		"Nothing was decided. Send the same request again after Retry-After seconds."},
	{api.ProblemUnknown, 503, "The outcome is not known yet",
		"The event may have been booked. Send the same request with the same Idempotency-Key to learn its outcome; without a key, look at the order first."},
}

var kindOf = func() map[string]kind {
	m := map[string]kind{}
	for _, k := range kinds {
		m[k.typ] = k
	}
	return m
}()

func newProblem(typ, detail string) *api.Problem {
	k := kindOf[typ]
	return &api.Problem{Type: k.typ, Title: k.title, Status: k.status, Detail: detail}
}

// invalid is an invalid-request about one place.
func invalid(in, pointer, detail string) *api.Problem {
	p := newProblem(api.ProblemInvalid, "")
	p.Errors = []api.FieldError{{In: in, Pointer: pointer, Detail: detail}}
	return p
}

// problemOf is the one translation of errors into answers. Errors that it does
// not know become an internal one that says nothing of them.
func problemOf(err error) *api.Problem {
	var (
		p        *api.Problem
		wrong    *strict.Error
		unfit    *posting.Invalid
		refusal  *order.Refusal
		rejected *posting.Rejected
		taken    *posting.ReferenceTaken
		tooLarge *http.MaxBytesError
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &wrong):
		p = newProblem(api.ProblemInvalid, "")
		if wrong.Malformed {
			p = newProblem(api.ProblemMalformed, "")
		}
		for _, f := range wrong.Fields {
			p.Errors = append(p.Errors, api.FieldError{In: "body", Pointer: f.Pointer, Detail: f.Detail})
		}
		return p
	case errors.As(err, &unfit):
		return invalid("body", "/"+unfit.Field, unfit.Detail)
	case errors.As(err, &refusal):
		p = newProblem(api.ProblemRefused, refusal.Detail)
		p.Rule, p.Event, p.State = refusal.Rule, string(refusal.Event), string(refusal.State)
		p.Allowed = allowedOf(refusal.Allowed)
		return p
	case errors.As(err, &taken):
		return newProblem(api.ProblemReference, "")
	case errors.As(err, &rejected):
		if rejected.Frozen {
			return newProblem(api.ProblemFrozen, "")
		}
		p = newProblem(api.ProblemLedger, "")
		p.Reason = rejected.Reason
		return p
	case errors.As(err, &tooLarge):
		return newProblem(api.ProblemTooLarge, fmt.Sprintf("at most %d bytes", tooLarge.Limit))
	case errors.Is(err, posting.ErrNotFound), errors.Is(err, orderdb.ErrNotFound):
		return newProblem(api.ProblemNotFound, "")
	case errors.Is(err, posting.ErrKeyReused), errors.Is(err, peopledb.ErrKeyReused):
		return newProblem(api.ProblemKeyReused, "")
	case errors.Is(err, orderdb.ErrLiveClock):
		return newProblem(api.ProblemLiveClock, "")
	// Before the looks at connections and contexts below: whoever writes knows
	// whether anything was decided, and wraps what went wrong beneath.
	case errors.Is(err, posting.ErrUnknown), errors.Is(err, orderdb.ErrCommitUnknown):
		return newProblem(api.ProblemUnknown, "")
	case errors.Is(err, posting.ErrUnavailable), databaseGone(err):
		return newProblem(api.ProblemUnavailable, "")
	}
	return newProblem(api.ProblemInternal, "")
}

// databaseGone reports whether a read failed because the database does not
// answer: the connection is broken, or the server is starting, stopping or
// full. By code, never by message.
func databaseGone(err error) bool {
	var (
		server  *pq.Error
		network net.Error
	)
	if errors.As(err, &server) {
		// 08 connection exception, 53 insufficient resources, 57 operator
		// intervention (shutdown, cannot connect now, statement timeout).
		return strings.HasPrefix(string(server.Code), "08") || strings.HasPrefix(string(server.Code), "53") ||
			strings.HasPrefix(string(server.Code), "57")
	}
	return errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNREFUSED) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// retryAfter is what Retry-After says, in seconds, for a problem that passes.
func retryAfter(p *api.Problem) string {
	if p.Status == http.StatusServiceUnavailable {
		return "1"
	}
	return ""
}

func allowedOf(list []order.Allowed) []api.Allowed {
	out := make([]api.Allowed, len(list))
	for i, a := range list {
		out[i] = api.Allowed{Event: string(a.Event), By: make([]string, len(a.By))}
		for j, r := range a.By {
			out[i].By[j] = string(r)
		}
	}
	return out
}
