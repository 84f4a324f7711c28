package localpg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/lib/pq"
)

// server is a running postmaster.
type server struct {
	pid    int
	pgdata string
	socket string // directory
	port   string
	exited <-chan struct{} // closed when our child ended; nil if not our child
}

// run brings c.server up: the one that runs, or a new one. The caller holds the
// owner's lock.
func (c *Cluster) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.StartTimeout,
		fmt.Errorf("the Postgres server is not ready after %v; see %s", c.opts.StartTimeout, c.path(logFile)))
	defer cancel()
	srv, err := c.settled(ctx)
	if err != nil {
		return err
	}
	if srv == nil {
		if srv, err = c.start(ctx); err != nil {
			return err
		}
		c.started = true
	}
	c.server = srv
	if err := createDatabase(ctx, srv); err != nil {
		return c.stopAfter(err)
	}
	return nil
}

// settled answers the server that already runs in pgdata and is ready, or nil
// when none runs any more. One that is still starting, recovering or stopping
// is waited for.
func (c *Cluster) settled(ctx context.Context) (*server, error) {
	for {
		srv, err := findServer(c.path(dataDir))
		if err != nil {
			return nil, err
		}
		if srv != nil && srv.answers(ctx) {
			c.opts.Logger.Info("taking over the Postgres that runs already", "dir", c.dir, "pid", srv.pid)
			return srv, nil
		}
		if srv == nil {
			sessions, err := clearStale(c.path(dataDir))
			if err != nil || !sessions {
				return nil, err
			}
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// start starts a postmaster and waits until it answers.
func (c *Cluster) start(ctx context.Context) (*server, error) {
	pgdata := c.path(dataDir)
	if err := c.user.checkReach(ctx, c.bin, pgdata); err != nil {
		return nil, err
	}
	socket, err := c.socketDir()
	if err != nil {
		return nil, err
	}
	// A killed postmaster leaves its socket and a lock file with its process id,
	// which may be another's by now. None runs, and the directory is private.
	for _, name := range []string{socketName, socketName + ".lock"} {
		if err := os.Remove(filepath.Join(socket, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	log, err := c.openLog()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// Not bound to ctx, which ends the wait and not the server.
	cmd := c.user.command(context.WithoutCancel(ctx), pgdata, c.bin.path("postgres"), c.args(pgdata, socket)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Postgres: %w", err)
	}
	exited := make(chan struct{})
	go func() {
		// How it ended is in its log; here it only must not stay a zombie.
		_ = cmd.Wait()
		close(exited)
	}()
	srv := &server{pid: cmd.Process.Pid, pgdata: pgdata, socket: socket, port: port, exited: exited}
	for !srv.answers(ctx) {
		select {
		case <-exited:
			return nil, fmt.Errorf("the Postgres server does not start: %s (see %s)", c.logTail(), c.path(logFile))
		default:
		}
		if err := pause(ctx); err != nil {
			return nil, errors.Join(err, srv.stop())
		}
	}
	return srv, nil
}

// args is the server's command line. What the promises rest on stands here,
// above every configuration file: nothing on a network, and no commit
// acknowledged that a power failure could take back.
func (c *Cluster) args(pgdata, socket string) []string {
	durable := "on"
	if c.opts.Throwaway {
		durable = "off"
	}
	settings := [][2]string{
		{"listen_addresses", ""},
		{"port", port},
		// The list is split at commas; in quotes a path is taken whole.
		{"unix_socket_directories", `"` + strings.ReplaceAll(socket, `"`, `""`) + `"`},
		{"unix_socket_permissions", "0700"},
		{"fsync", durable},
		{"synchronous_commit", durable},
		{"full_page_writes", durable},
		{"logging_collector", "off"},
	}
	args := []string{"-D", pgdata}
	for _, s := range settings {
		args = append(args, "-c", s[0]+"="+s[1])
	}
	return args
}

// logMax is the size from which the log of earlier runs is put aside.
const logMax = 16 << 20

func (c *Cluster) openLog() (*os.File, error) {
	name := c.path(logFile)
	if info, err := os.Stat(name); err == nil && info.Size() > logMax {
		if err := os.Rename(name, name+".1"); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (c *Cluster) logTail() string {
	f, err := os.Open(c.path(logFile))
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	b := make([]byte, 2048)
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	n, _ := f.ReadAt(b, max(0, info.Size()-int64(len(b)))) // a short read is the whole log
	return lastLines(b[:n], 4)
}

// dsn is a lib/pq connection string.
func (s *server) dsn(dbname string) string {
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	return fmt.Sprintf("host='%s' port=%s user=%s dbname=%s sslmode=disable connect_timeout=10",
		quote.Replace(s.socket), s.port, superuser, dbname)
}

// answers reports whether the server takes connections, and is the server of
// this data directory.
func (s *server) answers(ctx context.Context) bool {
	if s.socket == "" || s.port == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var where string
	err := s.query(ctx, func(db *sql.DB) error {
		return db.QueryRowContext(ctx, `SHOW data_directory`).Scan(&where)
	})
	return err == nil && sameFile(where, s.pgdata)
}

func (s *server) query(ctx context.Context, f func(*sql.DB) error) error {
	connector, err := pq.NewConnector(s.dsn("postgres"))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	err = f(db)
	return errors.Join(err, db.Close())
}

// createDatabase makes the database where it is missing: right after initdb,
// or after a crash between the two.
func createDatabase(ctx context.Context, s *server) error {
	return s.query(ctx, func(db *sql.DB) error {
		var n int
		err := db.QueryRowContext(ctx, `SELECT count(*) FROM pg_database WHERE datname = $1`, database).Scan(&n)
		if err != nil || n == 1 {
			return err
		}
		_, err = db.ExecContext(ctx, `CREATE DATABASE `+database)
		if e, ok := errors.AsType[*pq.Error](err); ok && e.Code == "42P04" { // duplicate_database
			return nil
		}
		return err
	})
}

// stopTimeout bounds the wait for a stop, which writes a checkpoint first.
const stopTimeout = 2 * time.Minute

// stop ends the server in fast mode (SIGINT) and waits until it is gone.
func (s *server) stop() error {
	if s.exited == nil && !isPostmaster(s.pid, s.pgdata) {
		return nil // gone already; its process id may be another's by now
	}
	if err := syscall.Kill(s.pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), stopTimeout,
		fmt.Errorf("pid %d has not ended after %v", s.pid, stopTimeout))
	defer cancel()
	if s.exited != nil {
		select {
		case <-s.exited:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for isPostmaster(s.pid, s.pgdata) {
		if err := pause(ctx); err != nil {
			return err
		}
	}
	return nil
}
