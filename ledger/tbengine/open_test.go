//go:build cgo

package tbengine

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"escrowd/ledger"
)

// nobody is an address where nobody listens.
func nobody(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// mute is an address where connections are taken and nothing is ever said.
func mute(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
		}
	}()
	return l.Addr().String()
}

func TestOpenWithoutACluster(t *testing.T) {
	for name, address := range map[string]string{"nobody listens": nobody(t), "nobody answers": mute(t)} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			e, err := Open(ctx, ledger.U64(12), []string{address})
			if err == nil {
				e.Close()
				t.Fatal("opened")
			}
			for _, says := range []string{address, "cluster 12", "no answer"} {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%v\ndoes not say %q", err, says)
				}
			}
			if !errors.Is(err, ledger.ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v\nis no ErrNotSent with the deadline in it", err)
			}
		})
	}
}

func TestOpenWithADoneContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, ledger.U64(0), []string{"10.9.8.7:3001"})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, ledger.ErrNotSent) || !strings.Contains(err.Error(), "10.9.8.7:3001") {
		t.Errorf("%v", err)
	}
}

func TestOpenWithBadAddresses(t *testing.T) {
	for _, c := range []struct {
		addresses []string
		says      string
	}{
		{nil, "no address given"},
		{[]string{" ", ","}, "no address given"},
		{[]string{"127.0.0.1:0"}, "port"},
		{[]string{"127.0.0.1:70000"}, "port"},
		{[]string{"127.0.0.1:3001:3002"}, "want host:port"},
		{[]string{"3001,3002,3003,3004,3005,3006,3007"}, "too many addresses"},
	} {
		_, err := Open(t.Context(), ledger.U64(0), c.addresses)
		if !errors.Is(err, ledger.ErrNotSent) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v; want %q", c.addresses, err, c.says)
		}
	}
}

func TestResolve(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"3001", "127.0.0.1:3001"},
		{"10.0.0.1", "10.0.0.1:3001"},
		{"10.0.0.1:4000", "10.0.0.1:4000"},
		{" 3002 , 10.0.0.1:4000 ,", "127.0.0.1:3002 10.0.0.1:4000"},
		{"::1", "[::1]:3001"},
		{"[::1]:4000", "[::1]:4000"},
		{"localhost:4000", "127.0.0.1:4000"},
	} {
		got, err := resolve(t.Context(), []string{c.in})
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%q is %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}

func TestKnockTellsRefusedFromMute(t *testing.T) {
	refused, open := nobody(t), mute(t)
	report := knock(t.Context(), []string{refused, open})
	for strings.Contains(report(), "no connection yet") {
		runtime.Gosched()
	}
	for _, says := range []string{refused + ": connection refused", open + ": accepts connections"} {
		if got := report(); !strings.Contains(got, says) {
			t.Errorf("%q does not say %q", got, says)
		}
	}
}
