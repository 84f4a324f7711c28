package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"escrowd/cmd/escrowd/localpg"
	"escrowd/settlement/orderdb"
)

type marketplaceCmd struct {
	Create marketplaceCreateCmd `cmd:"" help:"Make a marketplace, with the standard policy."`
	List   marketplaceListCmd   `cmd:"" help:"List the marketplaces and their clocks."`
	Set    marketplaceSetCmd    `cmd:"" help:"Change a marketplace's settings."`
}

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make an API key and print it, this once."`
	List   keyListCmd   `cmd:"" help:"List a marketplace's keys, revoked ones too; secrets are not kept."`
	Revoke keyRevokeCmd `cmd:"" help:"End a key. Servers refuse it within five seconds."`
}

type clockCmd struct {
	Show    clockShowCmd    `cmd:"" help:"Show a marketplace's clock."`
	Set     clockSetCmd     `cmd:"" help:"Set a test clock to a moment; it only moves forward."`
	Advance clockAdvanceCmd `cmd:"" help:"Move a test clock forward by a duration."`
}

// marketFlags name a marketplace in a store.
type marketFlags struct {
	StoreFlags  `embed:""`
	Marketplace string `arg:"" name:"marketplace" help:"The marketplace's name or number."`
}

// withMarket runs f on the marketplace that the flags name.
func (c marketFlags) withMarket(ctx context.Context, g *Globals, access Access,
	f func(*orderdb.Store, orderdb.Marketplace) error) (err error) {
	s, err := c.Open(ctx, g, access)
	if err != nil {
		return err
	}
	defer closeInto(s, &err)
	store := orderdb.New(s.DB)
	m, err := c.find(ctx, store)
	if err != nil {
		return err
	}
	return f(store, m)
}

// find is the marketplace.
func (c marketFlags) find(ctx context.Context, store *orderdb.Store) (orderdb.Marketplace, error) {
	m, err := store.MarketplaceByName(ctx, c.Marketplace)
	if errors.Is(err, orderdb.ErrNotFound) {
		if id, perr := strconv.ParseUint(c.Marketplace, 10, 32); perr == nil {
			m, err = store.Marketplace(ctx, uint32(id))
		}
	}
	if errors.Is(err, orderdb.ErrNotFound) {
		return m, usageError("there is no marketplace %q; 'escrowd marketplace list' shows them", c.Marketplace)
	}
	if err != nil {
		return m, fmt.Errorf("read marketplace %q: %w", c.Marketplace, err)
	}
	return m, nil
}

type marketplaceCreateCmd struct {
	StoreFlags `embed:""`
	TestClock  time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"T" help:"Give it a test clock that starts at T (RFC 3339) and moves when it is set. Without this its clock is live."`
	Name       string    `arg:"" help:"1 to 100 bytes."`
}

func (marketplaceCreateCmd) Help() string {
	return `Works beside a running server too. The data directory is made if it is not there yet.

    escrowd marketplace create acme
    escrowd marketplace create acme-test --test-clock 2026-01-01T00:00:00Z`
}

// Run makes the marketplace.
func (c *marketplaceCreateCmd) Run(ctx context.Context, g *Globals) (err error) {
	s, err := c.Open(ctx, g, JoinStore)
	if errors.Is(err, localpg.ErrNotDataDir) {
		s, err = c.Open(ctx, g, OwnStore)
	}
	if err != nil {
		return err
	}
	defer closeInto(s, &err)
	kind := orderdb.LiveClock
	if !c.TestClock.IsZero() {
		kind = orderdb.TestClock
	}
	m, err := orderdb.New(s.DB).CreateMarketplace(ctx, c.Name, kind, c.TestClock)
	if errors.Is(err, orderdb.ErrExists) {
		return usageError("%w", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(g.Stdout, "marketplace %d: %s\n", m.ID, m.Name)
	return err
}

type marketplaceListCmd struct {
	StoreFlags `embed:""`
}

// Run lists the marketplaces.
func (c *marketplaceListCmd) Run(ctx context.Context, g *Globals) (err error) {
	s, err := c.Open(ctx, g, ReadStore)
	if err != nil {
		return err
	}
	defer closeInto(s, &err)
	list, err := orderdb.New(s.DB).Marketplaces(ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"id", "name", "clock", "now", "deadlines fired to"}}
	for _, m := range list {
		now, deadlines := m.At(time.Now())
		rows = append(rows, []string{fmt.Sprint(m.ID), m.Name, string(m.Clock), stamp(now), stamp(deadlines)})
	}
	return printTable(g.Stdout, rows)
}

type marketplaceSetCmd struct {
	marketFlags      `embed:""`
	FourEyesPolicies string `enum:"on,off" required:"" help:"${enum}. on: a policy is proposed by one person and approved by another, by the command line and over the API; 'escrowd policy add' and POST /v1/policies are refused."`
}

func (marketplaceSetCmd) Help() string {
	return `    escrowd marketplace set acme --four-eyes-policies on
    escrowd policy propose acme shop.yaml --person eve`
}

// Run changes them.
func (c *marketplaceSetCmd) Run(ctx context.Context, g *Globals) error {
	return c.withMarket(ctx, g, JoinStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		m, err := store.SetFourEyesPolicies(ctx, m.ID, c.FourEyesPolicies == "on")
		if err != nil {
			return err
		}
		how := "are added by one person"
		if m.FourEyesPolicies {
			how = "are proposed by one person and approved by another"
		}
		_, err = fmt.Fprintf(g.Stdout, "marketplace %s: policies %s\n", m.Name, how)
		return err
	})
}

type keyCreateCmd struct {
	marketFlags `embed:""`
	Name        string `arg:"" help:"What the key is for, 1 to 100 bytes: it tells keys apart."`
}

func (keyCreateCmd) Help() string {
	return `Only the key goes to stdout. It is shown this once: the database keeps a hash.

    KEY=$(escrowd key create acme checkout)
    curl -H "Authorization: Bearer $KEY" http://127.0.0.1:8080/v1/whoami`
}

