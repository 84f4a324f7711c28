package replaytest

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/cmd/escrowd/replay"
	"escrowd/intake"
	"escrowd/intake/client"
	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
	"escrowd/settlement/jobs"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// Server is all of escrowd but its command line, on a schema of the test's
// own, with the books in Postgres.
type Server struct {
	DB     *sqlx.DB
	Store  *orderdb.Store
	Engine ledger.Engine
	Jobs   *jobs.Jobs
	URL    string
}

// NewServer starts a Server; it stops when the test ends.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s := &Server{DB: pgtest.Open(t)}
	s.Store = orderdb.New(s.DB)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	engine, err := pgengine.New(s.DB)
	must(err)
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Engine = engine
	poster := posting.New(s.DB, engine, posting.Options{})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := poster.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	s.Jobs, err = jobs.New(s.DB, engine, poster, jobs.Options{})
	must(err)
	api, err := intake.New(intake.Options{Store: s.Store, Poster: poster, Deadlines: s.Jobs, Ledger: engine})
	must(err)
	h := httptest.NewServer(api)
	t.Cleanup(h.Close)
	s.URL = h.URL
	return s
}

// Session opens a marketplace on the server.
func (s *Server) Session(t testing.TB, marketplace string, start time.Time) (*replay.Session, *client.Client) {
	t.Helper()
	session, err := replay.OpenSession(t.Context(), s.Store, marketplace, start, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := session.Close(); err != nil {
			t.Error(err)
		}
	})
	return session, client.New(s.URL, session.Key, client.Options{})
}
