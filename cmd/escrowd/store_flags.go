package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"escrowd/cmd/escrowd/localpg"
)

// StoreFlags is the flag group of every command that needs the database.
type StoreFlags struct {
	Data        string `placeholder:"DATADIR" env:"ESCROWD_DATA" help:"Directory of escrowd's own Postgres, made when a server first needs it. Default: ${data_dir}"`
	DatabaseURL string `placeholder:"URL" env:"ESCROWD_DATABASE_URL" help:"A Postgres of your own, in place of a data directory; a --data on the command line is stronger than the environment. A URL or key=value string. Keep a password in the environment or in ~/.pgpass, where other users cannot read it."`
}

// Access is what a command wants the store for.
type Access int

const (
	// ReadStore looks and changes nothing: the database itself refuses writes.
	ReadStore Access = iota
	// JoinStore writes beside whoever else uses the store.
	JoinStore
	// OwnStore is for a server: it makes the data directory if need be, is its
	// one owner, and migrates the database.
	OwnStore
)

// Store is an open database. Close it.
type Store struct {
	DB *sqlx.DB
	// Writes are connections that only the write path and the ledger use, so
	// that they never stand in line behind everybody who wants to read.
	Writes  *sqlx.DB
	dsn     string
	name    string
	cluster *localpg.Cluster // nil if the database is not ours
}

// String names the store without any secret.
func (s *Store) String() string { return s.name }

// DSN is the lib/pq connection string, with its password: not for printing.
func (s *Store) DSN() string { return s.dsn }

// Close closes the connections, and stops the Postgres that was started for
// this store.
func (s *Store) Close() error {
	var err error
	if s.DB != nil {
		err = errors.Join(s.DB.Close(), s.Writes.Close())
	}
	if s.cluster != nil {
		err = errors.Join(err, s.cluster.Close())
	}
	return err
}

// AfterApply lets a --data that was typed win over a database that only the
// environment or a file names: what is nearest to the user is meant.
func (f *StoreFlags) AfterApply(ctx *kong.Context) error {
	typed := map[string]bool{}
	for _, p := range ctx.Path {
		if p.Flag != nil && !p.Resolved {
			typed[p.Flag.Name] = true
		}
	}
	if typed["data"] && typed["database-url"] {
		return usageError("--data and --database-url name two stores: give one")
	}
	if typed["data"] {
		f.DatabaseURL = ""
	}
	return nil
}

// Given reports whether the user named a store, rather than the default.
func (f StoreFlags) Given() bool { return f.Data != "" || f.DatabaseURL != "" }

// Open opens the store that the flags name. With OwnStore the schema is then
// this version's; with the others it is checked, see *schemaError.
func (f StoreFlags) Open(ctx context.Context, g *Globals, access Access) (*Store, error) {
	s, err := f.connect(ctx, g, access)
	if err != nil {
		return nil, err
	}
	if access == OwnStore {
		err = migrate(ctx, g.Log, s)
	} else {
		err = checkSchema(ctx, s)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// connect opens the store whatever its schema.
func (f StoreFlags) connect(ctx context.Context, g *Globals, access Access) (*Store, error) {
	if f.DatabaseURL != "" {
		return openURL(ctx, f.DatabaseURL, access)
	}
	dir := f.Data
	if dir == "" {
		dir = defaultDataDir()
	}
	open := localpg.Attach
	if access == OwnStore {
		open = localpg.Open
	}
	cluster, err := open(ctx, dir, localpg.Options{Logger: g.Log})
	if err != nil {
		return nil, err
	}
	s := &Store{dsn: cluster.DSN(), name: "data directory " + cluster.Dir(), cluster: cluster}
	if err := s.dial(ctx, access); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func openURL(ctx context.Context, dsn string, access Access) (*Store, error) {
	cfg, err := pq.NewConfig(dsn)
	if err != nil {
		// What the parser says quotes the string, and so perhaps its password.
		return nil, usageError("--database-url (ESCROWD_DATABASE_URL) is neither a postgres:// URL nor key=value pairs")
	}
	s := &Store{dsn: dsn, name: "the database of --database-url"}
	// A password with a "/" that was not escaped ends up in the name, in part.
	if plainName.MatchString(cfg.Database) && plainName.MatchString(strings.TrimPrefix(cfg.Host, "/")) {
		s.name = fmt.Sprintf("database %q on %s", cfg.Database, cfg.Host)
		if cfg.Port != 0 && cfg.Port != 5432 {
			s.name += fmt.Sprintf(" port %d", cfg.Port)
		}
	}
	if err := s.dial(ctx, access); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

var plainName = regexp.MustCompile(`^[\w./-]+$`)

// minServer is the oldest Postgres escrowd works on, as server_version_num.
const minServer = 140000

// dial connects and makes sure that the server answers and is new enough.
func (s *Store) dial(ctx context.Context, access Access) error {
	// Compiling our statements takes longer than running them.
	s.dsn = withParams(s.dsn, map[string]string{"fallback_application_name": "escrowd", "timezone": "UTC", "jit": "off"})
	if access == ReadStore {
		s.dsn = setParam(s.dsn, "default_transaction_read_only", "on")
	}
	connector, err := pq.NewConnector(s.dsn)
	if err != nil {
		return fmt.Errorf("%s: the connection string does not parse", s)
	}
	pool := func(most int) *sqlx.DB {
		db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
		db.SetMaxOpenConns(most)
		db.SetMaxIdleConns(most) // a new session costs more than most of our statements
		db.SetConnMaxIdleTime(5 * time.Minute)
		return db
	}
	// In all a third of the 100 sessions that Postgres allows by default.
	s.DB, s.Writes = pool(24), pool(8)
	var version int
	if err := s.DB.GetContext(ctx, &version, `SELECT current_setting('server_version_num')::int`); err != nil {
		return fmt.Errorf("connect to %s: %w", s, err)
	}
	if version < minServer {
		return fmt.Errorf("%s is Postgres %d; escrowd needs %d or newer", s, version/10000, minServer/10000)
	}
	return nil
}

// withParams adds parameters to a connection string of either form. Those that
// the user gave stand.
func withParams(dsn string, params map[string]string) string {
	u, isURL := parseURL(dsn)
	if !isURL {
		// Of a key given twice the last one counts, so ours go in front.
		var b strings.Builder
		for k, v := range params {
			fmt.Fprintf(&b, "%s='%s' ", k, v)
		}
		return b.String() + dsn
	}
	q := u.Query()
	for k, v := range params {
		if !q.Has(k) {
			q.Set(k, v)
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// setParam sets a parameter of a connection string, whatever the user gave.
func setParam(dsn, key, value string) string {
	u, isURL := parseURL(dsn)
	if !isURL {
		return fmt.Sprintf("%s %s='%s'", dsn, key, value)
	}
	q := u.Query()
	q.Set(key, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// parseURL tells the two forms of connection strings apart as lib/pq does.
func parseURL(dsn string) (*url.URL, bool) {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return nil, false
	}
	u, err := url.Parse(dsn)
	return u, err == nil
}

// defaultDataDir is where data is kept if nobody says where: by the XDG base
// directory rules below the user's home; for root in /var/lib, because the
// server then runs as another user, who could not enter root's home.
func defaultDataDir() string {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "escrowd")
	}
	if os.Geteuid() == 0 {
		return "/var/lib/escrowd"
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "."
	}
	return filepath.Join(home, ".local", "share", "escrowd")
}
