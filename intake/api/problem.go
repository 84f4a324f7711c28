package api

import "fmt"

// The kinds of problem: the stable "type" of RFC 9457, a path on the server
// that answers with what it means.
const (
	ProblemMalformed    = "/problems/malformed-request"
	ProblemInvalid      = "/problems/invalid-request"
	ProblemUnauthorized = "/problems/unauthorized"
	ProblemNotFound     = "/problems/not-found"
	ProblemMethod       = "/problems/method-not-allowed"
	ProblemRefused      = "/problems/refused"
	ProblemReference    = "/problems/reference-taken"
	ProblemLedger       = "/problems/ledger-refused"
	ProblemFrozen       = "/problems/frozen"
	ProblemLiveClock    = "/problems/live-clock"
	ProblemKeyReused    = "/problems/idempotency-key-reused"
	ProblemTooLarge     = "/problems/too-large"
	ProblemMediaType    = "/problems/unsupported-media-type"
	ProblemTimeout      = "/problems/request-timeout"
	ProblemUnavailable  = "/problems/unavailable"
	ProblemUnknown      = "/problems/outcome-unknown"
	ProblemInternal     = "/problems/internal"
)

// Problem says why a request was not done, by RFC 9457. It never repeats the
// values that were sent.
type Problem struct {
	Type      string       `json:"type" format:"uri-reference" doc:"The kind of problem: stable, for programs." example:"/problems/refused"`
	Title     string       `json:"title" doc:"The kind in words." example:"The order does not admit this event"`
	Status    int          `json:"status" doc:"The HTTP status." example:"409"`
	Detail    string       `json:"detail,omitempty" doc:"What happened here, for people." example:"an order that is agreed does not admit ship"`
	Rule      string       `json:"rule,omitempty" doc:"Refusals: the rule that refused, for programs." example:"state"`
	Event     string       `json:"event,omitempty" doc:"Refusals: the event that was refused." example:"ship"`
	State     string       `json:"state,omitempty" doc:"Refusals: the order's state; left out where there is no order yet." example:"agreed"`
	Allowed   []Allowed    `json:"allowed,omitempty" nullable:"false" doc:"Refusals: what can happen to the order now, and who may cause it."`
	Reason    string       `json:"reason,omitempty" doc:"ledger-refused: the ledger's status." example:"exceeds_credits"`
	Errors    []FieldError `json:"errors,omitempty" nullable:"false" doc:"malformed-request, invalid-request: what is wrong where."`
	RequestID string       `json:"request_id,omitempty" doc:"Names the request in the server's log." example:"5f0c8e0d9b7a4c21"`
}

// FieldError is one thing that is wrong with a request.
type FieldError struct {
	In      string `json:"in" enum:"body,query,path,header" doc:"The part of the request." example:"body"`
	Pointer string `json:"pointer" doc:"body: JSON pointer (RFC 6901), empty for the whole; else the parameter's name." example:"/amount"`
	Detail  string `json:"detail" example:"must be an integer"`
}

// Error makes a Problem an error for the client.
func (p *Problem) Error() string {
	s := fmt.Sprintf("%d %s: %s", p.Status, p.Type, p.Title)
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	for _, e := range p.Errors {
		s += fmt.Sprintf("; %s %s: %s", e.In, e.Pointer, e.Detail)
	}
	return s
}
