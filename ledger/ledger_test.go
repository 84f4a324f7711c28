package ledger

import (
	"errors"
	"testing"
)

// TestAccountFilterValid: an invalid filter is answered with nothing, so each
// reason for being invalid must be known.
func TestAccountFilterValid(t *testing.T) {
	good := AccountFilter{AccountID: U64(1), Limit: 1, Flags: FilterDebits}
	for _, c := range []struct {
		name string
		edit func(f *AccountFilter)
		want bool
	}{
		{"plain", func(*AccountFilter) {}, true},
		{"both sides, reversed", func(f *AccountFilter) { f.Flags = FilterDebits | FilterCredits | FilterReversed }, true},
		{"window of a nanosecond", func(f *AccountFilter) { f.TimestampMin, f.TimestampMax = 5, 5 }, true},
		{"open end", func(f *AccountFilter) { f.TimestampMin = 5 }, true},
		{"last timestamp", func(f *AccountFilter) { f.TimestampMax = TimestampMax }, true},
		{"more rows than fit, which is another error", func(f *AccountFilter) { f.Limit = BatchMax + 1 }, true},
		{"no account", func(f *AccountFilter) { f.AccountID = ID{} }, false},
		{"account 2^128-1", func(f *AccountFilter) { f.AccountID = AmountMax }, false},
		{"no limit", func(f *AccountFilter) { f.Limit = 0 }, false},
		{"no side", func(f *AccountFilter) { f.Flags = FilterReversed }, false},
		{"unknown flag", func(f *AccountFilter) { f.Flags |= 8 }, false},
		{"window upside down", func(f *AccountFilter) { f.TimestampMin, f.TimestampMax = 6, 5 }, false},
		{"from 2^63", func(f *AccountFilter) { f.TimestampMin = TimestampMax + 1 }, false},
		{"to 2^63", func(f *AccountFilter) { f.TimestampMax = TimestampMax + 1 }, false},
	} {
		f := good
		c.edit(&f)
		if f.Valid() != c.want {
			t.Errorf("%s: valid is %v", c.name, f.Valid())
		}
	}
}

func TestQueryFilterValid(t *testing.T) {
	good := QueryFilter{Limit: 1}
	for _, c := range []struct {
		name string
		edit func(f *QueryFilter)
		want bool
	}{
		{"plain", func(*QueryFilter) {}, true},
		{"reversed", func(f *QueryFilter) { f.Flags = FilterQueryReversed }, true},
		{"no limit", func(f *QueryFilter) { f.Limit = 0 }, false},
		{"an account filter's flag", func(f *QueryFilter) { f.Flags = FilterCredits }, false},
		{"window upside down", func(f *QueryFilter) { f.TimestampMin, f.TimestampMax = 6, 5 }, false},
		{"from 2^63", func(f *QueryFilter) { f.TimestampMin = TimestampMax + 1 }, false},
	} {
		f := good
		c.edit(&f)
		if f.Valid() != c.want {
			t.Errorf("%s: valid is %v", c.name, f.Valid())
		}
	}
}

func TestCheckBatch(t *testing.T) {
	if err := CheckBatch(BatchMax); err != nil {
		t.Error(err)
	}
	err := CheckBatch(BatchMax + 1)
	var tooMany *TooManyError
	if !errors.As(err, &tooMany) || tooMany.Events != 8190 {
		t.Fatalf("8190 events: %v", err)
	}
	if !errors.Is(err, ErrNotSent) || errors.Is(err, ErrUnknown) {
		t.Error("nothing of a batch that is too large was sent")
	}
}

// TestFlagsHaveTigerBeetlesBits pins the numbers that are stored and sent.
func TestFlagsHaveTigerBeetlesBits(t *testing.T) {
	if AccountLinked != 1 || AccountDebitsMustNotExceedCredits != 2 || AccountCreditsMustNotExceedDebits != 4 ||
		AccountHistory != 8 || AccountImported != 16 || AccountClosed != 32 || AccountFlagsAll != 63 {
		t.Error("account flags")
	}
	if TransferLinked != 1 || TransferPending != 2 || TransferPostPending != 4 || TransferVoidPending != 8 ||
		TransferBalancingDebit != 16 || TransferBalancingCredit != 32 || TransferClosingDebit != 64 ||
		TransferClosingCredit != 128 || TransferImported != 256 || TransferFlagsAll != 511 {
		t.Error("transfer flags")
	}
	if !TransferFlags(6).Has(TransferPending|TransferPostPending) || TransferFlags(2).Has(TransferPending|TransferPostPending) {
		t.Error("Has must ask for all bits")
	}
}

// TestStatusNames: every status has a name of its own, and others show their
// number.
func TestStatusNames(t *testing.T) {
	if TransferExists.String() != "exists" || AccountCreated.String() != "created" {
		t.Error(TransferExists, AccountCreated)
	}
	if TransferStatus(9999).String() != "status 9999" || AccountStatus(9999).String() != "status 9999" {
		t.Error(TransferStatus(9999), AccountStatus(9999))
	}
	seen := map[string]bool{}
	for _, name := range transferStatusNames {
		if seen[name] {
			t.Errorf("two transfer statuses are %q", name)
		}
		seen[name] = true
	}
	clear(seen)
	for _, name := range accountStatusNames {
		if seen[name] {
			t.Errorf("two account statuses are %q", name)
		}
		seen[name] = true
	}
}
