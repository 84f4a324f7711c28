package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"escrowd/intake"
	"escrowd/intake/api"
	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/jobs"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// What changes an order or an entry from the command line is a request of the API,
// answered in this process: it is checked, decided, refused and remembered in the
// same way, whichever of the two it came by.

// apiFlags are of every command that sends such a request.
type apiFlags struct {
	Key string `placeholder:"KEY" help:"Idempotency key: the same command with the same key, at any time and over the API too, answers what the first one did."`
}

// localAPI is the API of a marketplace, without a listener and without a key.
type localAPI struct {
	ctx context.Context
	api http.Handler
	key string
}

// withAPI runs f with a marketplace's API on an open store, beside whatever server
// runs.
func withAPI(ctx context.Context, g *Globals, s *Store, books EngineFlags, marketplace uint32, key string, f func(*localAPI) error) error {
	return withWrites(ctx, g, s, books, func(engine ledger.Engine, poster *posting.Poster) error {
		j, err := jobs.New(s.DB, engine, poster, jobs.Options{Logger: g.Log, Mirror: books.mirrored()})
		if err != nil {
			return err
		}
		// What the API hides from its callers, the operator is to see.
		server, err := intake.New(intake.Options{Store: orderdb.New(s.DB), Poster: poster, Deadlines: j, Ledger: engine,
			Logger: newLogger(g.Stderr, "warn", "text")})
		if err != nil {
			return err
		}
		return f(&localAPI{ctx, server.As(marketplace), key})
	})
}

// answerBuffer is a http.ResponseWriter that keeps the answer.
type answerBuffer struct {
	header http.Header
	status int
	bytes.Buffer
}

func (a *answerBuffer) Header() http.Header    { return a.header }
func (a *answerBuffer) WriteHeader(status int) { a.status = status }

// call sends a request and reads the answer into out. What the rules or the ledger
// refuse exits 1, what is wrong with the command 2.
func (l *localAPI) call(method, path string, body, out any) error {
	text := []byte{}
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(l.ctx, method, path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		if l.key != "" {
			req.Header.Set("Idempotency-Key", l.key)
		}
	}
	a := &answerBuffer{header: http.Header{}}
	l.api.ServeHTTP(a, req)
	if a.status < 300 {
		return json.Unmarshal(a.Bytes(), out)
	}
	p := new(api.Problem)
	if err := json.Unmarshal(a.Bytes(), p); err != nil {
		return fmt.Errorf("%s %s: answered %d: %w", method, path, a.status, err)
	}
	return problemAsExit(p)
}

func problemAsExit(p *api.Problem) error {
	switch {
	case p.Rule != "":
		return checkFailed("%s refused (%s): %s", p.Event, p.Rule, p.Detail)
	case p.Type == api.ProblemLedger:
		return checkFailed("%s: %s", p.Title, p.Reason)
	case p.Type == api.ProblemInvalid:
		var words []string
		for _, e := range p.Errors {
			detail := e.Detail
			if strings.HasPrefix(detail, "unknown field") {
				detail = "is not for this"
			}
			words = append(words, flagOf(e.Pointer)+": "+detail)
		}
		return usageError("%s", strings.Join(words, "; "))
	case p.Status >= 500:
		return p
	case p.Detail != "":
		return checkFailed("%s: %s", p.Title, p.Detail)
	}
	return checkFailed("%s", p.Title)
}

// flagOf is the flag that fills in the field of a request.
func flagOf(pointer string) string {
	names := map[string]string{"/fx/currency": "--fx-currency", "/fx/amount": "--fx-amount", "/fx/rate": "--fx-rate", "/fx/spread": "--fx-spread",
		"/to/currency": "--to-currency", "/to/amount": "--to-amount", "/to/rate": "--rate", "/to/spread": "--spread", "Idempotency-Key": "--key"}
	if flag, ok := names[pointer]; ok {
		return flag
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
	return "--" + strings.ReplaceAll(first, "_", "-")
}

// fields are a request's body: only what was given.
type fields map[string]any

// text adds a word that was given.
func (f fields) text(name, value string) {
	if value != "" {
		f[name] = value
	}
}

// amount adds an amount that was given, a decimal of a currency.
func (f fields) amount(name string, cur chart.Currency, decimal string) error {
	if decimal == "" {
		return nil
	}
	v, err := cur.Parse(decimal)
	if err == nil && v.Cmp(ledger.U64(order.MaxAmount)) > 0 {
		err = errors.New("more than 2^53-1 minor units")
	}
	if err != nil {
		return usageError("%s: %w", flagOf("/"+name), err)
	}
	f[name] = v.Lo
	return nil
}

// currencyOf is the currency of a code that was typed.
func currencyOf(flag, code string) (chart.Currency, error) {
	cur, err := chart.Find(code)
	if err != nil {
		return cur, usageError("%s: %q: %w", flag, code, err)
	}
	return cur, nil
}

// eventPath is where the API takes an event of an order.
func eventPath(id string, e order.Event) string {
	name := strings.ReplaceAll(string(e), "_", "-")
	if e == order.Rule {
		name = "ruling"
	}
	return "/v1/orders/" + id + "/" + name
}

// eventNamed is the event of that name, as the timeline or the API writes it.
func eventNamed(name string) (order.Event, error) {
	e := order.Event(strings.ReplaceAll(name, "-", "_"))
	if e == "ruling" {
		e = order.Rule
	}
	if !slices.Contains(order.Events, e) {
		return e, usageError("there is no event %q", name)
	}
	return e, nil
}
