package main

import (
	"context"
	"fmt"
	"path"
	"strconv"

	"github.com/pressly/goose/v3"
)

type migrateCmd struct {
	StoreFlags `embed:""`
	Status     bool `help:"Only show the migrations and which of them the database has; exit 1 if one is missing."`
}

func (migrateCmd) Help() string {
	return `A server migrates its database by itself when it starts. This command is for doing it beforehand, and for a database in which the server's role may not create tables.

Each migration is one transaction. Two processes may migrate at the same time: one of them waits. There is no way back but a backup.

    escrowd migrate --status --data /var/lib/escrowd
    ESCROWD_DATABASE_URL=postgres://owner@db/escrowd escrowd migrate`
}

// Run migrates, or shows what there is to migrate.
func (c *migrateCmd) Run(ctx context.Context, g *Globals) (err error) {
	access := OwnStore
	if c.Status {
		access = ReadStore
	}
	s, err := c.connect(ctx, g, access)
	if err != nil {
		return err
	}
	defer closeInto(s, &err)
	if !c.Status {
		if err := migrate(ctx, g.Log, s); err != nil {
			return err
		}
	}
	has, err := schemaVersion(ctx, s)
	if err != nil {
		return err
	}
	if !c.Status {
		_, err = fmt.Fprintf(g.Stdout, "%s is at version %d\n", s, has)
		return err
	}
	return c.status(g, s, has)
}

func (c *migrateCmd) status(g *Globals, s *Store, has int64) error {
	names, err := migrations()
	if err != nil {
		return err
	}
	rows := [][]string{{"version", "migration", "state"}}
	var latest int64
	missing := 0
	for _, name := range names {
		if latest, err = goose.NumericComponent(name); err != nil {
			return err
		}
		state := "applied"
		if latest > has {
			state = "missing"
			missing++
		}
		rows = append(rows, []string{strconv.FormatInt(latest, 10), path.Base(name), state})
	}
	if err := printTable(g.Stdout, rows); err != nil {
		return err
	}
	if has > latest {
		return &schemaError{s.String(), has, latest}
	}
	if missing > 0 {
		return checkFailed("%s lacks %d migrations: run 'escrowd migrate'", s, missing)
	}
	return nil
}
