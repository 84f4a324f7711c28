package bench

import (
	"context"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"escrowd/intake"
	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
	"escrowd/ledger/rules"
	"escrowd/settlement/jobs"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// loadVariable makes the test binary a load generator, as bench-load makes
// escrowd one.
const loadVariable = "ESCROWD_TEST_BENCH_LOAD"

func TestMain(m *testing.M) {
	if os.Getenv(loadVariable) == "" {
		_ = os.Setenv(loadVariable, "1") // for the children; a plain name and value are never refused
		os.Exit(m.Run())
	}
	if err := ServeLoad(context.Background(), os.Stdin, os.Stdout); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func machineClock() uint64 { return uint64(time.Now().UnixNano()) }

// newSystem is an escrowd on a schema of its own.
func newSystem(t testing.TB, engine string) *System {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &System{Engine: engine, DB: pgtest.Open(t), Load: []string{self}, Tell: func(line string) { t.Log(line) }}
	s.Orders = orderdb.New(s.DB)
	s.Ledger = rules.NewEngine(machineClock)
	if engine == postgres {
		if s.Ledger, err = pgengine.New(s.DB); err != nil {
			t.Fatal(err)
		}
	}
	s.Raw = func(context.Context) (ledger.Engine, func() error, error) {
		e := rules.NewEngine(machineClock)
		return e, e.Close, nil
	}
	registry := prometheus.NewRegistry()
	s.Metrics = registry
	poster := posting.New(s.DB, s.Ledger, posting.Options{Registerer: registry})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := poster.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := s.Ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	if s.Jobs, err = jobs.New(s.DB, s.Ledger, poster, jobs.Options{}); err != nil {
		t.Fatal(err)
	}
	api, err := intake.New(intake.Options{Store: s.Orders, Poster: poster, Deadlines: s.Jobs, Ledger: s.Ledger})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// openSession is what Run does before it measures anything.
func openSession(t testing.TB, s *System) *session {
	t.Helper()
	m := newSession(s)
	if err := m.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.close(); err != nil {
			t.Error(err)
		}
	})
	return m
}
