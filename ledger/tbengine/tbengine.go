// Package tbengine is a ledger.Engine on a TigerBeetle cluster, through the
// official client (github.com/tigerbeetle/tigerbeetle-go), which needs cgo.
//
// The client differs from what ledger.Engine promises in three ways, and this
// package makes up for them:
//
//   - It knows no context: a call waits until the cluster answers, for ever if
//     need be. Here each call runs in a goroutine of its own. A create that
//     outlives its context is answered with ledger.ErrUnknown, for it may
//     still reach the cluster. Its goroutine lives on until the client lets
//     go, and keeps its place among the calls in flight, so that a cluster
//     that is down cannot fill the memory with abandoned calls.
//   - It retries an unreachable cluster for ever, and a cluster with another
//     id never answers it. So Open asks the cluster something first.
//   - It answers ErrClientClosed both for a call that it never took and for
//     one that it gave up halfway. The engine keeps its own account of which
//     is which, and says ledger.ErrNotSent only where it is certain.
//
// Every error names the addresses.
package tbengine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// defaultPort is TigerBeetle's own default.
const defaultPort = "3001"

// openWait bounds Open for a caller whose context has no deadline: the client
// itself would wait for ever.
const openWait = 30 * time.Second

type options struct {
	inFlight  int
	closeWait time.Duration
}

// Option changes what Open does by default.
type Option func(*options)

// MaxInFlight bounds the calls that are with the client at one time (32 by
// default, at least 1); further calls wait. The client sends one message at a
// time and packs waiting calls of one kind into the next, so a few suffice to
// keep it busy. A full call holds about 2 MiB.
func MaxInFlight(n int) Option { return func(o *options) { o.inFlight = max(n, 1) } }

// CloseWait is how long Close lets calls in flight finish before it gives
// them up (5 seconds by default).
func CloseWait(d time.Duration) Option { return func(o *options) { o.closeWait = d } }

func withDefaults(opts []Option) options {
	o := options{inFlight: 32, closeWait: 5 * time.Second}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// resolve splits, checks and resolves addresses into the IP:port that the
// client wants: it knows "3001", "10.0.0.1" and "10.0.0.1:3001", but no names.
// The order is kept: it is the replicas' order in the cluster.
func resolve(ctx context.Context, addresses []string) ([]string, error) {
	var out []string
	for _, a := range strings.Split(strings.Join(addresses, ","), ",") {
		if a = strings.TrimSpace(a); a == "" {
			continue
		}
		ip, err := resolveOne(ctx, a)
		if err != nil {
			return nil, fmt.Errorf("address %q: %w", a, err)
		}
		out = append(out, ip)
	}
	if len(out) == 0 {
		return nil, errors.New("no address given")
	}
	return out, nil
}

func resolveOne(ctx context.Context, address string) (string, error) {
	if isPort(address) {
		return net.JoinHostPort("127.0.0.1", address), nil
	}
	if ip, err := netip.ParseAddr(address); err == nil {
		return netip.AddrPortFrom(ip, 3001).String(), nil
	}
	host, port := address, defaultPort
	if strings.Contains(address, ":") {
		var err error
		if host, port, err = net.SplitHostPort(address); err != nil {
			return "", errors.New("want host:port")
		}
	}
	if !isPort(port) {
		return "", fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(ip.String(), port), nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return "", err
	}
	// IPv4 first: a replica listens on one address, usually that one.
	for _, ip := range ips {
		if ip.Unmap().Is4() {
			return net.JoinHostPort(ip.Unmap().String(), port), nil
		}
	}
	if len(ips) == 0 {
		return "", errors.New("the name has no address")
	}
	return net.JoinHostPort(ips[0].String(), port), nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
