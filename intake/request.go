package intake

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"escrowd/intake/api"
	"escrowd/intake/strict"
)

// Limits of a body.
const (
	bodyMax = 64 << 10
	bulkMax = 8 << 20
)

// call is one request on its way through its handler.
type call struct {
	ctx         context.Context
	marketplace uint32
	id          string     // {id} of the path
	query       url.Values // checked: only what the route knows, each once
	key         string     // Idempotency-Key, "" for none
	body        strict.Value
	route       string // method and path, hashed with the body
}

// answer is what a handler has to say.
type answer struct {
	body     any
	location string // of what was created
	replayed bool   // an earlier request with the same key did it
}

// decode reads the body into the request type.
func decode[T any](c *call) (in T, err error) {
	err = strict.Decode(&c.body, "", &in)
	return in, err
}

// hash is what an idempotency key is bound to: the method, the path and the
// body's canonical form. Spacing and the order of keys do not count; a number
// written differently does.
func hash(route string, body *strict.Value) [32]byte {
	return sha256.Sum256(body.AppendCanonical([]byte(route + "\n")))
}

// readBody reads and parses a request's body. No body is an empty object, so
// that events without details need none.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) (strict.Value, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		var (
			tooLarge *http.MaxBytesError
			network  net.Error
		)
		switch {
		case errors.As(err, &tooLarge):
			return strict.Value{}, err
		case errors.As(err, &network) && network.Timeout():
			return strict.Value{}, newProblem(api.ProblemTimeout, "")
		}
		return strict.Value{}, newProblem(api.ProblemMalformed, "the body ended early")
	}
	if len(data) == 0 {
		return strict.Value{Kind: strict.Object, Raw: []byte("{}")}, nil
	}
	if err := checkMediaType(r.Header); err != nil {
		return strict.Value{}, err
	}
	return strict.Parse(data)
}

func checkMediaType(h http.Header) error {
	if h.Get("Content-Encoding") != "" {
		return newProblem(api.ProblemMediaType, "Content-Encoding is not supported")
	}
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return newProblem(api.ProblemMediaType, "")
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return newProblem(api.ProblemMediaType, "the charset has to be UTF-8")
	}
	return nil
}

var visible = regexp.MustCompile(`^[!-~]{1,255}$`)

// idempotencyKey is the request's key, "" for none.
func idempotencyKey(h http.Header) (string, error) {
	values := h.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || !visible.MatchString(values[0]) {
		return "", invalid("header", "Idempotency-Key", "must be one value of 1 to 255 visible ASCII characters")
	}
	return values[0], nil
}

// itemKey derives a bulk item's key from its request's. The space keeps it
// apart from every key that a caller can send.
func itemKey(key string, i int) string {
	if key == "" {
		return ""
	}
	return key + " " + strconv.Itoa(i)
}

// readQuery parses a query string, in which each of the known parameters may
// stand once and nothing else may.
func readQuery(raw string, known []param) (url.Values, error) {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid("query", "", "the query string is malformed")
	}
	p := newProblem(api.ProblemInvalid, "")
	for _, k := range known {
		if len(q[k.name]) > 1 {
			p.Errors = append(p.Errors, api.FieldError{In: "query", Pointer: k.name, Detail: "stands more than once"})
		} else if q.Has(k.name) {
			if detail := k.check(q.Get(k.name)); detail != "" {
				p.Errors = append(p.Errors, api.FieldError{In: "query", Pointer: k.name, Detail: detail})
			}
		}
		delete(q, k.name)
	}
	if len(q) > 0 {
		words := make([]string, len(known))
		for i, k := range known {
			words[i] = k.name
		}
		detail := "unknown parameter; this path takes none"
		if len(words) > 0 {
			detail = "unknown parameter; known are " + strings.Join(words, ", ")
		}
		p.Errors = append(p.Errors, api.FieldError{In: "query", Pointer: "", Detail: detail})
	}
	if len(p.Errors) > 0 {
		return nil, p
	}
	q, err = url.ParseQuery(raw)
	return q, err
}

// intParam is an integer parameter that was checked, or its default.
func (c *call) intParam(name string, otherwise int64) int64 {
	n, err := strconv.ParseInt(c.query.Get(name), 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}
