//go:build cgo

package tbengine

import (
	"testing"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest"
)

func TestConformance(t *testing.T) {
	cluster, addresses := server(t)
	ledgertest.Run(t, func(t *testing.T) ledger.Engine { return open(t, cluster, addresses) })
}
