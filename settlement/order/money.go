package order

import (
	"fmt"
	"slices"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// Movement is a leg of the money table: why money moves, which is from one kind
// of account to another (chart.Transfer), how, and how much.
type Movement struct {
	Code  chart.TransferCode
	Stage Stage
	Much  string // how much, in words
}

// Stage is whether a leg is final, promised first, or ends a promise.
type Stage ledger.TransferFlags

// The stages of a leg.
const (
	Outright Stage = 0
	Promised       = Stage(ledger.TransferPending)
	Posted         = Stage(ledger.TransferPostPending)
	Voided         = Stage(ledger.TransferVoidPending)
)

// String is the stage as the page about money says it: "", "pending", "post" or
// "void".
func (s Stage) String() string {
	switch s {
	case Promised:
		return "pending"
	case Posted:
		return "post"
	case Voided:
		return "void"
	}
	return ""
}

// MoneyTable is the money table: what each effect moves, leg by leg, in this order.
// A leg of zero is left out, and so is one whose occasion is another; what is
// left is one linked chain, all or none. Plan refuses to move anything else.
// Effects that are not in it move nothing.
var MoneyTable = map[Effect][]Movement{
	HoldPayment: {
		{chart.FXReceived, Outright, "what was paid in another currency, less the spread"},
		{chart.FXSpreadIn, Outright, "the spread"},
		{chart.FXToBuyer, Outright, "what that comes to"},
		{chart.PaymentReceived, Outright, "the payment; of several orders once; nothing if the buyer's balance pays"},
		{chart.Hold, Outright, "what the order comes to"},
	},
	Reserve: {
		{chart.PaymentAuthorised, Promised, "what the order comes to"},
	},
	HoldCaptured: {
		{chart.PaymentAuthorised, Posted, "what is captured"},
		{chart.Hold, Outright, "what is captured"},
	},
	Unreserve: {
		{chart.PaymentAuthorised, Voided, "what was authorised"},
	},

	ReleaseAll:   releasing("all that is held"),
	ReleaseParts: releasing("what is held of the parts"),
	ReleaseDue:   releasing("what is held of the parts whose time has passed"),
	MatureAll:    available("all that waited for it"),
	MatureDue:    available("what the parts have maturing whose time has come; by any event that is later than that too, before its own legs"),
	FreeReserve: {
		{chart.ReserveReleased, Outright, "the order's reserve, as far as there is any"},
	},

	RefundAll:  {{chart.RefundToBuyer, Outright, "all that is held"}},
	RefundPart: {{chart.RefundToBuyer, Outright, "as much as is said, or all that is held"}},
	RefundDue:  {{chart.RefundToBuyer, Outright, "what is held of the parts whose time to be shipped has passed, or all"}},
	RefundRest: {{chart.RefundToBuyer, Outright, "what is held of the parts that were not shipped"}},

	Freeze: {
		{chart.DisputeFreeze, Promised, "all that is held"},
		{chart.DisputeReserved, Promised, "or, after the release, of the seller's part of the claim that has matured, as much as is available"},
	},
	Unfreeze: {
		{chart.DisputeFreeze, Voided, "all that is held"},
		{chart.DisputeReserved, Voided, "or what was kept"},
	},
	SendAgain:  {{chart.DisputeFreeze, Voided, "all that is held"}},
	GrantClaim: splitting("the claim"),
	GrantOther: splitting("the claim, or what was to be paid for the goods that came back, or that less the damage"),
	DropClaim: {
		{chart.DisputeFreeze, Voided, "all that is held"},
		{chart.DisputeReserved, Voided, "or, after the release, what was kept"},
		{chart.RulingRelease, Outright, "all that is held, less fee and tax"},
		{chart.RulingFee, Outright, "the fee, pro rata"},
		{chart.RulingFeeTax, Outright, "the tax on the fee, likewise"},
	},
	TakeOffer:   splitting("what was offered"),
	EndEvidence: splitting("nothing, or what was to be paid for the goods that came back"),
	Decide:      splitting("what the ruling gives the buyer"),
	CarryOut:    splitting("what the ruling gives the buyer"),
	GrantReturn: splitting("what was agreed, or ruled, for the return"),

	GiveBack: returning("of the seller's part, what has not matured"),

	TakePayment: {
		{chart.ChargebackAdvanced, Outright, "what the provider took"},
		{chart.ChargebackFXAdvanced, Outright, "or what that comes to, if it was paid in another currency"},
		{chart.ChargebackFXTaken, Outright, "and what the provider took in that"},
		{chart.ChargebackFreeze, Promised, "all that is held, if no dispute has frozen it"},
		{chart.ChargebackReserved, Promised, "of the seller's part that has matured, as much as is available"},
	},
	Resume: {
		{chart.ChargebackReserved, Voided, "what was kept"},
		{chart.ChargebackFreeze, Voided, "what was frozen; the freeze of a dispute stays"},
		{chart.ChargebackWon, Outright, "what the provider took"},
		{chart.ChargebackFXBack, Outright, "or what the provider took in another currency"},
		{chart.ChargebackFXWon, Outright, "and what that came to"},
	},
	BearLoss: {
		{chart.ChargebackReserved, Voided, "what was kept"},
		{chart.ChargebackFreeze, Voided, "what was frozen by it"},
		{chart.DisputeFreeze, Voided, "what was frozen by a dispute"},
		{chart.DisputeReserved, Voided, "what was kept for one"},
		{chart.ChargebackTaken, Outright, "what the provider took, as far as it is held"},
		{chart.ChargebackLost, Outright, "the rest, if the marketplace bears it"},
		{chart.ChargebackFromPending, Outright, "else of the seller's part, what has not matured"},
		{chart.ChargebackCollected, Outright, "the rest of the seller's part"},
		{chart.ChargebackFromReserve, Outright, "of that, as much as there is in reserve"},
		{chart.ChargebackFromAvailable, Outright, "then as much as the seller has available"},
		{chart.ChargebackFromDebt, Outright, "then what is missing yet"},
		{chart.ChargebackOfFee, Outright, "the fee's part, where the policy returns it"},
		{chart.ChargebackOfFeeTax, Outright, "the tax's part, likewise"},
	},
}

// releasing is what moves when so much is released.
func releasing(gross string) []Movement {
	return []Movement{
		{chart.Release, Outright, gross + ", less fee and tax"},
		{chart.Fee, Outright, "the fee, pro rata; the last release takes what is left of it"},
		{chart.FeeTax, Outright, "the tax on the fee, likewise"},
	}
}

// available is what moves when so much becomes available.
func available(much string) []Movement {
	return []Movement{
		{chart.Mature, Outright, much},
		{chart.Reserve, Outright, "the policy's share of that"},
	}
}

// returning is what moves when something goes back that was released.
func returning(first string) []Movement {
	return []Movement{
		{chart.RefundFromPending, Outright, first},
		{chart.RefundCollected, Outright, "the rest of the seller's part"},
		{chart.RefundFromAvailable, Outright, "of that, as much as the seller has available"},
		{chart.RefundFromReserve, Outright, "then as much as there is in reserve"},
		{chart.RefundFromDebt, Outright, "then what is missing yet"},
		{chart.RefundOfFee, Outright, "the fee's part, where the policy returns it"},
		{chart.RefundOfFeeTax, Outright, "the tax's part, likewise"},
	}
}

// splitting is what moves when a dispute ends and so much goes back to the buyer.
func splitting(toBuyer string) []Movement {
	return append([]Movement{
		{chart.DisputeFreeze, Voided, "all that is held"},
		{chart.DisputeReserved, Voided, "or, after the release, what was kept"},
		{chart.RulingRelease, Outright, "the rest, less fee and tax"},
		{chart.RulingFee, Outright, "the fee on the rest, pro rata"},
		{chart.RulingFeeTax, Outright, "the tax on it, likewise"},
		{chart.RulingRefund, Outright, toBuyer},
	}, returning("or, after the release, of the seller's part of that, what has not matured")...)
}

// checkMoney insists that the legs are those of the effect in the money table, in
// its order; before them those of parts that matured along, one after the other.
func (ch *Change) checkMoney(along int, effect Effect) error {
	row := MoneyTable[effect]
	if along > 0 {
		row = slices.Concat(slices.Repeat(MoneyTable[MatureDue], along), row)
	}
	for i := range ch.Legs {
		l := &ch.Legs[i]
		code, stage := chart.TransferCode(l.Code), Stage(l.Flags&(ledger.TransferPending|ledger.TransferPostPending|ledger.TransferVoidPending))
		for len(row) > 0 && (row[0].Code != code || row[0].Stage != stage) {
			row = row[1:]
		}
		if len(row) == 0 {
			return fmt.Errorf("order: %s moves money by %s %s, which the money table does not say there", ch.Event, code, stage)
		}
		row = row[1:]
	}
	return nil
}
