// Package localpg runs a private Postgres in a data directory, so that one
// command gives a running system and nobody has to set up a database first.
//
//	DIR/escrowd.json     {"format":1,"postgres_major":15}: what the directory is
//	DIR/escrowd.lock     flocked by the owner; holds the owner's process id
//	DIR/escrowd.readers  flocked (shared) by everyone who only looks
//	DIR/escrowd.guest    process id of a server that a reader started
//	DIR/pgdata/          the cluster, as initdb made it
//	DIR/run/             its socket, in a directory that only its user may enter
//	DIR/postgres.log     what the server says
//
// The server listens on the Unix socket alone, never on a network; whoever may
// enter the socket's directory (the server's user, and root) is trusted.
//
// Ownership. [Open] makes its caller the one owner of the directory; the lock
// goes with the process, so a kill -9 frees it. The server however is a process
// of its own (in its own session, so that a ^C in the terminal reaches the
// owner and not the server under it) and outlives a killed owner. The next
// owner takes such an orphan over, and stops it in the end as if it had
// started it.
//
// Readers. [Attach] uses the server that runs. If none runs it starts one, and
// the last reader to leave stops it, unless an owner has come meanwhile.
//
// Postgres refuses to run as root. Started by root, the server runs as the
// system user "postgres", or else "nobody", and the directory is made theirs.
package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The database and the superuser of a cluster.
const (
	database  = "escrowd"
	superuser = "escrowd"
)

// Options of Open and Attach. The zero value is what a server wants.
type Options struct {
	// Logger hears of slow or unusual steps. Nil: nobody does.
	Logger *slog.Logger
	// BinDir is where initdb and postgres are. Empty: they are looked for.
	BinDir string
	// Throwaway is for data that nobody will miss: the server does not wait
	// for the disk. A power failure may leave such a cluster unreadable.
	Throwaway bool
	// StartTimeout bounds the wait for a server to accept connections, crash
	// recovery included. 0: two minutes.
	StartTimeout time.Duration
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = 2 * time.Minute
	}
	return o
}

// Cluster is a Postgres server that runs in a data directory.
type Cluster struct {
	dir     string // absolute, symbolic links resolved
	opts    Options
	bin     binaries
	user    serverUser
	server  *server
	started bool
	owner   *flock // held by the owner
	readers *flock // held, shared, by a reader
}

// Dir is the data directory, absolute.
func (c *Cluster) Dir() string { return c.dir }

// Started reports whether this Open or Attach started the server; false means
// that one was running already.
func (c *Cluster) Started() bool { return c.started }

// DSN connects lib/pq to the database "escrowd" of the cluster.
func (c *Cluster) DSN() string { return c.server.dsn(database) }

// ErrNotDataDir: the directory holds no escrowd data.
var ErrNotDataDir = errors.New("not an escrowd data directory")

// InUseError: another process owns the data directory.
type InUseError struct {
	Dir string
	PID int // 0 if the owner did not say
}

