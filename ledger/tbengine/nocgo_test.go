//go:build !cgo

package tbengine

import (
	"errors"
	"strings"
	"testing"

	"escrowd/ledger"
)

func TestOpenWithoutCgoSaysWhatIsMissing(t *testing.T) {
	e, err := Open(t.Context(), ledger.U64(0), []string{"10.9.8.7:3001"})
	if e != nil || !errors.Is(err, ledger.ErrNotSent) {
		t.Fatalf("%v, %v", e, err)
	}
	for _, says := range []string{"10.9.8.7:3001", "without cgo", "CGO_ENABLED=1"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%v\ndoes not say %q", err, says)
		}
	}
}
