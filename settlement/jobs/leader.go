package jobs

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// lockClass is the first half of the advisory lock's name, "escr" in ASCII, so
// that it meets no other program's; the second half is the table's oid.
const lockClass = 0x65736372

const (
	sqlTryLock = `SELECT pg_try_advisory_lock($1, 'job_runs'::regclass::oid::int)`
	sqlUnlock  = `SELECT pg_advisory_unlock($1, 'job_runs'::regclass::oid::int)`
	// Asking for the lock, and not merely for an answer, notices a pooler that
	// hands out another session than the one that took it.
	sqlHasLock = `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted
		AND pid = pg_backend_pid() AND objsubid = 2
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND classid = $1::bigint::oid AND objid = 'job_runs'::regclass::oid)`
)

// errLost ends what a leader was doing when it finds out that it is not any
// more.
var errLost = errors.New("leadership lost: another process may lead")

// campaign tries to take the lock. It answers the connection that has it, or
// nil if another process has it.
func (j *Jobs) campaign(ctx context.Context) (*sql.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, j.patience())
	defer cancel()
	conn, err := j.db.DB.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	var got bool
	if err := conn.QueryRowContext(ctx, sqlTryLock, lockClass).Scan(&got); err != nil {
		// The lock may have been taken before the answer was lost.
		discard(conn)
		return nil, fmt.Errorf("asking for the lock: %w", err)
	}
	if !got {
		return nil, conn.Close()
	}
	return conn, nil
}

// patience is how long the leader's own questions to Postgres may take.
func (j *Jobs) patience() time.Duration { return max(5*j.opts.Election, 10*time.Second) }

// watch returns when leadership is lost, with errLost, or when the process
// stops, with nil.
func (j *Jobs) watch(ctx context.Context, conn *sql.Conn) error {
	tick := time.NewTicker(j.opts.Election)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-j.stopping:
			return nil
		case <-tick.C:
		}
		// Not the end of ctx: it would cut the session off in the middle of the
		// question, and the lock would be free only when Postgres notices.
		ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.patience())
		var has bool
		err := conn.QueryRowContext(ask, sqlHasLock, lockClass).Scan(&has)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("%w (%w)", errLost, err)
		case !has:
			return fmt.Errorf("%w (the session no longer has the lock; is there a pooler that shares sessions?)", errLost)
		}
	}
}

// release gives the lock back, so that another process can lead at once. If
// that fails the session is ended, which does the same.
func (j *Jobs) release(conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), rowTimeout)
	defer cancel()
	var had bool
	if err := conn.QueryRowContext(ctx, sqlUnlock, lockClass).Scan(&had); err != nil || !had {
		discard(conn)
		return
	}
	_ = conn.Close() // back to the pool
}

// discard ends a connection's session instead of giving it back to the pool,
// where it would keep the lock.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close()
}
