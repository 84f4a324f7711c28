// Package client is a small typed client of the HTTP API.
//
// A refusal comes back as an error that is an *api.Problem (errors.As). What
// is safe to send again is sent again by itself: requests that read, and all
// others with an idempotency key, when the server answers 503 or cannot be
// reached, with growing pauses, until the context ends or Retries are used up.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"escrowd/intake/api"
)

// Client talks to one server with one marketplace's key. It is safe for
// concurrent use.
type Client struct {
	base string
	key  string
	opts Options
}

// Options have usable zero values.
type Options struct {
	// HTTP does the requests; nil for a client of its own that keeps enough
	// connections open for many concurrent callers.
	HTTP *http.Client
	// Retries is how often a request that is safe to repeat is sent again; 0
	// means 6 (about half a minute in all), a negative number never.
	Retries int
	// Pause is the first pause before sending again, doubled each time up to
	// 32 times it; 0 means 250 ms.
	Pause time.Duration
}

// New is a client of the server at base, such as "http://127.0.0.1:8080".
func New(base, key string, opts Options) *Client {
	if opts.HTTP == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 64
		opts.HTTP = &http.Client{Transport: t}
	}
	if opts.Retries == 0 {
		opts.Retries = 6
	}
	if opts.Pause == 0 {
		opts.Pause = 250 * time.Millisecond
	}
	return &Client{base: strings.TrimRight(base, "/"), key: key, opts: opts}
}

// Option changes one call.
type Option func(*call)

// Key makes a call idempotent: the same call with the same key, at any time,
// answers what the first one did. 1 to 255 visible ASCII characters.
func Key(key string) Option { return func(c *call) { c.key = key } }

type call struct {
	method, path string
	key          string
	body         []byte
	repeatable   bool // may be sent again without a key
}

// do sends a call until it is answered and decodes the answer into out.
func (c *Client) do(ctx context.Context, cl call, in, out any, opts []Option) error {
	for _, o := range opts {
		o(&cl)
	}
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: encoding the request: %w", cl.method, cl.path, err)
		}
		cl.body = body
	}
	repeatable := cl.repeatable || cl.key != "" || cl.method == http.MethodGet
	for attempt := 0; ; attempt++ {
		again, after, err := c.once(ctx, cl, out)
		if err == nil {
			return nil
		}
		if !again || !repeatable || attempt >= c.opts.Retries || ctx.Err() != nil {
			return err
		}
		if werr := c.pause(ctx, attempt, after); werr != nil {
			return errors.Join(err, werr)
		}
	}
}

// once sends a call; again says that the failure may pass, after how long the
// server asked to wait.
func (c *Client) once(ctx context.Context, cl call, out any) (again bool, after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, cl.method, c.base+cl.path, bytes.NewReader(cl.body))
	if err != nil {
		return false, 0, fmt.Errorf("%s %s: %w", cl.method, cl.path, err)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	req.Header.Set("Accept", "application/json")
	if cl.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if cl.key != "" {
		req.Header.Set("Idempotency-Key", cl.key)
	}
	res, err := c.opts.HTTP.Do(req)
	if err != nil {
		return true, 0, fmt.Errorf("%s %s: %w", cl.method, cl.path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return true, 0, fmt.Errorf("%s %s: reading the answer: %w", cl.method, cl.path, err)
	}
	if res.StatusCode >= 300 {
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return res.StatusCode == http.StatusServiceUnavailable, time.Duration(seconds) * time.Second,
			fmt.Errorf("%s %s: %w", cl.method, cl.path, problem(res, body))
	}
	if err := json.Unmarshal(body, out); err != nil {
		return false, 0, fmt.Errorf("%s %s: decoding the answer: %w", cl.method, cl.path, err)
	}
	return false, 0, nil
}

// problem is the answer's Problem; one of our own making where something
// between server and client answered instead.
func problem(res *http.Response, body []byte) *api.Problem {
	p := &api.Problem{}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") &&
		json.Unmarshal(body, p) == nil && p.Status != 0 {
		return p
	}
	return &api.Problem{Type: "about:blank", Title: http.StatusText(res.StatusCode), Status: res.StatusCode}
}

// pause waits before attempt+1: at least as long as the server asked, with
// some chance in it, so that many callers do not come back at once.
func (c *Client) pause(ctx context.Context, attempt int, after time.Duration) error {
	d := c.opts.Pause << min(attempt, 5)
	d = max(d/2+rand.N(d/2+1), min(after, 5*time.Second))
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func get[T any](ctx context.Context, c *Client, path string, q url.Values) (out T, err error) {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	err = c.do(ctx, call{method: http.MethodGet, path: path}, nil, &out, nil)
	return out, err
}

func post[T any](ctx context.Context, c *Client, path string, in any, opts []Option) (out T, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: path}, in, &out, opts)
	return out, err
}