// Run makes the key.
func (c *keyCreateCmd) Run(ctx context.Context, g *Globals) error {
	return c.withMarket(ctx, g, JoinStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		plain, k, err := store.CreateKey(ctx, m.ID, c.Name)
		if err != nil {
			return err
		}
		fmt.Fprintf(g.Stderr, "key %d of marketplace %s; this is the only time it is shown\n", k.ID, m.Name)
		_, err = fmt.Fprintln(g.Stdout, plain)
		return err
	})
}

type keyListCmd struct {
	marketFlags `embed:""`
}

// Run lists the keys.
func (c *keyListCmd) Run(ctx context.Context, g *Globals) error {
	return c.withMarket(ctx, g, ReadStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		keys, err := store.Keys(ctx, m.ID)
		if err != nil {
			return err
		}
		rows := [][]string{{"id", "name", "key", "created", "revoked"}}
		for _, k := range keys {
			revoked := "-"
			if k.RevokedAt != nil {
				revoked = stamp(*k.RevokedAt)
			}
			rows = append(rows, []string{fmt.Sprint(k.ID), k.Name, k.Prefix + "...", stamp(k.CreatedAt), revoked})
		}
		return printTable(g.Stdout, rows)
	})
}

type keyRevokeCmd struct {
	marketFlags `embed:""`
	ID          int32 `arg:"" help:"The key's number; see 'escrowd key list'."`
}

// Run ends the key; ending it twice changes nothing.
func (c *keyRevokeCmd) Run(ctx context.Context, g *Globals) error {
	return c.withMarket(ctx, g, JoinStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		err := store.RevokeKey(ctx, m.ID, c.ID)
		if errors.Is(err, orderdb.ErrNotFound) {
			return usageError("marketplace %s has no key %d", m.Name, c.ID)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(g.Stdout, "key %d of marketplace %s is revoked\n", c.ID, m.Name)
		return err
	})
}

type clockShowCmd struct {
	marketFlags `embed:""`
}

// Run shows the clock.
func (c *clockShowCmd) Run(ctx context.Context, g *Globals) error {
	return c.withMarket(ctx, g, ReadStore, func(_ *orderdb.Store, m orderdb.Marketplace) error {
		return printClock(g.Stdout, m)
	})
}

func printClock(w io.Writer, m orderdb.Marketplace) error {
	now, deadlines := m.At(time.Now())
	_, err := fmt.Fprintf(w, "clock      %s\nnow        %s\ndeadlines  %s\n", m.Clock, stamp(now), stamp(deadlines))
	return err
}

const clockHelp = `Deadlines that pass are fired by a running server's jobs within seconds, or by 'escrowd job run'; over the API (POST /v1/clock) they are fired before the answer.`

type clockSetCmd struct {
	marketFlags   `embed:""`
	To            time.Time `arg:"" format:"2006-01-02T15:04:05Z07:00" help:"The new now, RFC 3339."`
	HoldDeadlines bool      `help:"Move now only: deadlines stay unfired until a later call without this."`
}

func (clockSetCmd) Help() string { return clockHelp }

// Run sets the clock.
func (c *clockSetCmd) Run(ctx context.Context, g *Globals) error {
	return c.move(ctx, g, func(orderdb.Marketplace) time.Time { return c.To }, c.HoldDeadlines)
}

type clockAdvanceCmd struct {
	marketFlags   `embed:""`
	By            time.Duration `arg:"" help:"How far, such as 36h or 90m."`
	HoldDeadlines bool          `help:"Move now only: deadlines stay unfired until a later call without this."`
}

func (clockAdvanceCmd) Help() string { return clockHelp }

// Run moves the clock.
func (c *clockAdvanceCmd) Run(ctx context.Context, g *Globals) error {
	if c.By < 0 {
		return usageError("a clock only moves forward: %s is negative", c.By)
	}
	return c.move(ctx, g, func(m orderdb.Marketplace) time.Time { return m.Now.Add(c.By) }, c.HoldDeadlines)
}

func (c marketFlags) move(ctx context.Context, g *Globals, to func(orderdb.Marketplace) time.Time, hold bool) error {
	return c.withMarket(ctx, g, JoinStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		if m.Clock == orderdb.LiveClock {
			return usageError("marketplace %s has a live clock, which cannot be set", m.Name)
		}
		now := to(m)
		deadlines := now
		if hold && m.Deadlines.Before(now) {
			deadlines = m.Deadlines
		}
		m, err := store.AdvanceClock(ctx, m.ID, now, deadlines)
		if err != nil {
			return err
		}
		return printClock(g.Stdout, m)
	})
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
