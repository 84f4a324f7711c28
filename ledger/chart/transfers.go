package chart

import (
	"fmt"
	"slices"

	"escrowd/ledger"
)

// TransferCode says why money moved (ledger.Transfer.Code). Each code is one
// leg: it has one debit and one credit account, except Adjustment. Hundreds
// tell the family.
//
// The ledger refuses a post or a void whose code differs from its pending
// transfer's. So there is no code for "authorisation captured" or "freeze
// lifted": they carry the code of what they resolve, and their flag tells the
// rest. NameOf names them apart.
type TransferCode uint16

// The transfer codes.
const (
	// Money in.
	PaymentReceived   TransferCode = 101
	PaymentAuthorised TransferCode = 102
	ReceivedUnknown   TransferCode = 103
	ReceiptAssigned   TransferCode = 104
	ReceiptSentBack   TransferCode = 105

	// Money in by another currency than the order's: what was paid stands
	// against the FX position of its own ledger, and the FX position of the
	// order's ledger gives what it comes to.
	FXReceived TransferCode = 111
	FXSpreadIn TransferCode = 112
	FXToBuyer  TransferCode = 113

	// Held, released, made available.
	Hold            TransferCode = 201
	Release         TransferCode = 202
	Fee             TransferCode = 203
	FeeTax          TransferCode = 204
	Mature          TransferCode = 205
	Reserve         TransferCode = 206
	ReserveReleased TransferCode = 207

	// Back to the buyer, and from there to the payer.
	RefundToBuyer  TransferCode = 301
	RefundDue      TransferCode = 302
	RefundSent     TransferCode = 303
	RefundRejected TransferCode = 304
	RefundUndone   TransferCode = 305

	// Back to the buyer after the release: what has not matured, else what the
	// seller has, in this order.
	RefundFromPending   TransferCode = 310
	RefundFromAvailable TransferCode = 311
	RefundFromReserve   TransferCode = 312
	RefundFromDebt      TransferCode = 313
	RefundOfFee         TransferCode = 314
	RefundOfFeeTax      TransferCode = 315
	RefundCollected     TransferCode = 316

	// Disputes and rulings.
	DisputeFreeze   TransferCode = 401
	DisputeReserved TransferCode = 402
	RulingRelease   TransferCode = 411
	RulingFee       TransferCode = 412
	RulingFeeTax    TransferCode = 413
	RulingRefund    TransferCode = 414

	// Chargebacks.
	ChargebackFreeze        TransferCode = 501
	ChargebackTaken         TransferCode = 502
	ChargebackAdvanced      TransferCode = 504
	ChargebackReserved      TransferCode = 505
	ChargebackWon           TransferCode = 507
	ChargebackFromReserve   TransferCode = 508
	ChargebackFromAvailable TransferCode = 509
	ChargebackFromDebt      TransferCode = 510
	ChargebackLost          TransferCode = 511
	ChargebackOfFee         TransferCode = 512
	ChargebackOfFeeTax      TransferCode = 513
	ChargebackFromPending   TransferCode = 514
	ChargebackCollected     TransferCode = 515

	// Chargebacks of what was paid in another currency than the order's: the
	// provider takes what was paid, and the marketplace advances what it comes to.
	ChargebackFXAdvanced TransferCode = 521
	ChargebackFXTaken    TransferCode = 522
	ChargebackFXBack     TransferCode = 523
	ChargebackFXWon      TransferCode = 524

	// Payouts to sellers.
	Payout         TransferCode = 601
	PayoutSettled  TransferCode = 602
	PayoutReturned TransferCode = 603
	PayoutUndone   TransferCode = 604

	// Settlement with providers and banks.
	PSPSettled TransferCode = 701
	PSPFee     TransferCode = 702
	FeeSwept   TransferCode = 703

	// Sellers' debts.
	DebtRecovered TransferCode = 801
	WrittenOff    TransferCode = 802

	// Conversions: a buyer's balance into another currency (and FXToBuyer in
	// the other ledger), and the marketplace's position sold at the bank.
	FXFromBuyer  TransferCode = 851
	FXSpreadKept TransferCode = 852
	FXSold       TransferCode = 853
	FXBought     TransferCode = 854

	// Adjustment is a correction by hand, approved, between any two accounts.
	Adjustment TransferCode = 901
)

