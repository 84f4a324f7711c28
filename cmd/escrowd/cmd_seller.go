package main

import (
	"context"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/reports/render"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/people"
	"escrowd/settlement/peopledb"
)

type sellerCmd struct {
	Admit      sellerAdmitCmd      `cmd:"" help:"Mark a seller as eligible for escrow."`
	Bar        sellerBarCmd        `cmd:"" help:"Mark a seller as not eligible: no new orders are agreed with it."`
	Show       sellerShowCmd       `cmd:"" help:"Say whether a seller is eligible now, and why; and the tier and jurisdiction that are kept of it."`
	Marks      sellerMarksCmd      `cmd:"" help:"List the marks of sellers, those that no longer count too."`
	Record     sellerRecordCmd     `cmd:"" help:"Keep a seller's tier and jurisdiction, for agreements that do not name them."`
	Records    sellerRecordsCmd    `cmd:"" help:"List what was kept of sellers, what no longer counts too."`
	Feedback   sellerFeedbackCmd   `cmd:"" help:"List what was said of a seller, or of a buyer, in all orders."`
	OnlyListed sellerOnlyListedCmd `cmd:"" help:"Let in only sellers who are marked as eligible, or all who are not barred."`
}

const sellerHelp = `Orders that are agreed go on. A mark that bars counts whatever other marks say. A marketplace's first mark counts within five seconds in every server, further ones at once.`

// sellerFlags name a seller of a marketplace.
type sellerFlags struct {
	marketFlags `embed:""`
	Seller      string `arg:"" help:"The seller's id."`
	Category    string `placeholder:"WORD" help:"Only for orders of this category."`
}

// markFlags are what a mark says beside whether.
type markFlags struct {
	sellerFlags `embed:""`
	Reason      string    `required:"" placeholder:"TEXT" help:"Why; kept with the mark."`
	Since       time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"T" help:"For agreements that take effect then or later (RFC 3339). Default: the marketplace's now."`
}

func (c markFlags) mark(ctx context.Context, g *Globals, eligible bool) error {
	return c.withMarket(ctx, g, JoinStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		mark := people.Mark{Seller: c.Seller, Category: c.Category, Eligible: eligible, Reason: c.Reason, Since: c.Since}
		if mark.Since.IsZero() {
			mark.Since, _ = m.At(time.Now())
		}
		mark, _, err := peopledb.New(store).Mark(ctx, m.ID, mark, peopledb.Key{})
		if err != nil {
			return refusalAsUsage(err)
		}
		_, err = fmt.Fprintf(g.Stdout, "mark %d of marketplace %s: %s %s since %s\n",
			mark.Position, m.Name, render.Printable(mark.Seller), markWord(eligible), stamp(mark.Since))
		return err
	})
}

func markWord(eligible bool) string {
	if eligible {
		return "eligible"
	}
	return "not eligible"
}

type sellerAdmitCmd struct {
	markFlags `embed:""`
}

func (sellerAdmitCmd) Help() string {
	return sellerHelp + `

    escrowd seller admit acme seller-3 --category furniture --reason "papers checked"`
}

// Run makes the mark.
func (c *sellerAdmitCmd) Run(ctx context.Context, g *Globals) error { return c.mark(ctx, g, true) }

type sellerBarCmd struct {
	markFlags `embed:""`
}

func (sellerBarCmd) Help() string {
	return sellerHelp + `

    escrowd seller bar acme seller-3 --reason "papers expired"`
}

// Run makes the mark.
func (c *sellerBarCmd) Run(ctx context.Context, g *Globals) error { return c.mark(ctx, g, false) }

type sellerShowCmd struct {
	sellerFlags `embed:""`
}

// Run says how the seller stands.
func (c *sellerShowCmd) Run(ctx context.Context, g *Globals) error {
	return c.withMarket(ctx, g, ReadStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		now, _ := m.At(time.Now())
		s, err := store.Standing(ctx, orderdb.SellerAsk{Marketplace: m.ID, Seller: c.Seller, Category: c.Category, At: now})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(g.Stdout, "%s: %s\n", markWord(s.Eligible()), s.Why()); err != nil {
			return err
		}
		_, err = fmt.Fprintf(g.Stdout, "tier %s, jurisdiction %s\n", orNone(s.Tier), orNone(s.Jurisdiction))
		return err
	})
}

func orNone(word string) string {
	if word == "" {
		return "none"
	}
	return word
}

type sellerRecordCmd struct {
	marketFlags  `embed:""`
	Seller       string    `arg:"" help:"The seller's id."`
	Tier         string    `placeholder:"WORD" help:"The seller's tier; without this none."`
	Jurisdiction string    `placeholder:"CODE" help:"Where the seller is, like DE or US-CA; without this none."`
	Reason       string    `required:"" placeholder:"TEXT" help:"Why; kept with the record."`
	Since        time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"T" help:"For agreements that take effect then or later (RFC 3339). Default: the marketplace's now."`
}

func (sellerRecordCmd) Help() string {
	return `Agreements and quotes that name no tier, or no jurisdiction, take these; one that names them keeps its own. Orders that are agreed keep theirs. A record takes the place of the one before, all of it, which stays readable. The first one of a marketplace counts within five seconds in every server, further ones at once.

    escrowd seller record acme seller-3 --tier gold --jurisdiction DE --reason "a hundred orders without a dispute"`
}

