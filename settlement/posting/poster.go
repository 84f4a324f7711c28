package posting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

// Options of a Poster; the zero value is usable.
type Options struct {
	Logger     *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: no metrics
	Clock      func() time.Time      // the machine's clock; nil: time.Now

	// MaxWait is how long a request waits to be decided at most before it is
	// answered ErrBusy. 0 means one second.
	MaxWait time.Duration
	// QueueMax is how many requests may wait, for the sake of memory; beyond
	// it they are answered ErrBusy. 0 means 32768.
	QueueMax int
	// BatchMax is how many requests one transaction decides at most. 0 means
	// 2000: with four legs each they still are one request to the ledger.
	BatchMax int
	// LedgerTimeout is how long one request to the ledger may take before it
	// is sent again. 0 means 30 seconds.
	LedgerTimeout time.Duration
}

// Poster is the write path. Make one per process; it is safe for concurrent
// use.
type Poster struct {
	store  *orderdb.Store
	engine ledger.Engine
	opts   Options
	log    *slog.Logger
	m      *metrics

	mu     sync.Mutex
	queue  []*task   // came in, not yet seen by the deciding stage
	since  time.Time // when the first of queue came that is not patient; zero for none
	first  time.Time // when the first came that found no room in the last batch; zero for none
	left   int       // how many the deciding stage has seen and not decided
	closed bool
	wake   chan struct{} // says that queue is no longer empty; holds one

	// The deciding stage's, which alone changes it, with seen held; others read
	// it with seen held.
	orders map[ledger.ID]*order.Order // as they stood last, see rememberOrders
	seen   sync.RWMutex

	readers chan *connection // for large callers' reading ahead

	submit   chan []*chain // decided, for the ledger stage
	results  chan []*chain // with their outcomes, for the recording stage
	recorded chan []*chain // for the deciding stage to let go of

	// Of the deciding stage alone:
	deciding connection
	pending  []*task               // seen, wait for their order or for a better moment
	inflight map[ledger.ID]int     // orders with a chain between decision and record
	chains   map[ledger.ID]bool    // those chains
	markets  map[uint32]liveMarket // with a live clock: they hardly change
	accounts map[orderdb.AccountName]ledger.ID
	careful  bool        // the last transaction found something taken
	redrive  atomic.Bool // a COMMIT's outcome is unknown: look for intents it may have left

	// Of the recording stage alone:
	recording connection

	// Of the ledger stage alone:
	known map[ledger.ID]struct{} // accounts that the ledger has

	ctx    context.Context // ends when Close gives up waiting
	cancel context.CancelFunc
	done   sync.WaitGroup
	idle   chan struct{} // closed when the deciding stage has drained after Close
}

