package intake

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"escrowd/intake/api"
	"escrowd/settlement/orderdb"
)

// keyTTL is how long a key that was good is taken for good without asking the
// database: a revocation takes effect within this time on every server.
const keyTTL = 5 * time.Second

// keyMax bounds the remembered keys; beyond it all are forgotten and asked
// for again, which costs one read each.
const keyMax = 10_000

// auth finds the marketplace of a bearer key. Only good keys are remembered,
// by their hash: a stream of guesses cannot fill the memory, and a dump of the
// memory shows no key that was not just in use.
type auth struct {
	lookup func(ctx context.Context, key string) (uint32, error)
	now    func() time.Time
	asking singleflight.Group // by hash: thousands may come with a key just when it has to be asked for again
	mu     sync.Mutex
	known  map[[32]byte]knownKey
}

// askTimeout bounds a question that several callers wait for, so that it is
// not one caller's to give up.
const askTimeout = 10 * time.Second

type knownKey struct {
	marketplace uint32
	until       time.Time
}

func newAuth(lookup func(context.Context, string) (uint32, error), now func() time.Time) *auth {
	return &auth{lookup: lookup, now: now, known: map[[32]byte]knownKey{}}
}

// marketplace is whose request it is, or a problem.
func (a *auth) marketplace(r *http.Request) (uint32, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return 0, newProblem(api.ProblemUnauthorized, "no Authorization header")
	}
	scheme, key, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || key == "" {
		return 0, newProblem(api.ProblemUnauthorized, "the Authorization header must be: Bearer KEY")
	}
	hash := sha256.Sum256([]byte(key))
	now := a.now()
	a.mu.Lock()
	k, ok := a.known[hash]
	a.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.marketplace, nil
	}
	select {
	case res := <-a.asking.DoChan(string(hash[:]), func() (any, error) { return a.ask(r.Context(), key, hash, now) }):
		if errors.Is(res.Err, orderdb.ErrNotFound) {
			return 0, newProblem(api.ProblemUnauthorized, "the key is unknown or revoked")
		}
		if res.Err != nil {
			return 0, res.Err
		}
		return res.Val.(uint32), nil
	case <-r.Context().Done():
		return 0, r.Context().Err()
	}
}

// ask asks the database for a key's marketplace and remembers a good answer,
// which was true at now or later.
func (a *auth) ask(ctx context.Context, key string, hash [32]byte, now time.Time) (uint32, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	// Whoever looked just before the answer came, and asks just after it.
	a.mu.Lock()
	k, ok := a.known[hash]
	a.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.marketplace, nil
	}
	m, err := a.lookup(ctx, key)
	if err != nil {
		return 0, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= keyMax {
		clear(a.known)
	}
	a.known[hash] = knownKey{m, now.Add(keyTTL)}
	return m, nil
}

// callerKey is under what a request's context names whom As lets in.
type callerKey struct{}

// As is the API of a marketplace for a caller who needs no key: whoever can reach
// the database, such as the operator's command line, can do all that a key can. It
// is for calls in this process, never for a listener.
func (s *Server) As(marketplace uint32) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, marketplace)))
	})
}

// caller is whose request it is, or a problem. No request that came in over a
// connection has a marketplace in its context.
func (s *Server) caller(r *http.Request) (uint32, error) {
	if m, ok := r.Context().Value(callerKey{}).(uint32); ok {
		return m, nil
	}
	return s.auth.marketplace(r)
}
