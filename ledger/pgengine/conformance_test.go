package pgengine_test

import (
	"testing"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest"
)

func TestConformance(t *testing.T) {
	ledgertest.Run(t, func(t *testing.T) ledger.Engine { return open(t) })
}
