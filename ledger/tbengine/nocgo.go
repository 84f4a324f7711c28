//go:build !cgo

package tbengine

import (
	"context"
	"fmt"
	"strings"

	"escrowd/ledger"
)

// Engine stands in for the real one in a binary built without cgo, which can
// never have one: Open always fails.
type Engine struct{ ledger.Engine }

// Open answers an error that says what is missing and what to do.
func Open(_ context.Context, _ ledger.Uint128, addresses []string, _ ...Option) (*Engine, error) {
	return nil, fmt.Errorf("tigerbeetle at %s: this binary was built without cgo, which the TigerBeetle client needs: "+
		"build it with CGO_ENABLED=1 and a C compiler, or use the Postgres engine: %w",
		strings.Join(addresses, ","), ledger.ErrNotSent)
}

// Addresses is here for the same API as with cgo.
func (e *Engine) Addresses() string { return "" }

// Ping is here for the same API as with cgo.
func (e *Engine) Ping(context.Context) error { return ledger.ErrNotSent }
