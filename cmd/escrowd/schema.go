package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"escrowd/deploy"
)

// schemaError: the database is not of this version's schema.
type schemaError struct {
	store      string
	has, wants int64 // numbers of the latest migration
}

func (e *schemaError) Error() string {
	if e.has > e.wants {
		return fmt.Sprintf("%s was migrated to version %d by a newer escrowd; this one knows versions up to %d", e.store, e.has, e.wants)
	}
	return fmt.Sprintf("%s is at version %d and this escrowd needs %d: run 'escrowd migrate' on it", e.store, e.has, e.wants)
}

// migrations lists the file names of the embedded history, in order.
func migrations() ([]string, error) {
	names, err := fs.Glob(deploy.Migrations, "migrations/*.sql")
	if err == nil && len(names) == 0 {
		err = errors.New("this binary brings no migrations")
	}
	return names, err
}

// latestMigration is the version that this binary brings.
func latestMigration() (int64, error) {
	names, err := migrations()
	if err != nil {
		return 0, err
	}
	return goose.NumericComponent(names[len(names)-1])
}

// schemaVersion is the version of the database, 0 for an empty one. Unlike
// goose's own look it writes nothing, not even its table.
func schemaVersion(ctx context.Context, s *Store) (int64, error) {
	var version int64
	err := s.DB.GetContext(ctx, &version, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`)
	if e, ok := errors.AsType[*pq.Error](err); ok && e.Code == "42P01" { // undefined_table
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the schema version of %s: %w", s, err)
	}
	return version, nil
}

// migrate brings the database to this binary's schema. It never goes back: a
// newer database is a *schemaError.
func migrate(ctx context.Context, log *slog.Logger, s *Store) error {
	if err := checkSchema(ctx, s); err != nil {
		e, ok := errors.AsType[*schemaError](err)
		if !ok || e.has > e.wants {
			return err
		}
	}
	history, err := fs.Sub(deploy.Migrations, "migrations")
	if err != nil {
		return err
	}
	// Goose's lock is held by a session: of two processes that migrate at once
	// one waits (asking once a second for five minutes), and a killed one leaves
	// no lock behind.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, s.DB.DB, history, goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	results, err := p.Up(ctx)
	for _, r := range results {
		log.Info("migrated", "store", s.String(), "version", r.Source.Version, "took", r.Duration)
	}
	if err != nil {
		return fmt.Errorf("migrate %s: %w", s, err)
	}
	return nil
}

// checkSchema is nil if the database has exactly this binary's schema.
func checkSchema(ctx context.Context, s *Store) error {
	wants, err := latestMigration()
	if err != nil {
		return err
	}
	has, err := schemaVersion(ctx, s)
	if err != nil {
		return err
	}
	if has != wants {
		return &schemaError{s.String(), has, wants}
	}
	return nil
}
