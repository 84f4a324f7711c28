package intake

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"escrowd/settlement/orderdb"
)

// However many come with a key that has to be asked for, the database is asked
// once: it has better things to do than to answer the same thing a thousand
// times just when there is much to do.
func TestAKeyIsAskedForOnce(t *testing.T) {
	var (
		mu      sync.Mutex
		asked   int
		release = make(chan struct{})
		answer  error
	)
	now := time.Now()
	a := newAuth(func(ctx context.Context, key string) (uint32, error) {
		mu.Lock()
		asked++
		mu.Unlock()
		<-release
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return 7, answer
	}, func() time.Time { return now })
	request := func(ctx context.Context) *http.Request {
		r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
		r.Header.Set("Authorization", "Bearer esk_x")
		return r
	}

	// The first to come gives up while the answer is on its way.
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := a.marketplace(request(ctx))
		gone <- err
	}()
	for n := 0; n == 0; time.Sleep(time.Millisecond) {
		mu.Lock()
		n = asked
		mu.Unlock()
	}
	var wg, begun sync.WaitGroup
	for range 50 {
		begun.Add(1)
		wg.Go(func() {
			begun.Done()
			if m, err := a.marketplace(request(t.Context())); m != 7 || err != nil {
				t.Errorf("marketplace %d, %v", m, err)
			}
		})
	}
	begun.Wait()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up: %v", err)
	}
	close(release)
	wg.Wait()
	if asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}

	// What was wrong is not remembered, and what is old is asked for again.
	now, answer = now.Add(keyTTL), orderdb.ErrNotFound
	for want := 2; want < 4; want++ {
		if m, err := a.marketplace(request(t.Context())); m != 0 || err == nil {
			t.Errorf("a revoked key: %d, %v", m, err)
		}
		if asked != want {
			t.Errorf("asked %d times, want %d", asked, want)
		}
	}
}

// TestAs: a call in this process acts for a marketplace without a key; a request
// over a connection never does, whatever it says.
func TestAs(t *testing.T) {
	s := newSetup(t)
	whoami := func(h http.Handler) (int, string) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", "/v1/whoami", nil))
		return rec.Code, rec.Body.String()
	}
	if status, text := whoami(s.server.As(s.market.ID)); status != 200 || !strings.Contains(text, `"name":"acme"`) {
		t.Errorf("%d %s", status, text)
	}
	if status, text := whoami(s.server); status != 401 {
		t.Errorf("without a key: %d %s", status, text)
	}
}
