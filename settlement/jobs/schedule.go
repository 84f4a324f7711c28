package jobs

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

// Start lets this process stand for election and, while it leads, run the
// schedule. It returns at once; Stop ends it, and so does the end of ctx, but
// without letting a batch finish. Start works once.
func (j *Jobs) Start(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.cancel != nil {
		return fmt.Errorf("jobs: started already")
	}
	ctx, j.cancel = context.WithCancel(ctx)
	j.stopped = make(chan struct{})
	go func() {
		defer close(j.stopped)
		j.stand(ctx)
	}()
	return nil
}

// Stop ends every run after the batch it is at, gives up leadership and waits
// for both. When ctx ends first, the runs' contexts are canceled: what is in
// flight then is finished by a redrive. Stop also ends Fire and RunOnce, and
// nothing runs after it.
func (j *Jobs) Stop(ctx context.Context) error {
	j.stopOnce.Do(func() { close(j.stopping) })
	j.mu.Lock()
	cancel, stopped := j.cancel, j.stopped
	j.mu.Unlock()
	if cancel == nil {
		return nil
	}
	defer cancel()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		cancel()
		<-stopped
		return fmt.Errorf("jobs: stopped in the middle of a batch: %w", ctx.Err())
	}
}

// stand tries to become the leader until the process stops.
func (j *Jobs) stand(ctx context.Context) {
	tick := time.NewTicker(j.opts.Election)
	defer tick.Stop()
	troubled := false
	for {
		conn, err := j.campaign(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !troubled:
			// Once, not every few seconds for as long as the database is away.
			j.log.Warn("cannot stand for election; trying on", "error", err)
			troubled = true
		case err == nil && troubled:
			j.log.Info("standing for election again")
			troubled = false
		}
		if conn != nil {
			j.lead(ctx, conn)
		}
		select {
		case <-ctx.Done():
			return
		case <-j.stopping:
			return
		case <-tick.C:
		}
	}
}

// lead runs the schedule until leadership is lost or the process stops.
func (j *Jobs) lead(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	j.log.Info("this process leads: it runs the schedule")
	j.m.leads(true)
	if j.hook != nil {
		j.hook("leads", "")
	}

	logger := cronLogger{j.log}
	// SkipIfStillRunning is outside: it would never let a job run again whose
	// panic passed through it.
	c := cron.New(cron.WithLocation(time.UTC), cron.WithLogger(logger),
		cron.WithChain(cron.SkipIfStillRunning(logger), cron.Recover(logger)))
	entries := make([]cron.EntryID, len(j.jobs))
	// The entries' ids are read by the jobs' goroutines, which may run before
	// all are written.
	var ready sync.WaitGroup
	ready.Add(1)
	for i, job := range j.jobs {
		entries[i] = c.Schedule(job.schedule, cron.FuncJob(func() {
			ready.Wait()
			if j.ending(ctx) {
				return
			}
			// Errors are logged and kept by run; the next moment tries again.
			_, _ = j.run(ctx, job, Run{Due: c.Entry(entries[i]).Prev}, bySchedule)
		}))
	}
	ready.Done()
	var caughtUp sync.WaitGroup
	caughtUp.Go(func() { j.catchUp(ctx, c, entries) })
	c.Start()

	err := j.watch(ctx, conn)
	if err != nil {
		j.log.Warn("this process no longer leads", "error", err)
		cancel(err)
	}
	<-c.Stop().Done()
	caughtUp.Wait()
	j.m.leads(false)
	if err != nil {
		discard(conn)
	} else {
		j.release(conn)
		j.log.Info("leadership given up")
	}
	if j.hook != nil {
		j.hook("ends", "")
	}
}

// catchUp runs, one after another, the jobs whose moment has passed since they
// last left a row. It goes through the schedule's own guard, so that a job that
// the schedule has started meanwhile is not run twice.
func (j *Jobs) catchUp(ctx context.Context, c *cron.Cron, entries []cron.EntryID) {
	latest, err := j.Latest(ctx)
	if err != nil {
		j.log.Error("cannot tell which jobs are late", "error", err)
		return
	}
	for i, job := range j.jobs {
		if j.ending(ctx) {
			return
		}
		last, ran := latest[job.Name]
		if ran && last.Error == "" && last.Finished != nil && job.Next(last.Started).After(j.now()) {
			continue
		}
		c.Entry(entries[i]).WrappedJob.Run()
	}
}

// ending reports whether no run should begin any more.
func (j *Jobs) ending(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-j.stopping:
		return true
	default:
		return false
	}
}

// cronLogger writes cron's log. What it says of every tick is for debugging.
type cronLogger struct{ log *slog.Logger }

func (l cronLogger) Info(msg string, kv ...any) { l.log.Debug("cron: "+msg, kv...) }

func (l cronLogger) Error(err error, msg string, kv ...any) {
	l.log.Error("cron: "+msg, append([]any{"error", err}, kv...)...)
}
