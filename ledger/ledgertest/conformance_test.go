package ledgertest_test

import (
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest"
	"escrowd/ledger/rules"
)

func TestConformance(t *testing.T) {
	ledgertest.Run(t, func(*testing.T) ledger.Engine {
		return rules.NewEngine(func() uint64 { return uint64(time.Now().UnixNano()) })
	})
}