// Transfer is one row of the table of transfer codes.
type Transfer struct {
	Code TransferCode
	Slug string // for files, metrics and URLs: stable, [a-z_]
	Name string // for people
	// Debit and Credit are the accounts of the leg; both 0 where any may be.
	Debit, Credit AccountCode
	// Posted and Voided name what becomes of a leg that is first pending;
	// both "" for a leg that is final at once.
	Posted, Voided string
}

// Pending reports whether the leg is first made as a pending transfer.
func (t Transfer) Pending() bool { return t.Posted != "" }

var transfers = []Transfer{
	{Code: PaymentReceived, Slug: "payment_received", Name: "payment received", Debit: PayinClearing, Credit: Buyer},
	{Code: PaymentAuthorised, Slug: "payment_authorised", Name: "payment authorised", Debit: PayinClearing, Credit: Buyer,
		Posted: "payment captured", Voided: "authorisation voided"},
	{Code: ReceivedUnknown, Slug: "received_unknown", Name: "received, from whom is unknown", Debit: PayinClearing, Credit: Unidentified},
	{Code: ReceiptAssigned, Slug: "receipt_assigned", Name: "receipt assigned to its buyer", Debit: Unidentified, Credit: Buyer},
	{Code: ReceiptSentBack, Slug: "receipt_sent_back", Name: "receipt sent back", Debit: Unidentified, Credit: PayinClearing},

	{Code: FXReceived, Slug: "fx_received", Name: "payment received in another currency", Debit: PayinClearing, Credit: FXPosition},
	{Code: FXSpreadIn, Slug: "fx_spread_in", Name: "FX spread kept of a payment", Debit: PayinClearing, Credit: FXSpread},
	{Code: FXToBuyer, Slug: "fx_to_buyer", Name: "converted, to the buyer", Debit: FXPosition, Credit: Buyer},

	{Code: Hold, Slug: "hold", Name: "held", Debit: Buyer, Credit: Escrow},
	{Code: Release, Slug: "release", Name: "released to the seller", Debit: Escrow, Credit: SellerPending},
	{Code: Fee, Slug: "fee", Name: "fee", Debit: Escrow, Credit: FeeRevenue},
	{Code: FeeTax, Slug: "fee_tax", Name: "tax on the fee", Debit: Escrow, Credit: TaxPayable},
	{Code: Mature, Slug: "mature", Name: "matured", Debit: SellerPending, Credit: SellerAvailable},
	{Code: Reserve, Slug: "reserve", Name: "reserve kept", Debit: SellerAvailable, Credit: SellerReserve},
	{Code: ReserveReleased, Slug: "reserve_released", Name: "reserve released", Debit: SellerReserve, Credit: SellerAvailable},

	{Code: RefundToBuyer, Slug: "refund_to_buyer", Name: "refunded to the buyer", Debit: Escrow, Credit: Buyer},
	{Code: RefundDue, Slug: "refund_due", Name: "refund due to the payer", Debit: Buyer, Credit: RefundPayable},
	{Code: RefundSent, Slug: "refund_sent", Name: "refund sent", Debit: RefundPayable, Credit: PayinClearing},
	{Code: RefundRejected, Slug: "refund_rejected", Name: "refund rejected by the provider", Debit: PayinClearing, Credit: RefundPayable},
	{Code: RefundUndone, Slug: "refund_undone", Name: "rejected refund back to the buyer", Debit: RefundPayable, Credit: Buyer},

	{Code: RefundFromPending, Slug: "refund_from_pending", Name: "refund from seller pending", Debit: SellerPending, Credit: Buyer},
	{Code: RefundFromAvailable, Slug: "refund_from_available", Name: "refund from seller available", Debit: SellerAvailable, Credit: SellerCollection},
	{Code: RefundFromReserve, Slug: "refund_from_reserve", Name: "refund from seller reserve", Debit: SellerReserve, Credit: SellerCollection},
	{Code: RefundFromDebt, Slug: "refund_from_debt", Name: "refund owed by the seller", Debit: SellerReceivable, Credit: SellerCollection},
	{Code: RefundOfFee, Slug: "refund_of_fee", Name: "fee given back", Debit: FeeRevenue, Credit: Buyer},
	{Code: RefundOfFeeTax, Slug: "refund_of_fee_tax", Name: "tax on the fee given back", Debit: TaxPayable, Credit: Buyer},
	{Code: RefundCollected, Slug: "refund_collected", Name: "refund collected from the seller", Debit: SellerCollection, Credit: Buyer},

	{Code: DisputeFreeze, Slug: "dispute_freeze", Name: "frozen by a dispute", Debit: Escrow, Credit: DisputeSuspense,
		Posted: "dispute freeze posted", Voided: "dispute freeze lifted"},
	{Code: DisputeReserved, Slug: "dispute_reserved", Name: "seller's money kept for a dispute", Debit: SellerAvailable, Credit: SellerReserve,
		Posted: "seller's money kept for good after a dispute", Voided: "seller's money no longer kept for a dispute"},
	{Code: RulingRelease, Slug: "ruling_release", Name: "released to the seller by a ruling", Debit: Escrow, Credit: SellerPending},
	{Code: RulingFee, Slug: "ruling_fee", Name: "fee by a ruling", Debit: Escrow, Credit: FeeRevenue},
	{Code: RulingFeeTax, Slug: "ruling_fee_tax", Name: "tax on the fee by a ruling", Debit: Escrow, Credit: TaxPayable},
	{Code: RulingRefund, Slug: "ruling_refund", Name: "refunded to the buyer by a ruling", Debit: Escrow, Credit: Buyer},

	{Code: ChargebackFreeze, Slug: "chargeback_freeze", Name: "frozen by a chargeback", Debit: Escrow, Credit: DisputeSuspense,
		Posted: "chargeback freeze posted", Voided: "chargeback freeze lifted"},
	{Code: ChargebackTaken, Slug: "chargeback_taken", Name: "chargeback of held money", Debit: Escrow, Credit: ChargebackReceivable},
	{Code: ChargebackAdvanced, Slug: "chargeback_advanced", Name: "chargeback advanced", Debit: ChargebackReceivable, Credit: PayinClearing},
	{Code: ChargebackReserved, Slug: "chargeback_reserved", Name: "seller's money kept for a chargeback", Debit: SellerAvailable, Credit: SellerReserve,
		Posted: "seller's money kept for good", Voided: "seller's money no longer kept"},
	{Code: ChargebackWon, Slug: "chargeback_won", Name: "chargeback won", Debit: PayinClearing, Credit: ChargebackReceivable},
	{Code: ChargebackFromReserve, Slug: "chargeback_from_reserve", Name: "chargeback paid from seller reserve", Debit: SellerReserve, Credit: SellerCollection},
	{Code: ChargebackFromAvailable, Slug: "chargeback_from_available", Name: "chargeback paid from seller available", Debit: SellerAvailable, Credit: SellerCollection},
	{Code: ChargebackFromDebt, Slug: "chargeback_from_debt", Name: "chargeback owed by the seller", Debit: SellerReceivable, Credit: SellerCollection},
	{Code: ChargebackLost, Slug: "chargeback_lost", Name: "chargeback lost", Debit: ChargebackLoss, Credit: ChargebackReceivable},
	{Code: ChargebackOfFee, Slug: "chargeback_of_fee", Name: "fee given back in a chargeback", Debit: FeeRevenue, Credit: ChargebackReceivable},
	{Code: ChargebackOfFeeTax, Slug: "chargeback_of_fee_tax", Name: "tax on the fee given back in a chargeback", Debit: TaxPayable, Credit: ChargebackReceivable},
	{Code: ChargebackFromPending, Slug: "chargeback_from_pending", Name: "chargeback paid from seller pending", Debit: SellerPending, Credit: ChargebackReceivable},
	{Code: ChargebackCollected, Slug: "chargeback_collected", Name: "chargeback collected from the seller", Debit: SellerCollection, Credit: ChargebackReceivable},
	{Code: ChargebackFXAdvanced, Slug: "chargeback_fx_advanced", Name: "chargeback in another currency advanced", Debit: ChargebackReceivable, Credit: FXPosition},
	{Code: ChargebackFXTaken, Slug: "chargeback_fx_taken", Name: "chargeback taken in the currency that was paid", Debit: FXPosition, Credit: PayinClearing},
	{Code: ChargebackFXBack, Slug: "chargeback_fx_back", Name: "chargeback given back in the currency that was paid", Debit: PayinClearing, Credit: FXPosition},
	{Code: ChargebackFXWon, Slug: "chargeback_fx_won", Name: "chargeback in another currency won", Debit: FXPosition, Credit: ChargebackReceivable},

	{Code: Payout, Slug: "payout", Name: "payout", Debit: SellerAvailable, Credit: PayoutClearing,
		Posted: "payout accepted", Voided: "payout failed"},
	{Code: PayoutSettled, Slug: "payout_settled", Name: "payout left the bank", Debit: PayoutClearing, Credit: BankSafeguarded},
	{Code: PayoutReturned, Slug: "payout_returned", Name: "payout returned", Debit: BankSafeguarded, Credit: SellerAvailable},
	{Code: PayoutUndone, Slug: "payout_undone", Name: "payout returned before it left the bank", Debit: PayoutClearing, Credit: SellerAvailable},

	{Code: PSPSettled, Slug: "psp_settled", Name: "provider settled", Debit: BankSafeguarded, Credit: PayinClearing},
	{Code: PSPFee, Slug: "psp_fee", Name: "provider's fee", Debit: PSPCost, Credit: PayinClearing},
	{Code: FeeSwept, Slug: "fee_swept", Name: "fees swept to the operating bank", Debit: BankOperating, Credit: BankSafeguarded},

	{Code: DebtRecovered, Slug: "debt_recovered", Name: "debt recovered from the seller", Debit: SellerAvailable, Credit: SellerReceivable},
	{Code: WrittenOff, Slug: "written_off", Name: "debt written off", Debit: WriteOff, Credit: SellerReceivable},

	{Code: FXFromBuyer, Slug: "fx_from_buyer", Name: "buyer's balance converted", Debit: Buyer, Credit: FXPosition},
	{Code: FXSpreadKept, Slug: "fx_spread_kept", Name: "FX spread kept of a conversion", Debit: FXPosition, Credit: FXSpread},
	{Code: FXSold, Slug: "fx_sold", Name: "currency sold at the bank", Debit: FXPosition, Credit: BankSafeguarded},
	{Code: FXBought, Slug: "fx_bought", Name: "currency bought at the bank", Debit: BankSafeguarded, Credit: FXPosition},

	{Code: Adjustment, Slug: "adjustment", Name: "adjustment"},
}

