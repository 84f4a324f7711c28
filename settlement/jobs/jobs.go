package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"

	"escrowd/ledger"
	"escrowd/settlement/jobs/books"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// The jobs' names, in the order in which a new leader runs them.
const (
	Redrive         = "redrive"
	ExpireUnpaid    = "expire-unpaid"
	CancelUnshipped = "cancel-unshipped"
	AutoRelease     = "auto-release"
	MoveDisputes    = "move-disputes"
	Mature          = "mature"
	PayOut          = "pay-out"
	ExpireProposals = "expire-proposals"
	ClosePages      = "close-pages"
	CheckBooks      = "check-books"
	Mirror          = "mirror"
)

// Poster is what the jobs need of the write path; *posting.Poster is one.
type Poster interface {
	DoAll(ctx context.Context, requests []posting.Request) []posting.Answer
	Redrive(ctx context.Context, lease time.Duration, limit int) (found int, err error)
}

// Options of Jobs; the zero value is usable.
type Options struct {
	Logger     *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: no metrics
	Clock      func() time.Time      // the machine's clock; nil: time.Now

	// Batch is how many orders are read and handed to the write path at once;
	// a run has three such batches under way. 0 means 2000, the write path's
	// own.
	Batch int
	// Lease is how old an intent without an outcome has to be for redrive to
	// take it up. 0 means 10 seconds.
	Lease time.Duration
	// Page is how many transfers close-pages adds up to a page. 0 means
	// pages.Size.
	Page int
	// Mirror: the ledger is outside of this database, and the job mirror copies
	// it into the journal there. The journal must be claimed for it.
	Mirror bool
	// Election is how often a follower tries to become the leader and the
	// leader asks whether it still is. 0 means 2 seconds.
	Election time.Duration
	// Schedules overrides schedules by job name: five or six fields (the
	// first of six is seconds) or a descriptor such as @hourly, in UTC.
	Schedules map[string]string
}

// Job is one of the jobs.
type Job struct {
	Name     string
	Schedule string // a cron expression in UTC; the first of six fields is seconds
	What     string // what it does, in words

	schedule cron.Schedule
	everyRow bool // keeps a row of every run
	fewRows  bool // of its scheduled runs keeps those whose outcome is news, and one an hour
	body     func(ctx context.Context, r *running) error
	of       *Jobs
}

// Jobs are all jobs of one database. Make one per process; it is safe for
// concurrent use.
type Jobs struct {
	store  *orderdb.Store
	db     *sqlx.DB
	reader ledger.Reader
	poster Poster
	opts   Options
	log    *slog.Logger
	now    func() time.Time
	m      *metrics
	jobs   []*Job
	books  books.Options
	poison poison

	// stopping is closed by Stop: runs end after the batch they are at.
	stopping chan struct{}
	stopOnce sync.Once
	mu       sync.Mutex
	cancel   context.CancelFunc // of the election's context; nil before Start
	stopped  chan struct{}      // closed when the election has ended
	hook     func(event, job string)
}

var (
	// ErrStopped ends a run early, between two batches, because of Stop.
	ErrStopped = errors.New("stopped before its end; the next run does the rest")
	// ErrNoJob: there is no job of that name.
	ErrNoJob = errors.New("no such job")
)

