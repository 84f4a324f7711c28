package main

import (
	"context"
	"time"
)

type serveCmd struct {
	StoreFlags  `embed:""`
	EngineFlags `embed:""`
	Addr        string        `default:"127.0.0.1:8080" env:"ESCROWD_ADDR" placeholder:"HOST:PORT" help:"Where the API listens; port 0 takes a free one. Default: ${default}"`
	MetricsAddr string        `default:"127.0.0.1:9090" env:"ESCROWD_METRICS_ADDR" placeholder:"HOST:PORT" help:"Where Prometheus finds /metrics; empty for nowhere. Default: ${default}"`
	MaxWait     time.Duration `default:"1s" env:"ESCROWD_MAX_WAIT" placeholder:"DURATION" help:"How long a request waits for its turn at most; beyond that it is answered 503 with nothing decided. Default: ${default}"`
	NoJobs      bool          `env:"ESCROWD_NO_JOBS" help:"Leave deadlines and redrives to another server on the same database."`
}

func (serveCmd) Help() string {
	return `Serves the HTTP API (openapi.json tells what it takes), settles what is due, and exports metrics, until SIGINT or SIGTERM: then requests in flight are answered, what they began is recorded, and it exits 0.

Killed at any moment it loses nothing: the next start finishes what was begun. Several servers can share a database; one of them runs the jobs.

    escrowd serve --data /var/lib/escrowd
    ESCROWD_DATABASE_URL=postgres://escrowd@db/escrowd escrowd serve --addr :8080
    escrowd serve --engine tigerbeetle --tigerbeetle-addresses 10.0.0.1:3001,10.0.0.2:3001,10.0.0.3:3001`
}

// Run serves until it is told to stop.
func (c *serveCmd) Run(ctx context.Context, g *Globals) (err error) {
	if c.Addr == "" {
		return usageError("--addr must not be empty")
	}
	if c.MaxWait <= 0 {
		return usageError("--max-wait must be more than 0")
	}
	boundMemory()
	app, err := OpenApp(ctx, g, AppOptions{Store: c.StoreFlags, Engine: c.EngineFlags,
		Addr: c.Addr, MetricsAddr: c.MetricsAddr, NoJobs: c.NoJobs, MaxWait: c.MaxWait})
	if err != nil {
		return err
	}
	defer closeInto(app, &err)
	g.Log.Info("serving", "api", app.URL, "metrics", app.MetricsURL, "store", app.Store.String(), "engine", c.Engine)
	if err := app.Wait(ctx); err != nil {
		return err
	}
	g.Log.Info("stopping")
	return nil
}