// Run keeps it.
func (c *sellerRecordCmd) Run(ctx context.Context, g *Globals) error {
	return c.withMarket(ctx, g, JoinStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		t := people.Terms{Seller: c.Seller, Tier: c.Tier, Jurisdiction: c.Jurisdiction, Reason: c.Reason, Since: c.Since}
		if t.Since.IsZero() {
			t.Since, _ = m.At(time.Now())
		}
		t, _, err := peopledb.New(store).SetTerms(ctx, m.ID, t, peopledb.Key{})
		if err != nil {
			return refusalAsUsage(err)
		}
		_, err = fmt.Fprintf(g.Stdout, "record %d of marketplace %s: %s has tier %s, jurisdiction %s since %s\n",
			t.Position, m.Name, render.Printable(t.Seller), orNone(t.Tier), orNone(t.Jurisdiction), stamp(t.Since))
		return err
	})
}

type sellerRecordsCmd struct {
	marketFlags `embed:""`
	Seller      string `arg:"" optional:"" help:"Only this seller's."`
	After       int64  `placeholder:"POSITION" help:"Only records after this one: the last of the page before."`
	Limit       int    `default:"100" help:"At most so many."`
}

// Run lists the records.
func (c *sellerRecordsCmd) Run(ctx context.Context, g *Globals) error {
	if c.Limit < 1 {
		return usageError("--limit: %d is below 1", c.Limit)
	}
	return c.withMarket(ctx, g, ReadStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		list, err := peopledb.New(store).Terms(ctx, m.ID, c.Seller, c.After, c.Limit)
		if err != nil {
			return err
		}
		rows := [][]string{{"position", "seller", "tier", "jurisdiction", "since", "reason"}}
		for _, t := range list {
			rows = append(rows, []string{fmt.Sprint(t.Position), render.Printable(t.Seller), orNone(t.Tier), orNone(t.Jurisdiction),
				stamp(t.Since), render.Printable(t.Reason)})
		}
		return printTable(g.Stdout, rows)
	})
}

type sellerMarksCmd struct {
	marketFlags `embed:""`
	Seller      string `arg:"" optional:"" help:"Only this seller's."`
	After       int64  `placeholder:"POSITION" help:"Only marks after this one: the last of the page before."`
	Limit       int    `default:"100" help:"At most so many."`
}

// Run lists the marks.
func (c *sellerMarksCmd) Run(ctx context.Context, g *Globals) error {
	if c.Limit < 1 {
		return usageError("--limit: %d is below 1", c.Limit)
	}
	return c.withMarket(ctx, g, ReadStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		marks, err := peopledb.New(store).Marks(ctx, m.ID, c.Seller, c.After, c.Limit)
		if err != nil {
			return err
		}
		rows := [][]string{{"position", "seller", "category", "marked", "since", "reason"}}
		for _, k := range marks {
			category := k.Category
			if category == "" {
				category = "-"
			}
			rows = append(rows, []string{fmt.Sprint(k.Position), render.Printable(k.Seller), category, markWord(k.Eligible),
				stamp(k.Since), render.Printable(k.Reason)})
		}
		return printTable(g.Stdout, rows)
	})
}

type sellerFeedbackCmd struct {
	marketFlags `embed:""`
	About       string `arg:"" help:"The id of the seller or the buyer who was rated."`
	After       string `placeholder:"ID" help:"Only feedback after this: what the page before ends with."`
	Limit       int    `default:"100" help:"At most so many."`
}

func (sellerFeedbackCmd) Help() string {
	return `In the order in which it was given; of each the version that counts. 'escrowd order feedback list' has all versions, and the replies.

    escrowd seller feedback acme seller-3`
}

// Run lists the feedback.
func (c *sellerFeedbackCmd) Run(ctx context.Context, g *Globals) error {
	var after ledger.ID
	if c.After != "" {
		var err error
		if after, err = ledger.ParseUUID(c.After); err != nil {
			return usageError("--after: not what a page ended with")
		}
	}
	if c.Limit < 1 {
		return usageError("--limit: %d is below 1", c.Limit)
	}
	return c.withMarket(ctx, g, ReadStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		list, last, err := peopledb.New(store).About(ctx, m.ID, c.About, after, c.Limit)
		if err != nil {
			return err
		}
		rows := [][]string{{"order", "by", "rating", "said", "text"}}
		for i := range list {
			f := &list[i]
			now := f.Current()
			rows = append(rows, []string{f.Order.UUID(), string(f.Author), fmt.Sprint(now.Rating), stamp(now.At), render.Printable(now.Text)})
		}
		if err := printTable(g.Stdout, rows); err != nil || len(list) < c.Limit {
			return err
		}
		_, err = fmt.Fprintf(g.Stdout, "\nmore: --after %s\n", last.UUID())
		return err
	})
}

type sellerOnlyListedCmd struct {
	marketFlags `embed:""`
	Switch      string `arg:"" enum:"on,off" help:"${enum}. Counts within five seconds."`
}

// Run sets whom the marketplace lets in.
func (c *sellerOnlyListedCmd) Run(ctx context.Context, g *Globals) error {
	return c.withMarket(ctx, g, JoinStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		m, err := store.SetOnlyListed(ctx, m.ID, c.Switch == "on")
		if err != nil {
			return err
		}
		who := "all sellers who are not barred"
		if m.OnlyListed {
			who = "only sellers who are marked as eligible"
		}
		_, err = fmt.Fprintf(g.Stdout, "marketplace %s lets in %s\n", m.Name, who)
		return err
	})
}
