package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/reports"
	"escrowd/reports/render"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/people"
	"escrowd/settlement/peopledb"
)

type orderNoteCmd struct {
	Add  orderNoteAddCmd  `cmd:"" help:"Note something on an order; a note stays as it is."`
	List orderNoteListCmd `cmd:"" help:"Print an order's notes, oldest first."`
}

type orderFeedbackCmd struct {
	List   orderFeedbackListCmd   `cmd:"" help:"Print what buyer and seller said of each other, every version."`
	Give   orderFeedbackGiveCmd   `cmd:"" help:"Rate the other party of an order that has ended."`
	Reply  orderFeedbackReplyCmd  `cmd:"" help:"Reply to the other party's feedback."`
	Revise orderFeedbackReviseCmd `cmd:"" help:"Revise a feedback that was replied to; the earlier version stays readable."`
}

// orderFlags name an order in a store.
type orderFlags struct {
	StoreFlags  `embed:""`
	Marketplace string `placeholder:"NAME|ID" help:"The order's marketplace. Needed only where several use the same reference."`
	Order       string `arg:"" name:"id-or-reference" help:"The order's id, or the marketplace's own reference."`
}

// aroundOrder is what a command needs to read and write around an order.
type aroundOrder struct {
	open   *Store
	books  *reports.Books
	store  *orderdb.Store
	people *peopledb.Store
	market orderdb.Marketplace
	id     ledger.ID
}

// now is the marketplace's.
func (a *aroundOrder) now() time.Time {
	now, _ := a.market.At(time.Now())
	return now
}

// withOrder runs f on the order that the flags name. A refusal is the caller's
// mistake.
func (c orderFlags) withOrder(ctx context.Context, g *Globals, access Access, f func(*aroundOrder) error) (err error) {
	s, err := c.Open(ctx, g, access)
	if err != nil {
		return err
	}
	defer closeInto(s, &err)
	store := orderdb.New(s.DB)
	a := &aroundOrder{open: s, books: reports.New(s.DB), store: store, people: peopledb.New(store)}
	in, id, err := a.books.FindOrder(ctx, c.Marketplace, c.Order)
	if err != nil {
		return asUsage(err)
	}
	a.id = id
	if a.market, err = store.Marketplace(ctx, in); err != nil {
		return fmt.Errorf("read marketplace %d: %w", in, err)
	}
	return refusalAsUsage(f(a))
}

// refusalAsUsage marks what the rules refuse.
func refusalAsUsage(err error) error {
	if refusal, ok := errors.AsType[*order.Refusal](err); ok {
		return usageError("%w", refusal)
	}
	return err
}

// peopleFormat is how a command prints what people said.
func peopleFormat(name string) render.Format {
	if name == "json" {
		return render.JSON
	}
	return render.Table
}

type orderNoteAddCmd struct {
	orderFlags `embed:""`
	Author     string `required:"" placeholder:"NAME" help:"Who writes it."`
	Text       string `arg:"" help:"What to note, 1 to 4000 characters."`
}

func (orderNoteAddCmd) Help() string {
	return `For support: buyers and sellers are not shown notes.

    escrowd order note add A-1001 "parcel is at the neighbour's" --author support-4`
}

// Run adds the note.
func (c *orderNoteAddCmd) Run(ctx context.Context, g *Globals) error {
	return c.withOrder(ctx, g, JoinStore, func(a *aroundOrder) error {
		n, _, err := a.people.AddNote(ctx, a.market.ID, a.id, c.Author, c.Text, a.now(), peopledb.Key{})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(g.Stdout, "note %d of order %s\n", n.Number, a.id.UUID())
		return err
	})
}

type orderNoteListCmd struct {
	orderFlags `embed:""`
	After      int64  `placeholder:"NUMBER" help:"Only notes after this one: the last of the page before."`
	Limit      int    `default:"100" help:"At most so many."`
	Format     string `enum:"text,json" default:"text" help:"Form of the output: ${enum}."`
}

// Run prints the notes.
func (c *orderNoteListCmd) Run(ctx context.Context, g *Globals) error {
	if c.Limit < 1 {
		return usageError("--limit: %d is below 1", c.Limit)
	}
	return c.withOrder(ctx, g, ReadStore, func(a *aroundOrder) error {
		list, err := a.people.Notes(ctx, a.id, c.After, c.Limit)
		if err != nil {
			return err
		}
		return render.Notes(g.Stdout, peopleFormat(c.Format), list)
	})
}

type orderFeedbackListCmd struct {
	orderFlags `embed:""`
	Format     string `enum:"text,json" default:"text" help:"Form of the output: ${enum}."`
}

// Run prints the feedback.
func (c *orderFeedbackListCmd) Run(ctx context.Context, g *Globals) error {
	return c.withOrder(ctx, g, ReadStore, func(a *aroundOrder) error {
		said, err := a.books.Feedback(ctx, a.id)
		if err != nil {
			return err
		}
		return render.Feedback(g.Stdout, peopleFormat(c.Format), said)
	})
}

// say says something of the order.
func (c orderFlags) say(ctx context.Context, g *Globals, what people.Command) error {
	return c.withOrder(ctx, g, JoinStore, func(a *aroundOrder) error {
		e, _, err := a.people.Say(ctx, a.market.ID, a.id, what, a.now(), peopledb.Key{})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(g.Stdout, "%s by the %s of order %s\n", e.Part, e.By(), a.id.UUID())
		return err
	})
}

type orderFeedbackGiveCmd struct {
	orderFlags `embed:""`
	By         string `enum:"buyer,seller" required:"" help:"Who rates the other party: ${enum}."`
	Rating     int64  `required:"" help:"From 1 to 5."`
	Text       string `arg:"" optional:"" help:"In words, up to 2000 characters."`
}

func (orderFeedbackGiveCmd) Help() string {
	return `Once for each party, within the policy's feedback_within of the order's end.

    escrowd order feedback give A-1001 "well packed, a day late" --by buyer --rating 4`
}

// Run gives the feedback.
func (c *orderFeedbackGiveCmd) Run(ctx context.Context, g *Globals) error {
	return c.say(ctx, g, people.Command{Part: people.Given, By: order.Role(c.By), Rating: c.Rating, Text: c.Text})
}

type orderFeedbackReplyCmd struct {
	orderFlags `embed:""`
	By         string `enum:"buyer,seller" required:"" help:"Who was rated and replies: ${enum}."`
	Text       string `arg:"" help:"In words, 1 to 2000 characters."`
}

// Run replies.
func (c *orderFeedbackReplyCmd) Run(ctx context.Context, g *Globals) error {
	return c.say(ctx, g, people.Command{Part: people.Reply, By: order.Role(c.By), Text: c.Text})
}

type orderFeedbackReviseCmd struct {
	orderFlags `embed:""`
	By         string `enum:"buyer,seller" required:"" help:"Whose feedback it is: ${enum}."`
	Rating     int64  `required:"" help:"From 1 to 5."`
	Text       string `arg:"" optional:"" help:"In words, up to 2000 characters."`
}

// Run revises the feedback.
func (c *orderFeedbackReviseCmd) Run(ctx context.Context, g *Globals) error {
	return c.say(ctx, g, people.Command{Part: people.Revision, By: order.Role(c.By), Rating: c.Rating, Text: c.Text})
}
