package chart

import (
	"regexp"
	"testing"

	"escrowd/ledger"
)

var slugForm = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)

// The chart as an accountant would check it: number, normal side, for whom,
// and what the ledger itself refuses.
func TestAccounts(t *testing.T) {
	const (
		dc   = ledger.AccountDebitsMustNotExceedCredits
		cd   = ledger.AccountCreditsMustNotExceedDebits
		hist = ledger.AccountHistory
	)
	want := []struct {
		code   AccountCode
		number uint16
		slug   string
		side   Side
		scope  Scope
		flags  ledger.AccountFlags
	}{
		{BankSafeguarded, 1010, "bank_safeguarded", Debit, PerMarketplace, 0},
		{BankOperating, 1020, "bank_operating", Debit, PerMarketplace, 0},
		{PayinClearing, 1100, "payin_clearing", Debit, PerMethod, 0},
		{ChargebackReceivable, 1300, "chargeback_receivable", Debit, PerMarketplace, 0},
		{SellerReceivable, 1310, "seller_receivable", Debit, PerSeller, cd},
		{SellerCollection, 1320, "seller_collection", Debit, PerMarketplace, cd},
		{FXPosition, 1400, "fx_position", Either, PerMarketplace, 0},
		{Buyer, 2000, "buyer", Credit, PerBuyer, dc},
		{Escrow, 2100, "escrow", Credit, PerOrder, dc | hist},
		{DisputeSuspense, 2110, "dispute_suspense", Credit, PerMarketplace, 0},
		{SellerPending, 2200, "seller_pending", Credit, PerSeller, dc},
		{SellerAvailable, 2210, "seller_available", Credit, PerSeller, dc},
		{SellerReserve, 2220, "seller_reserve", Credit, PerSeller, dc},
		{RefundPayable, 2300, "refund_payable", Credit, PerMarketplace, dc},
		{PayoutClearing, 2400, "payout_clearing", Credit, PerMarketplace, 0},
		{TaxPayable, 2500, "tax_payable", Credit, PerMarketplace, 0},
		{Unidentified, 2900, "unidentified", Credit, PerMarketplace, 0},
		{FeeRevenue, 4100, "fee_revenue", Credit, PerMarketplace, 0},
		{FXSpread, 4110, "fx_spread", Credit, PerMarketplace, 0},
		{Rounding, 4900, "rounding", Credit, PerMarketplace, 0},
		{PSPCost, 5100, "psp_cost", Debit, PerMarketplace, 0},
		{ChargebackLoss, 5200, "chargeback_loss", Debit, PerMarketplace, 0},
		{WriteOff, 5900, "write_off", Debit, PerMarketplace, 0},
	}
	got := Accounts()
	if len(got) != len(want) {
		t.Fatalf("the chart has %d rows, want %d", len(got), len(want))
	}
	for i, w := range want {
		a := got[i]
		if a.Code != w.code || uint16(a.Code) != w.number {
			t.Errorf("row %d is %s, want %d", i, a.Code, w.number)
			continue
		}
		c := a.Code
		if c.Slug() != w.slug || c.NormalSide() != w.side || c.Scope() != w.scope || c.Flags() != w.flags {
			t.Errorf("%s: %s, %s, per %s, flags %b; want %s, %s, per %s, flags %b",
				c, c.Slug(), c.NormalSide(), c.Scope(), c.Flags(), w.slug, w.side, w.scope, w.flags)
		}
		if perParty := w.scope == PerBuyer || w.scope == PerSeller; c.PerParty() != perParty {
			t.Errorf("%s: PerParty is %v", c, c.PerParty())
		}
	}
}

func TestAccountsTable(t *testing.T) {
	slugs, names := map[string]bool{}, map[string]bool{}
	last := AccountCode(0)
	for _, a := range Accounts() {
		if a.Code <= last {
			t.Errorf("%s stands after %d: rows rise by number, each once", a.Code, last)
		}
		last = a.Code
		if !slugForm.MatchString(a.Slug) || slugs[a.Slug] {
			t.Errorf("%s: slug %q is malformed or used twice", a.Code, a.Slug)
		}
		if a.Name == "" || names[a.Name] {
			t.Errorf("%d: name %q is empty or used twice", a.Code, a.Name)
		}
		slugs[a.Slug], names[a.Name] = true, true
		if row, ok := a.Code.Lookup(); !ok || row != a || a.Code.Name() != a.Name {
			t.Errorf("%d: looked up as %+v, %v", a.Code, row, ok)
		}
		// A limit against the normal side would refuse the account's own purpose.
		if a.Normal == Debit && a.Flags.Has(notOverdrawn) || a.Normal == Credit && a.Flags.Has(notOverpaid) {
			t.Errorf("%s: its limit is on the wrong side", a.Code)
		}
	}
}