// New starts a Poster. The caller closes it before the engine and the
// database.
func New(db *sqlx.DB, engine ledger.Engine, opts Options) *Poster {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.MaxWait <= 0 {
		opts.MaxWait = time.Second
	}
	if opts.QueueMax <= 0 {
		opts.QueueMax = 32768
	}
	if opts.BatchMax <= 0 {
		opts.BatchMax = 2000
	}
	if opts.LedgerTimeout <= 0 {
		opts.LedgerTimeout = 30 * time.Second
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Poster{
		store: orderdb.New(db), engine: engine, opts: opts,
		log:      opts.Logger.With("component", "posting"),
		wake:     make(chan struct{}, 1),
		readers:  make(chan *connection, 2),
		submit:   make(chan []*chain),
		results:  make(chan []*chain, 1),
		recorded: make(chan []*chain, 1),
		inflight: map[ledger.ID]int{},
		chains:   map[ledger.ID]bool{},
		orders:   map[ledger.ID]*order.Order{},
		markets:  map[uint32]liveMarket{},
		accounts: map[orderdb.AccountName]ledger.ID{},
		known:    map[ledger.ID]struct{}{},
		ctx:      ctx, cancel: cancel, idle: make(chan struct{}),
	}
	for range cap(p.readers) {
		p.readers <- &connection{}
	}
	p.m = newMetrics(opts.Registerer, p)
	p.done.Go(p.decideStage)
	p.done.Go(p.ledgerStage)
	p.done.Go(p.recordStage)
	return p
}

// A task's life as its caller sees it.
const (
	waiting   int32 = iota // nothing is decided; the caller may still leave
	decided                // the intent may be stored: its outcome will be known one day
	abandoned              // the caller left before anything was decided
)

// task is one request on its way through the stages.
type task struct {
	req     Request
	ctx     context.Context
	state   atomic.Int32
	answer  chan Answer  // holds one
	after   time.Time    // do not look at it again before; zero for at once
	careful bool         // read its orders and its key from the database, whatever was known
	newKey  bool         // its key was not used when it came
	open    []*chain     // set instead of req: intents to be driven again
	left    atomic.Int32 // of open, how many are not recorded yet
	began   time.Time
}

func (t *task) reply(a Answer) {
	select {
	case t.answer <- a:
	default:
	}
}

// Do carries one request out and waits for its outcome.
func (p *Poster) Do(ctx context.Context, req Request) (Result, error) {
	a := p.DoAll(ctx, []Request{req})[0]
	return a.Result, a.Err
}

// DoAll carries requests out, as many as share a batch at once, and answers
// by index. Requests about one order keep their order; otherwise they are
// independent of each other.
func (p *Poster) DoAll(ctx context.Context, reqs []Request) []Answer {
	answers := make([]Answer, len(reqs))
	tasks := make([]*task, 0, len(reqs))
	index := make([]int, 0, len(reqs))
	now := time.Now()
	for i := range reqs {
		if err := reqs[i].check(); err != nil {
			answers[i].Err = err
			continue
		}
		tasks = append(tasks, &task{req: reqs[i], ctx: ctx, answer: make(chan Answer, 1), began: now})
		index = append(index, i)
	}
	p.readAhead(ctx, tasks)
	late, enough := p.patience(tasks)
	defer enough()
	err := p.enter(tasks, now)
	for j, t := range tasks {
		a := Answer{Err: err}
		if err == nil {
			a = t.wait(late)
		}
		answers[index[j]] = a
		p.m.observe(a.Err, time.Since(t.began))
	}
	return answers
}

// wait is the task's answer, or why the caller stopped waiting for it. Once it
// is late the caller stops if nothing is decided.
func (t *task) wait(late <-chan struct{}) Answer {
	select {
	case a := <-t.answer:
		return a
	default:
	}
	for {
		select {
		case a := <-t.answer:
			return a
		case <-late:
			if t.state.CompareAndSwap(waiting, abandoned) {
				return Answer{Err: ErrBusy}
			}
			late = nil
		case <-t.ctx.Done():
			if t.state.CompareAndSwap(waiting, abandoned) {
				return Answer{Err: fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(t.ctx))}
			}
			select {
			case a := <-t.answer:
				return a
			default:
				return Answer{Err: fmt.Errorf("%w: %w", ErrUnknown, context.Cause(t.ctx))}
			}
		}
	}
}

func (p *Poster) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Redrive gives unfinished intents older than lease to the ledger again, with
// the same ids, and returns when their outcomes are recorded: how many it
// found. Whoever else may be driving them does no harm.
func (p *Poster) Redrive(ctx context.Context, lease time.Duration, limit int) (found int, err error) {
	intents, err := p.store.Open(ctx, lease, limit)
	if err != nil {
		return 0, fmt.Errorf("posting: unfinished intents: %w", err)
	}
	if len(intents) == 0 {
		return 0, p.store.CloseBatches(ctx, lease)
	}
	t := &task{ctx: ctx, open: chainsOf(intents), answer: make(chan Answer, 1), began: time.Now()}
	t.state.Store(decided)
	if err := p.enter([]*task{t}, t.began); err != nil {
		return 0, err
	}
	if err := t.wait(nil).Err; err != nil {
		return len(intents), err
	}
	return len(intents), p.store.CloseBatches(ctx, lease)
}

// Close takes no more requests and waits until every decided one is recorded,
// or until ctx ends: then the rest is left for a redrive.
func (p *Poster) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.poke()
	var err error
	select {
	case <-p.idle:
	case <-ctx.Done():
		err = fmt.Errorf("posting: closed with requests in flight, a redrive will finish them: %w", ctx.Err())
	}
	p.cancel()
	p.done.Wait()
	p.m.unregister()
	err = errors.Join(err, p.deciding.close(), p.recording.close())
	for range cap(p.readers) {
		c := <-p.readers
		err = errors.Join(err, c.close())
		p.readers <- c // for whoever closes it once more
	}
	return err
}