var transferByCode = func() map[TransferCode]Transfer {
	m := make(map[TransferCode]Transfer, len(transfers))
	for _, t := range transfers {
		m[t.Code] = t
	}
	return m
}()

// Transfers is the whole table, in order of number. The slice is the caller's.
func Transfers() []Transfer { return slices.Clone(transfers) }

// Lookup is the table's row for c, and whether there is one.
func (c TransferCode) Lookup() (Transfer, bool) {
	t, ok := transferByCode[c]
	return t, ok
}

// Name is what people call the movement: "released to the seller". A number
// that is not in the table is named by itself.
func (c TransferCode) Name() string {
	if t, ok := transferByCode[c]; ok {
		return t.Name
	}
	return fmt.Sprintf("transfer code %d", uint16(c))
}

// NameOf is Name for a transfer with these flags: the post and the void of a
// pending transfer carry its code and have names of their own, such as
// "dispute freeze lifted".
func (c TransferCode) NameOf(flags ledger.TransferFlags) string {
	t := transferByCode[c]
	switch {
	case flags.Has(ledger.TransferPostPending) && t.Posted != "":
		return t.Posted
	case flags.Has(ledger.TransferVoidPending) && t.Voided != "":
		return t.Voided
	}
	return c.Name()
}

// String is the number and the name: "202 released to the seller".
func (c TransferCode) String() string {
	if t, ok := transferByCode[c]; ok {
		return fmt.Sprintf("%d %s", uint16(c), t.Name)
	}
	return c.Name()
}

// Slug is the stable short name for files, metrics and URLs: "release"; "" for
// a number that is not in the table.
func (c TransferCode) Slug() string { return transferByCode[c].Slug }

// Check is the chart's own say on a leg: nil if a transfer for this reason may
// go from an account of kind debit to one of kind credit.
func (c TransferCode) Check(debit, credit AccountCode) error {
	t, ok := transferByCode[c]
	if !ok {
		return fmt.Errorf("chart: transfer code %d is not in the chart", uint16(c))
	}
	for _, a := range []AccountCode{debit, credit} {
		if _, ok := accountByCode[a]; !ok {
			return fmt.Errorf("chart: account code %d is not in the chart", uint16(a))
		}
	}
	if t.Debit == 0 || t.Debit == debit && t.Credit == credit {
		return nil
	}
	return fmt.Errorf("chart: %s goes from %s to %s, not from %s to %s", c, t.Debit, t.Credit, debit, credit)
}
