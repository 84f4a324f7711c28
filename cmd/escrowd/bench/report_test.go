package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func names(works []Work) string {
	var list []string
	for _, w := range works {
		list = append(list, w.Name+": "+strconv.Itoa(w.Orders))
	}
	return strings.Join(list, "\n")
}

func TestSweeps(t *testing.T) {
	w := Work{Orders: 6400, Life: LifePayConfirm, Connections: 64}
	for _, c := range []struct {
		name  string
		works []Work
		want  string
	}{
		{"one", One(w), "single requests, 64 connections: 6400"},
		{"with history", One(Work{Orders: 50, Settle: true, History: 1_000_000}), "settlement by the job: 50\nsettlement by the job, after 1,000,000: 50"},
		{"connections", OverConnections(w), `single requests, 1 connection: 100
single requests, 4 connections: 400
single requests, 16 connections: 1600
single requests, 64 connections: 6400
single requests, 256 connections: 6400`},
		{"bulk", OverBulk(Work{Orders: 20_000, Life: LifeMixed, Connections: 4}), `bulk of 1, 4 connections, mixed lives: 2000
bulk of 10, 4 connections, mixed lives: 2000
bulk of 100, 4 connections, mixed lives: 20000
bulk of 1,000, 4 connections, mixed lives: 20000`},
		{"history", OverHistory(Work{Orders: 9, Connections: 1, History: 250_000}), `single requests, 1 connection: 9
single requests, 1 connection, after 10,000: 9
single requests, 1 connection, after 100,000: 9
single requests, 1 connection, after 250,000: 9`},
		{"table", Table(Work{Orders: 4000, Life: LifePayConfirm, History: 10}, 7000), `single requests, 64 connections: 4000
single requests, 1 connection: 200
bulk of 1,000, 4 connections: 8000
settlement by the job: 7000
single requests, 64 connections, after 10: 4000
single requests, 1 connection, after 10: 200
bulk of 1,000, 4 connections, after 10: 8000
settlement by the job, after 10: 7000`},
	} {
		if got := names(c.works); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// sample points of a sweep over connections.
func points() []Point {
	list := []Point{}
	for i, c := range []int{1, 4, 16, 64, 256} {
		list = append(list, Point{Work: Work{Connections: c, History: []int{0, 10, 100, 1000, 10_000}[i]}, OrdersPerSecond: 100 * float64(c),
			Latency: Latency{P50: 5, P99: 50 + float64(i)}, RawShare: 0.5})
	}
	return list
}

// TestPlot: well-formed, every point within its diagram, and more is higher.
func TestPlot(t *testing.T) {
	for _, axis := range []Axis{AxisConnections, AxisHistory, AxisBulk} {
		r := Report{Engine: postgres, Points: points()} // of bulk all are 0: a vertical line is still a picture
		var svg bytes.Buffer
		if err := r.Plot(&svg, axis); err != nil {
			t.Fatal(err)
		}
		var lines [][]float64 // x, y, x, y ...
		d := xml.NewDecoder(&svg)
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", axis, err)
			}
			e, ok := token.(xml.StartElement)
			if !ok || e.Name.Local != "polyline" {
				continue
			}
			var at []float64
			for _, f := range strings.FieldsFunc(e.Attr[0].Value, func(r rune) bool { return r == ' ' || r == ',' }) {
				v, err := strconv.ParseFloat(f, 64)
				if err != nil || v < 0 || v > plotWidth+3*panelHeight {
					t.Errorf("%s: coordinate %s", axis, f)
				}
				at = append(at, v)
			}
			lines = append(lines, at)
		}
		if len(lines) != 4 {
			t.Fatalf("%s: %d lines, want orders a second, p50, p99 and the share", axis, len(lines))
		}
		for _, l := range lines {
			if len(l) != 10 {
				t.Fatalf("%s: %d coordinates", axis, len(l))
			}
			for i := 0; i < len(l); i += 2 {
				if l[i] < plotLeft-0.1 || l[i] > plotRight+0.1 {
					t.Errorf("%s: x = %v is outside", axis, l[i])
				}
				if i > 0 && axis != AxisBulk && l[i] <= l[i-2] {
					t.Errorf("%s: x = %v after %v", axis, l[i], l[i-2])
				}
			}
		}
		for i := 3; i < 10; i += 2 {
			if lines[0][i] >= lines[0][i-2] {
				t.Errorf("%s: four times the orders are at y = %v, below %v", axis, lines[0][i], lines[0][i-2])
			}
		}
	}
	r := Report{Points: points()[:1]}
	if err := r.Plot(io.Discard, AxisBulk); err == nil {
		t.Error("a plot of one point")
	}
}

func TestNiceStep(t *testing.T) {
	for v, want := range map[float64]float64{0: 1, 1: 1, 1.1: 2, 3: 5, 7: 10, 0.03: 0.05, 249: 500, 1e6: 1e6} {
		if got := niceStep(v); got < want*0.999999 || got > want*1.000001 {
			t.Errorf("niceStep(%v) = %v, want %v", v, got, want)
		}
	}
}

func TestFigures(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234567: "1,234,567"} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	bounds := []float64{1, 2, 4, 8}
	h.add(histogram{10, 30, bounds, []uint64{4, 6, 10, 10}}, histogram{})                                            // a series that is new
	h.add(histogram{100, 400, bounds, []uint64{40, 60, 90, 100}}, histogram{10, 30, bounds, []uint64{4, 6, 10, 10}}) // and one that is not
	if got, want := h.sizes(), (Sizes{Count: 100, Mean: 4, P50: 2, P99: 8}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := (&histogram{}).sizes(); got != (Sizes{}) {
		t.Errorf("%+v", got)
	}
	over := histogram{count: 4, sum: 400, bounds: bounds, counts: []uint64{1, 1, 1, 1}} // three beyond the last bound
	if got := over.sizes().P99; got != 8 {
		t.Errorf("%v", got)
	}
}

func TestProc(t *testing.T) {
	pid := os.Getpid()
	before, ok := cpuOf(pid)
	if !ok {
		t.Skip("no /proc here")
	}
	var used time.Duration
	for n := 0; used < 3*tick; n++ { // ends as soon as the clock moves
		s, ok := cpuOf(pid)
		if !ok || s < before {
			t.Fatalf("%v after %v, %v", s, before, ok)
		}
		used = s - before
	}
	if tree, ok := cpuOfTree(pid); !ok || tree < before+used {
		t.Errorf("the process with its children used %v, alone %v", tree, before+used)
	}
	if s, ok := readStat(pid); !ok || s.parent != os.Getppid() {
		t.Errorf("%+v, parent %d", s, os.Getppid())
	}
	if _, ok := cpuOf(1 << 30); ok {
		t.Error("there is a process with an impossible number")
	}
	if m := peakMemory(); m < 1<<20 || m > 1<<40 {
		t.Errorf("%d bytes of memory", m)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := listenerOf(l.Addr().String()); got != pid {
		t.Errorf("%d listens on %s, not %d", pid, l.Addr(), got)
	}
	for _, elsewhere := range []string{"192.0.2.1:80", "example.com:1", "3000", ""} {
		if got := listenerOf(elsewhere); got != 0 {
			t.Errorf("%d listens on %q", got, elsewhere)
		}
	}
}
