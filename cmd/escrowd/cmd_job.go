package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/ledger/mirror"
	"escrowd/settlement/jobs"
	"escrowd/settlement/jobs/books"
	"escrowd/settlement/posting"
)

type jobCmd struct {
	List jobListCmd `cmd:"" help:"List the jobs: what each does, when, and how its latest run went."`
	Run  jobRunCmd  `cmd:"" help:"Run a job now, once, until nothing is left for it to do."`
}

type jobListCmd struct {
	StoreFlags `embed:""`
	Format     string `enum:"table,json" default:"table" help:"Form of the output: ${enum}."`
}

func (jobListCmd) Help() string {
	return `A server runs the jobs by their schedules; of several servers on one database the leader does. Schedules and times are UTC; a schedule of six fields begins with seconds.

A run that found nothing to do is kept only if it was the first within its hour.`
}

// listedJob is a job and its latest run, as --format json shows it.
type listedJob struct {
	Job      string    `json:"job"`
	Schedule string    `json:"schedule"`
	What     string    `json:"what"`
	Next     time.Time `json:"next"`
	Latest   *pastRun  `json:"latest"` // null: it never ran
}

type pastRun struct {
	Due      time.Time       `json:"due"`
	Started  time.Time       `json:"started"`
	Finished *time.Time      `json:"finished"` // null: it goes on, or its process died
	Items    int64           `json:"items"`
	Failed   int64           `json:"failed"`
	Error    string          `json:"error,omitempty"`
	Detail   json.RawMessage `json:"detail,omitempty"`
}

// Run prints the jobs.
func (c *jobListCmd) Run(ctx context.Context, g *Globals) (err error) {
	s, err := c.Open(ctx, g, ReadStore)
	if err != nil {
		return err
	}
	defer closeInto(s, &err)
	mirrored, err := mirror.Claimed(ctx, s.DB)
	if err != nil {
		return err
	}
	j, err := jobs.New(s.DB, nil, nil, jobs.Options{Mirror: mirrored}) // to be asked, not to be run
	if err != nil {
		return err
	}
	latest, err := j.Latest(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	list := []listedJob{}
	for _, job := range j.List() {
		l := listedJob{Job: job.Name, Schedule: job.Schedule, What: job.What, Next: job.Next(now)}
		if p, ok := latest[job.Name]; ok {
			l.Latest = &pastRun{p.Due, p.Started, p.Finished, p.Items, p.Failed, p.Error, p.Detail}
		}
		list = append(list, l)
	}
	if c.Format == "json" {
		return printJSON(g, list)
	}
	rows := [][]string{{"job", "schedule", "latest run", "items", "failed", "result", "what it does"}}
	for _, l := range list {
		row := []string{l.Job, l.Schedule, "never", "", "", ""}
		if p := l.Latest; p != nil {
			row = []string{l.Job, l.Schedule, p.Started.Format(time.DateTime), strconv.FormatInt(p.Items, 10), strconv.FormatInt(p.Failed, 10), p.result()}
		}
		rows = append(rows, append(row, l.What))
	}
	return printTable(g.Stdout, rows)
}

// result is a run's end in a few words; --format json has all of them.
func (p *pastRun) result() string {
	const enough = 60
	switch {
	case p.Error != "":
		if s := []rune(oneLine(errors.New(p.Error))); len(s) > enough {
			return string(s[:enough]) + "..."
		}
		return oneLine(errors.New(p.Error))
	case p.Finished == nil:
		return "not finished"
	}
	return "ok, " + p.Finished.Sub(p.Started).Round(time.Millisecond).String()
}

type jobRunCmd struct {
	StoreFlags  `embed:""`
	EngineFlags `embed:""`
	DryRun      bool   `help:"Say what there is to do, with the first few orders, and do nothing."`
	Format      string `enum:"table,json" default:"table" help:"Form of the output: ${enum}. JSON has amounts as integers of minor units."`
	Name        string `arg:"" name:"name" help:"The job; see 'escrowd job list'."`
}

func (jobRunCmd) Help() string {
	return `It may run beside a server, and beside itself: an event is booked once whoever books it. Deadlines fire up to each marketplace's own clock, and take effect at the deadline. An order that cannot be moved is shown and passed by.

Exits 1 if an order could not be moved, if check-books finds that the books do not balance, or mirror that the copy is not the ledger.

    escrowd job run auto-release --dry-run
    escrowd job run check-books --format json`
}

// ranJob is a run as --format json shows it.
type ranJob struct {
	Job     string      `json:"job"`
	DryRun  bool        `json:"dry_run"`
	Items   int64       `json:"items"`
	Failed  int64       `json:"failed"`
	Seconds float64     `json:"seconds"`
	Error   string      `json:"error,omitempty"`
	Detail  jobs.Detail `json:"detail"`
}

// Run runs the job and prints what it did.
func (c *jobRunCmd) Run(ctx context.Context, g *Globals) (err error) {
	s, err := c.StoreFlags.Open(ctx, g, JoinStore)
	if err != nil {
		return err
	}
	defer closeInto(s, &err)
	engine, err := c.EngineFlags.open(ctx, s)
	if err != nil {
		return fmt.Errorf("open the ledger: %w", err)
	}
	defer closeInto(engine, &err)
	if err := sameBooks(ctx, s, engine); err != nil {
		return err
	}
	poster := posting.New(s.DB, engine, posting.Options{Logger: g.Log})
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, poster.Close(end))
	}()
	j, err := jobs.New(s.DB, engine, poster, jobs.Options{Logger: g.Log, Mirror: c.EngineFlags.mirrored()})
	if err != nil {
		return err
	}
	job, err := j.Job(c.Name)
	if err != nil {
		var names []string
		for _, job := range j.List() {
			names = append(names, job.Name)
		}
		return usageError("%w; there are %s", err, strings.Join(names, ", "))
	}

	// A signal lets the batch end: what is decided is then recorded as well.
	unhook := context.AfterFunc(ctx, func() { _ = j.Stop(context.Background()) })
	defer unhook()
	begun := time.Now()
	told := begun
	res, runErr := job.RunOnce(context.WithoutCancel(ctx), jobs.Run{DryRun: c.DryRun, Progress: func(r jobs.Result) {
		if time.Since(told) > 2*time.Second {
			told = time.Now()
			g.Log.Info("running", "job", job.Name, "items", r.Items, "failed", r.Failed)
		}
	}})
	if err := c.print(g, job, res, time.Since(begun), runErr); err != nil {
		return errors.Join(runErr, err)
	}
	if _, ok := errors.AsType[*books.Unbalanced](runErr); ok || jobs.CopyIsWrong(runErr) {
		return checkFailed("%w", runErr)
	}
	if errors.Is(runErr, jobs.ErrStopped) && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), runErr)
	}
	if runErr == nil && res.Failed > 0 {
		return checkFailed("%s: %d could not be moved", job.Name, res.Failed)
	}
	return runErr
}