// New prepares the jobs on a migrated database. The error says which schedule
// cannot be read. The scheduler keeps one connection of the pool for itself
// while it leads.
func New(db *sqlx.DB, reader ledger.Reader, poster Poster, opts Options) (*Jobs, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.Batch <= 0 {
		opts.Batch = 2000
	}
	if opts.Lease <= 0 {
		opts.Lease = 10 * time.Second
	}
	if opts.Election <= 0 {
		opts.Election = 2 * time.Second
	}
	j := &Jobs{
		store: orderdb.New(db), db: db, reader: reader, poster: poster, opts: opts,
		log:      opts.Logger.With("component", "jobs"),
		now:      func() time.Time { return opts.Clock().UTC().Truncate(time.Microsecond) },
		stopping: make(chan struct{}),
	}
	j.jobs = []*Job{
		{Name: Redrive, Schedule: "*/10 * * * * *", body: j.redrive,
			What: "gives what a crash left unfinished to the ledger again"},
		j.deadlineJob(ExpireUnpaid, "expires orders that nobody paid, or whose authorised payment nobody captured, in time"),
		j.deadlineJob(CancelUnshipped, "cancels paid orders that nobody shipped in time and refunds the buyer"),
		j.deadlineJob(AutoRelease, "releases to the seller what the buyer neither confirmed nor disputed in time"),
		j.deadlineJob(MoveDisputes, "moves disputes on whose step passed: grants, escalates or drops the claim, carries rulings out; chargebacks that nobody answered are lost"),
		j.deadlineJob(Mature, "makes released money available to the seller when it matures, and the reserve when its time is over"),
		{Name: PayOut, Schedule: "30 * * * *", body: j.payOut,
			What: "pays out what sellers have available, by their schedules, after what they owe"},
		{Name: ExpireProposals, Schedule: "* * * * *", body: j.expireProposals,
			What: "ends proposals that nobody approved in time"},
		{Name: ClosePages, Schedule: "*/15 * * * * *", body: j.closePages, fewRows: true,
			What: "adds up the pages of the journal that are full, so that reports need not"},
		{Name: CheckBooks, Schedule: "7 * * * *", body: j.checkBooks, everyRow: true,
			What: "compares the order store with the ledger, and debits with credits"},
	}
	if opts.Mirror {
		j.jobs = append(j.jobs, &Job{Name: Mirror, Schedule: "*/2 * * * * *", body: j.mirror, fewRows: true,
			What: "copies the ledger to where reports read it, and compares what moved; by hand, all accounts"})
	}
	for _, job := range j.jobs {
		job.of = j
		if s, ok := opts.Schedules[job.Name]; ok {
			job.Schedule = s
		}
		var err error
		if job.schedule, err = schedules.Parse(job.Schedule); err != nil {
			return nil, fmt.Errorf("schedule of %s: %w", job.Name, err)
		}
	}
	for name := range opts.Schedules {
		if _, err := j.Job(name); err != nil {
			return nil, fmt.Errorf("schedule: %w", err)
		}
	}
	j.m = newMetrics(opts.Registerer, j)
	return j, nil
}

// schedules reads a cron expression of five fields, or six with seconds.
var schedules = cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// List is every job, in the order in which a new leader runs them.
func (j *Jobs) List() []*Job { return append([]*Job(nil), j.jobs...) }

// Job is the one of that name, or ErrNoJob.
func (j *Jobs) Job(name string) (*Job, error) {
	for _, job := range j.jobs {
		if job.Name == name {
			return job, nil
		}
	}
	return nil, fmt.Errorf("%q: %w", name, ErrNoJob)
}

// Next is when the schedule runs the job next after t, UTC.
func (job *Job) Next(t time.Time) time.Time { return job.schedule.Next(t.UTC()) }

// RunOnce does the job once, by hand: until nothing is left to do, now. The
// error says why the run ended early, or, of check-books, that the books do
// not balance; the result says what was done until then. Orders that failed
// are in the result and make no error.
func (job *Job) RunOnce(ctx context.Context, r Run) (Result, error) {
	return job.of.run(ctx, job, r, byHand)
}

// Fire does what is due in one marketplace up to the moment that its clock
// lets deadlines fire, until nothing is: a release may mature within the same
// stretch of time. It answers how many events took place. Orders that fail are
// logged and counted as in any run. Each job that did something leaves a row.
func (j *Jobs) Fire(ctx context.Context, marketplace uint32) (int, error) {
	m, err := j.store.Marketplace(ctx, marketplace)
	if err != nil {
		return 0, fmt.Errorf("firing deadlines of marketplace %d: %w", marketplace, err)
	}
	_, until := m.At(j.now())
	var deadlines []*Job
	for _, job := range j.jobs {
		if len(deadlinesOf[job.Name]) > 0 {
			deadlines = append(deadlines, job)
		}
	}
	failed := map[orderdb.Due]bool{}
	total := 0
	for {
		var did int64
		for _, job := range deadlines {
			res, err := j.run(ctx, job, Run{Due: until, Marketplace: marketplace, failed: failed}, byClock)
			did += res.Items
			total += int(res.Items)
			if err != nil {
				return total, fmt.Errorf("%s: %w", job.Name, err)
			}
		}
		if did == 0 {
			return total, nil
		}
	}
}
