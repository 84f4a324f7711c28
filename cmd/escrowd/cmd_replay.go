package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"time"

	"escrowd/cmd/escrowd/replay"
	"escrowd/intake/client"
	"escrowd/reports"
	"escrowd/reports/render"
	"escrowd/settlement/order"
)

type replayCmd struct {
	Olist replayOlistCmd `cmd:"" help:"Replay the real orders of a directory in the form of Olist's public dataset."`
}

type replayOlistCmd struct {
	StoreFlags  `embed:""`
	EngineFlags `embed:""`
	Until       asOf   `placeholder:"TIME" help:"Stop at this moment, RFC 3339 with a zone. Default: when every order has ended."`
	Dir         string `arg:"" name:"dir" help:"Directory with orders.csv and order_items.csv."`
}

// olistMarketplace is the marketplace that real orders are replayed in.
const olistMarketplace = "olist"

func (replayOlistCmd) Help() string {
	return `Plays what happened to real orders into a marketplace "olist" under a test clock, through the HTTP API of a server in the same process: each order of the directory and each of its sellers is an escrow order that is agreed, paid, shipped and delivered when it really was. What nobody did, deadlines cause: release 7 days after the delivery, expiry of the unpaid after 30, cancellation of the unshipped. What never arrived is disputed and refunded. The fee is 10 % and 0.50, at most 100.00. Times are taken as UTC.

Both files are read and checked before anything is played. A replay that was stopped, or killed, goes on where it was; one that has ended changes nothing.

    escrowd replay olist ./olist --data /tmp/olist-books
    escrowd report trial-balance --data /tmp/olist-books --as-of 2017-07-01T00:00:00Z --effective`
}

// Run replays the directory and prints what came of it.
func (c *replayOlistCmd) Run(ctx context.Context, g *Globals) (err error) {
	stories, err := replay.OlistDir(c.Dir)
	if _, ok := errors.AsType[*replay.InputError](err); ok || errors.Is(err, fs.ErrNotExist) {
		return usageError("%w", err)
	}
	if err != nil {
		return err
	}
	q, _ := quiet(g) // or each bulk request would be a line
	// The clock is set over the API, which fires the deadlines.
	app, err := OpenApp(ctx, q, AppOptions{Store: c.StoreFlags, Engine: c.EngineFlags, Addr: "127.0.0.1:0", NoJobs: true})
	if err != nil {
		return err
	}
	defer closeInto(app, &err)
	first, _ := replay.Span(stories)
	session, err := replay.OpenSession(ctx, app.Orders, olistMarketplace, first.Truncate(24*time.Hour), "replay")
	if err != nil {
		return err
	}
	defer closeInto(session, &err)
	api := client.New(app.URL, session.Key, client.Options{})
	if _, err := api.AddPolicy(ctx, replay.OlistPolicy()); err != nil {
		return fmt.Errorf("policy %s: %w", replay.OlistPolicy().Name, err)
	}

	tell, stop := playProgress(g, "replaying")
	began := time.Now()
	sum, err := replay.Drive(ctx, api, stories, replay.Options{Until: time.Time(c.Until), Progress: tell})
	stop(err)
	if err != nil {
		return err
	}
	if err := printPlayed(g.Stdout, sum, time.Since(began)); err != nil {
		return err
	}
	return printReports(ctx, g, app, reports.Options{AsOf: time.Time(c.Until), Marketplace: olistMarketplace}, "trial-balance")
}

// printPlayed says what a run did and where the orders are now.
func printPlayed(w io.Writer, sum replay.Summary, took time.Duration) error {
	total := 0
	rows := [][]string{{"orders", "now"}}
	for _, s := range order.States {
		if n := sum.States[s]; n > 0 {
			rows = append(rows, []string{strconv.Itoa(n), string(s)})
			total += n
		}
	}
	if err := printTable(w, rows); err != nil {
		return err
	}
	what := "nothing was left to do"
	if sum.Sent+sum.Fired > 0 {
		what = fmt.Sprintf("%d events by people and %d by deadlines in %s", sum.Sent, sum.Fired, took.Round(time.Millisecond))
		if sum.Found == 0 {
			what += fmt.Sprintf(", %.0f orders/s", float64(total)/took.Seconds())
		} else {
			what += fmt.Sprintf("; an earlier run had done %d", sum.Found)
		}
	}
	_, err := fmt.Fprintf(w, "\n%d orders up to %s: %s.\n\n", total, sum.Clock.Now.Format(time.RFC3339), what)
	return err
}

// printReports prints reports on what an App keeps, as tables.
func printReports(ctx context.Context, g *Globals, app *App, o reports.Options, names ...string) error {
	o.Now = time.Now()
	for _, k := range reports.Kinds {
		for _, name := range names {
			if k.Name != name {
				continue
			}
			r, err := k.Run(ctx, reports.New(app.Store.DB), o, false)
			if err != nil {
				return err
			}
			if err := printSheet(g, render.Table, r); err != nil {
				return err
			}
			if _, err := fmt.Fprintln(g.Stdout); err != nil {
				return err
			}
		}
	}
	return nil
}