func (c *jobRunCmd) print(g *Globals, job *jobs.Job, res jobs.Result, took time.Duration, runErr error) error {
	if c.Format == "json" {
		ran := ranJob{Job: job.Name, DryRun: c.DryRun, Items: res.Items, Failed: res.Failed, Seconds: took.Seconds(), Detail: res.Detail}
		if runErr != nil {
			ran.Error = runErr.Error()
		}
		return printJSON(g, ran)
	}
	if b := res.Detail.Books; b != nil {
		return printBooks(g, b)
	}
	if job.Name == jobs.Mirror && runErr == nil {
		_, err := fmt.Fprintf(g.Stdout, "the copy is the ledger: %d transfers copied, %d accounts compared, %s\n", res.Items, res.Detail.Compared,
			took.Round(time.Millisecond))
		return err
	}
	verb := "done"
	if c.DryRun {
		verb = "to do"
	}
	if _, err := fmt.Fprintf(g.Stdout, "%s: %d %s, %d failed, %d moved on by others, %s\n", job.Name, res.Items, verb, res.Failed,
		res.Detail.MovedOn, took.Round(time.Millisecond)); err != nil {
		return err
	}
	for _, f := range res.Detail.Failures {
		what := ""
		if f.Order != "" {
			what = "order " + f.Order + ": "
		}
		if _, err := fmt.Fprintf(g.Stdout, "  failed: %s%s\n", what, f.Reason); err != nil {
			return err
		}
	}
	if len(res.Detail.First) == 0 {
		return nil
	}
	rows := [][]string{{"order", "reference", "state", "held", "deadline", "event"}}
	for _, item := range res.Detail.First {
		held := strconv.FormatInt(item.Held, 10)
		if cur, ok := chart.ByCode(item.Currency); ok {
			held = cur.Format(ledger.U64(uint64(item.Held)))
		}
		rows = append(rows, []string{item.Order, item.Reference, string(item.State), held + " " + item.Currency,
			item.Due.Format(time.RFC3339), string(item.Event)})
	}
	return printTable(g.Stdout, rows)
}

// printBooks prints what a check of the books found.
func printBooks(g *Globals, b *books.Report) error {
	verdict := "the books balance"
	switch {
	case b.Differences > 0:
		verdict = fmt.Sprintf("the books do not balance: %d differences", b.Differences)
	case !b.Balanced:
		verdict = "the check is not complete"
	}
	if _, err := fmt.Fprintf(g.Stdout, "%s: %d orders with money, %d accounts\n", verdict, b.Orders, b.Accounts); err != nil {
		return err
	}
	for _, d := range b.Listed {
		if _, err := fmt.Fprintf(g.Stdout, "  %s\n", d); err != nil {
			return err
		}
	}
	if len(b.Ledgers) == 0 {
		return nil
	}
	rows := [][]string{{"ledger", "accounts", "debits", "credits", "held by orders", "in escrow accounts"}}
	for _, t := range b.Ledgers {
		format := ledger.Amount.String
		name := strconv.FormatUint(uint64(t.Ledger), 10)
		if _, cur, ok := chart.SplitLedger(t.Ledger); ok {
			format, name = cur.Format, name+" "+cur.Code
		}
		escrow := format(t.Escrow)
		if !t.Compared {
			// Under load there is no one moment; each order was compared.
			escrow += " (a moment earlier)"
		}
		rows = append(rows, []string{name, strconv.FormatInt(t.Accounts, 10), format(t.DebitsPosted), format(t.CreditsPosted),
			format(t.Held), escrow})
	}
	return printTable(g.Stdout, rows)
}

// printJSON prints v for programs, and so that people can read it too.
func printJSON(g *Globals, v any) error {
	enc := json.NewEncoder(g.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
