// Package pgtest gives each test a Postgres schema of its own, with all
// migrations applied, on one cluster that the tests share; so tests run in
// parallel and need no cluster each.
//
// ESCROWD_TEST_DATABASE_URL names the cluster: a URL or key=value string as
// lib/pq reads it, of a role that may create schemas. Where it is not set the
// test is skipped by name.
package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq" // the "postgres" driver
	"github.com/pressly/goose/v3"

	"escrowd/deploy"
)

// Variable is the environment variable that names the cluster.
const Variable = "ESCROWD_TEST_DATABASE_URL"

var (
	mu      sync.Mutex
	schemas = map[testing.TB]string{} // the DSN of each running test's schema
)

// Open connects to the test's own schema, making it at the first call. The
// pool is closed and the schema dropped when the test ends.
func Open(t testing.TB) *sqlx.DB {
	t.Helper()
	return connect(t, DSN(t))
}

// DSN is the connection string of the test's own schema (its search_path is
// that schema alone), made at the first call and dropped when the test ends.
// The same test always gets the same schema.
func DSN(t testing.TB) string {
	t.Helper()
	cluster := os.Getenv(Variable)
	if cluster == "" {
		t.Skipf("%s: %s is not set: this test needs a Postgres cluster to make its schema in", t.Name(), Variable)
	}
	mu.Lock()
	defer mu.Unlock()
	if dsn, ok := schemas[t]; ok {
		return dsn
	}

	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails, says crypto/rand
	schema := "test_" + hex.EncodeToString(random[:])
	admin := connect(t, cluster)
	if _, err := admin.Exec("CREATE SCHEMA " + schema); err != nil {
		t.Fatalf("making the test's schema: %v", err)
	}
	// Registered before any pool on the schema is opened, so it runs after they
	// are closed. Failing to drop is a failure: it means something still runs.
	t.Cleanup(func() {
		mu.Lock()
		delete(schemas, t)
		mu.Unlock()
		if _, err := admin.Exec("SET lock_timeout = '30s'; DROP SCHEMA " + schema + " CASCADE"); err != nil {
			t.Errorf("dropping the test's schema: %v", err)
		}
	})
	dsn := withSearchPath(cluster, schema)
	migrate(t, dsn)
	schemas[t] = dsn
	return dsn
}

func connect(t testing.TB, dsn string) *sqlx.DB {
	t.Helper()
	db, err := sqlx.Connect("postgres", dsn)
	if err != nil {
		t.Fatalf("connecting to the cluster of %s: %v", Variable, err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func migrate(t testing.TB, dsn string) {
	t.Helper()
	migrations, err := fs.Sub(deploy.Migrations, "migrations")
	if err != nil {
		t.Fatalf("reading the migrations: %v", err)
	}
	db, err := sqlx.Connect("postgres", dsn)
	if err != nil {
		t.Fatalf("connecting to the test's schema: %v", err)
	}
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db.DB, migrations)
	if err != nil {
		t.Fatalf("reading the migrations: %v", err)
	}
	if _, err := provider.Up(context.Background()); err != nil {
		t.Fatalf("migrating the test's schema: %v", err)
	}
}

// withSearchPath makes a connection string start in schema, in either of the
// two forms that lib/pq reads.
func withSearchPath(dsn, schema string) string {
	if u, err := url.Parse(dsn); err == nil && strings.HasPrefix(u.Scheme, "postgres") {
		q := u.Query()
		q.Set("search_path", schema)
		u.RawQuery = q.Encode()
		return u.String()
	}
	return dsn + " search_path=" + schema
}
