package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"escrowd/cmd/escrowd/replay"
)

func TestPlayProgress(t *testing.T) {
	may := time.Date(2017, 5, 1, 0, 0, 0, 0, time.UTC)
	half, whole := replay.Progress{Through: may, Done: 5, Total: 10}, replay.Progress{Through: may, Done: 10, Total: 10, WindowDone: true}

	var lines bytes.Buffer
	tell, stop := playProgress(&Globals{Stderr: &lines}, "playing")
	tell(half)
	tell(whole)
	stop(nil)
	if want := "escrowd: playing: up to 2017-05-01, 10 of 10 events\n"; lines.String() != want {
		t.Errorf("%q, want %q", lines.String(), want)
	}

	for want, err := range map[string]error{"playing 2017-05-01 ... done! [10 ": nil, "playing 2017-05-01 ... fail! [10 ": errors.New("refused")} {
		var bar bytes.Buffer
		tell, stop = playBar(&bar, "playing")
		tell(half)
		tell(whole)
		stop(err) // nobody writes to bar any more
		if !strings.Contains(bar.String(), want) {
			t.Errorf("the bar shows %q, want %q", bar.String(), want)
		}
	}
}

// TestQuiet: what is no warning is dropped until the log is given back, and
// debugging is never quiet.
func TestQuiet(t *testing.T) {
	var out bytes.Buffer
	g := &Globals{Log: slog.New(slog.NewTextHandler(&out, nil)), Stderr: io.Discard}
	q, speak := quiet(g)
	log := q.Log.With("component", "x").WithGroup("g")
	log.Info("one")
	log.Warn("two", "k", 1)
	speak()
	log.Info("three")
	log.Debug("four")
	got := out.String()
	for word, want := range map[string]bool{"msg=one": false, "msg=two component=x g.k=1": true, "msg=three": true, "msg=four": false} {
		if strings.Contains(got, word) != want {
			t.Errorf("%q is there: %t, want %t: %s", word, !want, want, got)
		}
	}
	debug := &Globals{Log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if q, _ := quiet(debug); q != debug {
		t.Error("a debugging log was made quiet")
	}
}
