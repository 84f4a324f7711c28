package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"

	"escrowd/cmd/escrowd/replay"
)

// playProgress shows on stderr how far stories are played: a bar on a
// terminal, a line for each month elsewhere. stop ends it with how it went.
func playProgress(g *Globals, what string) (tell func(replay.Progress), stop func(error)) {
	if !isTerminal(g.Stderr) {
		return func(p replay.Progress) {
			if p.WindowDone {
				fmt.Fprintf(g.Stderr, "escrowd: %s: up to %s, %d of %d events\n", what, p.Through.Format(time.DateOnly), p.Done, p.Total)
			}
		}, func(error) {}
	}
	return playBar(g.Stderr, what)
}

func playBar(out io.Writer, what string) (tell func(replay.Progress), stop func(error)) {
	w := progress.NewWriter()
	w.SetOutputWriter(out)
	w.SetAutoStop(true) // when the bar is done: Stop is lost where it comes before Render has begun
	w.SetTrackerLength(40)
	w.SetUpdateFrequency(100 * time.Millisecond)
	w.SetStyle(progress.StyleBlocks)
	bar := &progress.Tracker{Message: what}
	w.AppendTracker(bar)
	rendered := make(chan struct{})
	go func() {
		defer close(rendered)
		w.Render()
	}()
	return func(p replay.Progress) {
			// One more for the last deadlines: a bar that is full is done.
			bar.UpdateTotal(int64(p.Total) + 1)
			bar.UpdateMessage(what + " " + p.Through.Format(time.DateOnly))
			bar.SetValue(int64(p.Done))
		}, func(err error) {
			if err != nil {
				bar.MarkAsErrored()
			} else {
				bar.MarkAsDone()
			}
			<-rendered
		}
}

// isTerminal reports whether w is a terminal, or at least no file or pipe.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// quiet is g with a log of warnings and errors only, for a command that has
// its own things to say; unless somebody is debugging. speak gives the log
// back to parts that were made with it.
func quiet(g *Globals) (q *Globals, speak func()) {
	if g.Log.Enabled(context.Background(), slog.LevelDebug) {
		return g, func() {}
	}
	least := new(slog.LevelVar)
	least.Set(slog.LevelWarn)
	c := *g
	c.Log = slog.New(leveled{g.Log.Handler(), least})
	return &c, func() { least.Set(slog.LevelDebug) } // what is below, the handler drops as before
}

// leveled is a handler whose least level can be changed.
type leveled struct {
	slog.Handler
	least *slog.LevelVar
}

func (h leveled) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.least.Level() && h.Handler.Enabled(ctx, l)
}

func (h leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leveled{h.Handler.WithAttrs(attrs), h.least}
}

func (h leveled) WithGroup(name string) slog.Handler {
	return leveled{h.Handler.WithGroup(name), h.least}
}