func TestCallersCannotChangeTheTables(t *testing.T) {
	Accounts()[0].Name = "changed"
	Transfers()[0].Name = "changed"
	Currencies()[0].Name = "changed"
	if Accounts()[0].Name == "changed" || Transfers()[0].Name == "changed" || Currencies()[0].Name == "changed" {
		t.Error("a caller wrote into the table")
	}
}

func TestUnknownCodesAreNamedByNumber(t *testing.T) {
	if got, want := AccountCode(2101).Name(), "account code 2101"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if _, ok := AccountCode(2101).Lookup(); ok || AccountCode(2101).Slug() != "" {
		t.Error("2101 is not in the chart but is found")
	}
	if got, want := TransferCode(999).Name(), "transfer code 999"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if _, ok := TransferCode(999).Lookup(); ok || TransferCode(999).Slug() != "" {
		t.Error("999 is not in the table but is found")
	}
}

func TestTransfersTable(t *testing.T) {
	slugs, names := map[string]bool{}, map[string]bool{}
	last := TransferCode(0)
	for _, r := range Transfers() {
		if r.Code <= last {
			t.Errorf("%s stands after %d: rows rise by number, each once", r.Code, last)
		}
		last = r.Code
		if !slugForm.MatchString(r.Slug) || slugs[r.Slug] {
			t.Errorf("%s: slug %q is malformed or used twice", r.Code, r.Slug)
		}
		slugs[r.Slug] = true
		for _, n := range []string{r.Name, r.Posted, r.Voided} {
			if n == "" && r.Pending() || names[n] {
				t.Errorf("%s: name %q is empty or used twice", r.Code, n)
			}
			if n != "" {
				names[n] = true
			}
		}
		if r.Name == "" || (r.Posted == "") != (r.Voided == "") {
			t.Errorf("%d: unnamed, or only one of its ends is named", r.Code)
		}
		if row, ok := r.Code.Lookup(); !ok || row != r || r.Code.Name() != r.Name || r.Code.Slug() != r.Slug {
			t.Errorf("%d: looked up as %+v, %v", r.Code, row, ok)
		}
		if r.Code == Adjustment {
			continue
		}
		if _, ok := r.Debit.Lookup(); !ok || r.Debit == r.Credit {
			t.Errorf("%s: debit %s", r.Code, r.Debit)
		}
		if _, ok := r.Credit.Lookup(); !ok {
			t.Errorf("%s: credit %s", r.Code, r.Credit)
		}
		if err := r.Code.Check(r.Debit, r.Credit); err != nil {
			t.Error(err)
		}
		if err := r.Code.Check(r.Credit, r.Debit); err == nil {
			t.Errorf("%s is accepted the wrong way round", r.Code)
		}
	}
}

// What is frozen is frozen in suspense, and what is due to leave escrow leaves
// it for the seller, the fee, the tax, the buyer, or what the payer's bank took.
func TestMoneyLeavesEscrowOnlyWhereItMay(t *testing.T) {
	may := map[AccountCode]bool{SellerPending: true, FeeRevenue: true, TaxPayable: true, Buyer: true, ChargebackReceivable: true}
	for _, r := range Transfers() {
		switch {
		case r.Debit != Escrow:
		case r.Credit == DisputeSuspense:
			if !r.Pending() {
				t.Errorf("%s: a freeze is pending, never final", r.Code)
			}
		case !may[r.Credit]:
			t.Errorf("%s takes money from escrow to %s", r.Code, r.Credit)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		code          TransferCode
		debit, credit AccountCode
		ok            bool
	}{
		{Hold, Buyer, Escrow, true},
		{Hold, Buyer, SellerPending, false},
		{Hold, SellerPending, Escrow, false},
		{Adjustment, WriteOff, BankOperating, true},
		{Adjustment, WriteOff, 1, false},
		{Adjustment, 0, BankOperating, false},
		{999, Buyer, Escrow, false},
	} {
		if err := c.code.Check(c.debit, c.credit); (err == nil) != c.ok {
			t.Errorf("%s from %s to %s: %v", c.code, c.debit, c.credit, err)
		}
	}
}

func TestNameOf(t *testing.T) {
	for _, c := range []struct {
		code  TransferCode
		flags ledger.TransferFlags
		want  string
	}{
		{DisputeFreeze, ledger.TransferPending, "frozen by a dispute"},
		{DisputeFreeze, ledger.TransferVoidPending | ledger.TransferLinked, "dispute freeze lifted"},
		{PaymentAuthorised, ledger.TransferPostPending, "payment captured"},
		{Payout, ledger.TransferVoidPending, "payout failed"},
		{Hold, ledger.TransferLinked, "held"},
		{999, ledger.TransferPostPending, "transfer code 999"},
	} {
		if got := c.code.NameOf(c.flags); got != c.want {
			t.Errorf("%s with flags %b is %q, want %q", c.code, c.flags, got, c.want)
		}
	}
}