func (e *InUseError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("data directory %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("data directory %s is in use by pid %d", e.Dir, e.PID)
}

// Open makes the caller the owner of the data directory dir: it creates the
// directory and the cluster where they are missing, starts the server (or takes
// over one that a killed owner left) and waits until it answers.
//
// Errors: *InUseError, *VersionError, ErrNotDataDir when dir holds something
// else, ErrNoPostgres, or the reason why the server does not start, with the
// end of its log.
func Open(ctx context.Context, dir string, opts Options) (*Cluster, error) {
	c := &Cluster{opts: opts.withDefaults()}
	if err := c.open(ctx, dir); err != nil {
		c.release()
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	return c, nil
}

func (c *Cluster) open(ctx context.Context, dir string) error {
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := c.setDir(dir); err != nil {
		return err
	}
	// A directory that is not ours must not even get a lock file.
	if _, err := inspectDir(c.dir); err != nil {
		return err
	}
	var err error
	if c.owner, err = lockOwner(ctx, c.dir, roleOwner); err != nil {
		return err
	}
	// Again under the lock: another owner may just have made the cluster.
	state, err := inspectDir(c.dir)
	if err != nil {
		return err
	}
	if err := c.prepare(state); err != nil {
		return err
	}
	if state.unfinished {
		if err := os.Rename(c.path(metaFile+".tmp"), c.path(metaFile)); err != nil {
			return err
		}
	}
	if state.empty {
		if err := c.create(ctx); err != nil {
			return err
		}
	}
	if err := c.run(ctx); err != nil {
		return err
	}
	// The server is the owner's from here on, whoever started it.
	if err := os.Remove(c.path(guestFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c.stopAfter(err)
	}
	return nil
}

// Attach gives a reader the server of the data directory dir: the one that
// runs, or else one started for the while. It creates nothing.
//
// Errors: ErrNotDataDir, *VersionError, ErrNoPostgres, *InUseError when an
// owner holds the directory but its server does not come up in time.
func Attach(ctx context.Context, dir string, opts Options) (*Cluster, error) {
	c := &Cluster{opts: opts.withDefaults()}
	if err := c.attach(ctx, dir); err != nil {
		c.release()
		return nil, fmt.Errorf("attach to data directory: %w", err)
	}
	return c, nil
}

func (c *Cluster) attach(ctx context.Context, dir string) error {
	if err := c.setDir(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w: it does not exist", dir, ErrNotDataDir)
		}
		return err
	}
	state, err := inspectDir(c.dir)
	if err != nil {
		return err
	}
	if state.empty || state.unfinished {
		return fmt.Errorf("%s: %w: it has no %s", c.dir, ErrNotDataDir, metaFile)
	}
	if err := c.prepare(state); err != nil {
		return err
	}
	if c.readers, err = lockReaders(c.dir); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.StartTimeout)
	defer cancel()
	for {
		srv, err := findServer(c.path(dataDir))
		if err != nil {
			return err
		}
		if srv != nil && srv.answers(ctx) {
			c.server = srv
			return nil
		}
		// Nothing answers. Only whoever holds the owner's lock may start a
		// server; if that is another process, its server is about to come.
		lock, err := tryLockOwner(c.dir, roleBrief)
		var inUse *InUseError
		switch {
		case err == nil:
			err := c.run(ctx)
			if err == nil && c.started {
				err = c.writeGuest()
			}
			lock.release()
			return err
		case !errors.As(err, &inUse):
			return err
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("%w, and its Postgres does not answer: %w", inUse, err)
		}
	}
}

// prepare chooses whose rights and which binaries the server runs with.
func (c *Cluster) prepare(state dirState) error {
	var err error
	if c.user, err = chooseUser(c.path(dataDir)); err != nil {
		return err
	}
	if c.bin, err = findBinaries(c.opts.BinDir, state.meta.PostgresMajor); err != nil {
		if errors.Is(err, errWrongMajor) {
			return &VersionError{Dir: c.dir, Reason: err.Error()}
		}
		return err
	}
	return nil
}

// Close ends the use of the cluster. An owner stops the server, in fast mode:
// sessions are cut off, what was committed is safe. A reader stops it only if
// a reader started it, no other reader is left and nobody owns the directory.
func (c *Cluster) Close() error {
	defer c.release()
	if c.server == nil {
		return nil
	}
	srv := c.server
	c.server = nil
	if c.owner != nil {
		return c.stop(srv)
	}
	if !c.readers.tryExclusive() || !c.isGuest(srv) {
		return nil
	}
	lock, err := tryLockOwner(c.dir, roleBrief)
	if err != nil {
		return nil // an owner has come; the server is the owner's now
	}
	defer lock.release()
	err = c.stop(srv)
	return errors.Join(err, os.Remove(c.path(guestFile)))
}

// release gives up the locks.
func (c *Cluster) release() {
	c.owner.release()
	c.readers.release()
	c.owner, c.readers = nil, nil
}

func (c *Cluster) stop(srv *server) error {
	if err := srv.stop(); err != nil {
		return fmt.Errorf("stop Postgres in %s: %w", c.dir, err)
	}
	return c.removeSocketDir()
}

// stopAfter stops a server that just started and returns why.
func (c *Cluster) stopAfter(reason error) error {
	srv := c.server
	c.server = nil
	if !c.started {
		return reason
	}
	return errors.Join(reason, srv.stop())
}

func (c *Cluster) writeGuest() error {
	if err := os.WriteFile(c.path(guestFile), fmt.Appendf(nil, "%d\n", c.server.pid), 0o600); err != nil {
		return c.stopAfter(err)
	}
	return nil
}

func (c *Cluster) isGuest(srv *server) bool {
	b, err := os.ReadFile(c.path(guestFile))
	return err == nil && strings.TrimSpace(string(b)) == fmt.Sprint(srv.pid)
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

func (c *Cluster) setDir(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	// Postgres compares and prints resolved paths; so do we.
	if c.dir, err = filepath.EvalSymlinks(abs); err != nil {
		return err
	}
	info, err := os.Stat(c.dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: %w: it is a file", c.dir, ErrNotDataDir)
	}
	return nil
}

// pollEvery is how often a wait looks again: short against the second that a
// start takes, long against the cost of looking.
const pollEvery = 20 * time.Millisecond

// pause waits a moment, or says why the context ended.
func pause(ctx context.Context) error {
	t := time.NewTimer(pollEvery)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
