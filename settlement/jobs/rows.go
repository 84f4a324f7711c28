package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lib/pq"
)

// Past is a run that job_runs tells of. Times are UTC.
type Past struct {
	ID       int64
	Job      string
	Due      time.Time
	Started  time.Time
	Finished *time.Time // nil: going on, or its process died
	DryRun   bool
	Items    int64
	Failed   int64
	Error    string // "" for none
	Detail   json.RawMessage
}

// finish writes the end of the run, if the run is to leave a row at all.
func (r *running) finish(ctx context.Context, runErr error) error {
	idle := runErr == nil && r.res.Items == 0 && r.res.Failed == 0
	if r.row == 0 && (idle || r.quiet()) {
		if r.source != bySchedule {
			return nil
		}
		// The first run of a job in an hour says that the job is alive.
		var latest sql.NullTime
		var ended string
		err := r.j.db.QueryRowContext(ctx, `SELECT started_at, coalesce(error, '') FROM job_runs WHERE job = $1 ORDER BY id DESC LIMIT 1`,
			r.job.Name).Scan(&latest, &ended)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("reading the latest run: %w", err)
		}
		news := r.quiet() && (runErr == nil) != (ended == "")
		if latest.Valid && !latest.Time.Before(r.started.Truncate(time.Hour)) && !news {
			return nil
		}
	}
	return r.save(ctx, runErr, true)
}

// quiet runs are too many for a row each: that they do something is no news.
func (r *running) quiet() bool { return r.job.fewRows && r.source == bySchedule }

// save writes the run's row as it stands now.
func (r *running) save(ctx context.Context, runErr error, finished bool) error {
	detail, err := json.Marshal(r.res.Detail)
	if err != nil {
		return fmt.Errorf("run's detail: %w", err)
	}
	if string(detail) == "{}" {
		detail = nil
	}
	var end *time.Time
	if finished {
		now := r.j.now()
		end = &now
	}
	var text *string
	if runErr != nil {
		s := runErr.Error()
		text = &s
	}
	if r.row == 0 {
		err = r.j.db.QueryRowContext(ctx, `INSERT INTO job_runs (job, due, started_at, finished_at, dry_run, items, failed, error, detail)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id`,
			r.job.Name, r.Due, r.started, end, r.DryRun, r.res.Items, r.res.Failed, text, nullJSON(detail)).Scan(&r.row)
	} else {
		_, err = r.j.db.ExecContext(ctx, `UPDATE job_runs SET finished_at = $2, items = $3, failed = $4, error = $5, detail = $6 WHERE id = $1`,
			r.row, end, r.res.Items, r.res.Failed, text, nullJSON(detail))
	}
	if err != nil {
		return fmt.Errorf("writing the run's row: %w", err)
	}
	return nil
}

func nullJSON(b []byte) any {
	if b == nil {
		return nil
	}
	return string(b)
}

// Latest is the latest run of each job that was not a dry one, by job name. A
// job that never ran is not in it.
func (j *Jobs) Latest(ctx context.Context) (map[string]Past, error) {
	latest := map[string]Past{}
	rows, err := j.db.QueryContext(ctx, `SELECT r.id, r.job, r.due, r.started_at, r.finished_at, r.dry_run, r.items, r.failed,
			coalesce(r.error, ''), r.detail
		FROM unnest($1::text[]) AS n(job) CROSS JOIN LATERAL
			(SELECT * FROM job_runs WHERE job = n.job AND NOT dry_run ORDER BY id DESC LIMIT 1) r`, pq.StringArray(j.names()))
	if err != nil {
		return nil, fmt.Errorf("reading the latest runs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var p Past
		var detail []byte
		if err := rows.Scan(&p.ID, &p.Job, &p.Due, &p.Started, &p.Finished, &p.DryRun, &p.Items, &p.Failed, &p.Error, &detail); err != nil {
			return nil, fmt.Errorf("reading the latest runs: %w", err)
		}
		p.Due, p.Started, p.Detail = p.Due.UTC(), p.Started.UTC(), detail
		if p.Finished != nil {
			*p.Finished = p.Finished.UTC()
		}
		latest[p.Job] = p
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the latest runs: %w", err)
	}
	return latest, nil
}

func (j *Jobs) names() []string {
	names := make([]string, len(j.jobs))
	for i, job := range j.jobs {
		names[i] = job.Name
	}
	return names
}
