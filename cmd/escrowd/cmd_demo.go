package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"escrowd/cmd/escrowd/demo"
	"escrowd/cmd/escrowd/replay"
	"escrowd/intake/client"
	"escrowd/reports"
	"escrowd/settlement/order"
)

type demoCmd struct {
	StoreFlags  `embed:""`
	EngineFlags `embed:""`
	Addr        string `default:"127.0.0.1:8080" env:"ESCROWD_ADDR" placeholder:"HOST:PORT" help:"Where the API listens; port 0 takes a free one. Default: ${default}"`
	MetricsAddr string `default:"127.0.0.1:9090" env:"ESCROWD_METRICS_ADDR" placeholder:"HOST:PORT" help:"Where Prometheus finds /metrics; empty for nowhere. Default: ${default}"`
	Orders      int    `default:"3000" placeholder:"N" help:"How many orders to make up, 1 to 1000000. Default: ${default}"`
}

func (demoCmd) Help() string {
	return `Makes up a marketplace "demo" of three months under a test clock, in four currencies and with every ending: released by the buyer's word and by deadline, expired, canceled by people and by deadline, refunded in part and in full, disputed and ruled for the buyer, for the seller and split. When the clock stops a good share is still open, in every state. Then it serves the API and the metrics until ^C, like escrowd serve.

The orders are always the same ones. A second run finds them and adds nothing; one that was stopped goes on where it was. Without --data and --database-url they are kept apart from other data, in ` + demoDataDir() + `.

    escrowd demo
    escrowd demo --addr :8080 --orders 20000 --data /tmp/demo`
}

// demoDataDir is beside the default data directory, not in it: nobody wants
// made up orders among real ones.
func demoDataDir() string { return defaultDataDir() + "-demo" }

// Run plays the demo, if it was not, and serves it.
func (c *demoCmd) Run(ctx context.Context, g *Globals) (err error) {
	if c.Orders < 1 || c.Orders > 1_000_000 {
		return usageError("--orders must be from 1 to 1000000")
	}
	if c.Addr == "" {
		return usageError("--addr must not be empty")
	}
	if !c.Given() {
		c.Data = demoDataDir()
	}
	say := func(format string, args ...any) { fmt.Fprintf(g.Stderr, "escrowd: "+format+"\n", args...) }
	if c.DatabaseURL == "" {
		say("starting Postgres in %s", c.Data)
	}
	q, speak := quiet(g)
	app, err := OpenApp(ctx, q, AppOptions{Store: c.StoreFlags, Engine: c.EngineFlags, Addr: c.Addr, MetricsAddr: c.MetricsAddr})
	if err != nil {
		return err
	}
	defer closeInto(app, &err)
	session, err := replay.OpenSession(ctx, app.Orders, demo.Marketplace, demo.Start, "demo")
	if err != nil {
		return err
	}
	defer closeInto(session, &err)
	api := client.New(app.URL, session.Key, client.Options{})

	if session.Marketplace.Deadlines.Before(demo.End) {
		if session.Found {
			say("going on where the last run stopped")
		}
		if err := c.play(ctx, g, api); err != nil {
			return err
		}
	} else {
		say("%s has the demo's orders already; nothing is added", app.Store)
	}
	if err := demo.Treasury(ctx, api); err != nil {
		return fmt.Errorf("the demo's payouts: %w", err)
	}
	if err := printReports(ctx, g, app, reports.Options{Marketplace: demo.Marketplace}, "trial-balance", "held-funds"); err != nil {
		return err
	}
	if err := c.invite(ctx, g, app, session, api); err != nil {
		return err
	}
	speak()
	return app.Wait(ctx)
}

func (c *demoCmd) play(ctx context.Context, g *Globals, api *client.Client) error {
	for _, p := range demo.Policies() {
		if _, err := api.AddPolicy(ctx, p); err != nil {
			return fmt.Errorf("policy %s: %w", p.Name, err)
		}
	}
	tell, stop := playProgress(g, "playing the demo")
	began := time.Now()
	sum, err := replay.Drive(ctx, api, demo.Stories(c.Orders), replay.Options{Until: demo.End, Progress: tell})
	stop(err)
	if err != nil {
		return err
	}
	return printPlayed(g.Stdout, sum, time.Since(began))
}

// invite says what there is to try.
func (c *demoCmd) invite(ctx context.Context, g *Globals, app *App, session *replay.Session, api *client.Client) error {
	example := "/v1/orders?limit=3"
	disputed, err := api.Orders(ctx, client.OrderFilter{State: string(order.Disputed), Limit: 100})
	if err != nil {
		return err
	}
	for _, o := range disputed.Orders {
		if o.Held == 0 { // it is about what was released
			continue
		}
		example = "/v1/orders/" + o.ID
		break
	}
	store, where := "--data "+c.Data, c.Data
	if c.DatabaseURL != "" {
		store, where = "", app.Store.String()
	}
	var b strings.Builder
	line := func(what, is string) { fmt.Fprintf(&b, "%-10s %s\n", what, is) }
	line("API", app.URL+"  (described in "+app.URL+"/openapi.json)")
	line("key", session.Key+"  (of marketplace "+demo.Marketplace+", until this demo ends)")
	line("why held", fmt.Sprintf("curl -s -H 'Authorization: Bearer %s' %s%s", session.Key, app.URL, example))
	if app.MetricsURL != "" {
		line("metrics", app.MetricsURL+"/metrics")
	}
	line("orders", strings.TrimSpace("escrowd order list --state disputed "+store))
	line("payouts", strings.TrimSpace("escrowd entry list "+demo.Marketplace+" "+store))
	line("books", strings.TrimSpace("escrowd report trial-balance --as-of 2026-02-15T00:00:00Z "+store))
	line("data", where)
	fmt.Fprintln(&b, "\nServing until ^C; the next run finds this data.")
	_, err = fmt.Fprint(g.Stdout, b.String())
	return err
}
