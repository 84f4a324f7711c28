package posting

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// openIntents shows intents of all processes that have no outcome yet. It
// asks the database at a scrape, at most once in openFresh.
type openIntents struct {
	p      *Poster
	mu     sync.Mutex
	asked  time.Time
	open   int
	oldest time.Duration
	ok     bool
}

const (
	openFresh   = 5 * time.Second
	openTimeout = 2 * time.Second
)

var (
	openDesc   = prometheus.NewDesc("escrowd_intents_open_batches", "Batches of intents, of all processes, that wait for outcomes.", nil, nil)
	oldestDesc = prometheus.NewDesc("escrowd_intents_oldest_open_seconds", "Age of the oldest batch of intents that waits for outcomes; 0 without one.", nil, nil)
)

func (c *openIntents) Describe(ch chan<- *prometheus.Desc) {
	ch <- openDesc
	ch <- oldestDesc
}

func (c *openIntents) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.asked) > openFresh {
		ctx, cancel := context.WithTimeout(c.p.ctx, openTimeout)
		open, oldest, err := c.p.store.OpenBatches(ctx)
		cancel()
		c.asked, c.open, c.oldest, c.ok = time.Now(), open, oldest, err == nil
	}
	if !c.ok {
		return // no number is better than an old one
	}
	ch <- prometheus.MustNewConstMetric(openDesc, prometheus.GaugeValue, float64(c.open))
	ch <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, c.oldest.Seconds())
}
