package api

// Bulk is many requests of one kind in one. The items are independent: each
// gets an answer of its own, in the same place. Items about the same order
// take effect in the order in which they stand.
type Bulk[Item any] struct {
	Items []Item `json:"items" minItems:"1" maxItems:"1000" nullable:"false"`
}

// Answers are the answers to a Bulk, by index.
type Answers struct {
	Answers []Answer `json:"answers" nullable:"false"`
}

// Answer is what a request of its own would have been answered with.
type Answer struct {
	Status   int      `json:"status" doc:"The HTTP status that the request would have had by itself." example:"200"`
	Order    *Order   `json:"order,omitempty" doc:"The order right after the event."`
	Intent   string   `json:"intent,omitempty" format:"uuid" doc:"Payments: the id under which it is recorded."`
	Orders   []Order  `json:"orders,omitempty" nullable:"false" doc:"Payments: the orders that it paid."`
	Replayed bool     `json:"replayed,omitempty" doc:"An earlier request with the same idempotency key did it."`
	Problem  *Problem `json:"problem,omitempty" doc:"Why it did not happen."`
}

// ItemKey makes an item idempotent by itself.
type ItemKey struct {
	IdempotencyKey string `json:"idempotency_key,omitempty" maxLength:"255" pattern:"^[!-~]+$" doc:"Left out: derived from the Idempotency-Key header, where there is one, and the item's index." example:"web-10027:ship"`
}

// Keyed reports whether the item has a key of its own.
func (k ItemKey) Keyed() bool { return k.IdempotencyKey != "" }

// Target is the order that an item is about.
type Target struct {
	Order string `json:"order" format:"uuid" doc:"The order's id." example:"0190a3c4-5d6e-7f80-9a1b-2c3d4e5f6071"`
	ItemKey
}

// The items of the bulk requests: the request's own fields and Target.
type (
	// NewOrderItem is an item of /v1/bulk/orders.
	NewOrderItem struct {
		ItemKey
		NewOrder
	}
	// PaymentItem is an item of /v1/bulk/payments.
	PaymentItem struct {
		ItemKey
		Payment
	}
	// RepriceItem is an item of /v1/bulk/reprice.
	RepriceItem struct {
		Target
		Reprice
	}
	// AuthoriseItem is an item of /v1/bulk/authorise.
	AuthoriseItem struct {
		Target
		Authorise
	}
	// CaptureItem is an item of /v1/bulk/capture.
	CaptureItem struct {
		Target
		Capture
	}
	// VoidItem is an item of /v1/bulk/void.
	VoidItem struct {
		Target
		Void
	}
	// ShipItem is an item of /v1/bulk/ship.
	ShipItem struct {
		Target
		Ship
	}
	// DeliverItem is an item of /v1/bulk/deliver.
	DeliverItem struct {
		Target
		Deliver
	}
	// TrackItem is an item of /v1/bulk/track.
	TrackItem struct {
		Target
		Track
	}
	// ShipPartItem is an item of /v1/bulk/ship-part.
	ShipPartItem struct {
		Target
		ShipPart
	}
	// DeliverPartItem is an item of /v1/bulk/deliver-part.
	DeliverPartItem struct {
		Target
		DeliverPart
	}
	// ReleasePartItem is an item of /v1/bulk/release-part.
	ReleasePartItem struct {
		Target
		ReleasePart
	}
	// ConfirmItem is an item of /v1/bulk/confirm.
	ConfirmItem struct {
		Target
		Confirm
	}
	// ExtendItem is an item of /v1/bulk/extend.
	ExtendItem struct {
		Target
		Extend
	}
	// CancelItem is an item of /v1/bulk/cancel.
	CancelItem struct {
		Target
		Cancel
	}
	// RefundItem is an item of /v1/bulk/refund.
	RefundItem struct {
		Target
		Refund
	}
	// RefundReleasedItem is an item of /v1/bulk/refund-released.
	RefundReleasedItem struct {
		Target
		RefundReleased
	}
	// ChargebackItem is an item of /v1/bulk/chargeback.
	ChargebackItem struct {
		Target
		Chargeback
	}
	// SecondChargebackItem is an item of /v1/bulk/second-chargeback.
	SecondChargebackItem struct {
		Target
		SecondChargeback
	}
	// RepresentItem is an item of /v1/bulk/represent.
	RepresentItem struct {
		Target
		Represent
	}
	// WinChargebackItem is an item of /v1/bulk/win-chargeback.
	WinChargebackItem struct {
		Target
		WinChargeback
	}
	// LoseChargebackItem is an item of /v1/bulk/lose-chargeback.
	LoseChargebackItem struct {
		Target
		LoseChargeback
	}
	// DisputeItem is an item of /v1/bulk/dispute.
	DisputeItem struct {
		Target
		Dispute
	}
	// RulingItem is an item of /v1/bulk/ruling.
	RulingItem struct {
		Target
		Ruling
	}
	// AcceptClaimItem is an item of /v1/bulk/accept-claim.
	AcceptClaimItem struct {
		Target
		AcceptClaim
	}
	// ContestItem is an item of /v1/bulk/contest.
	ContestItem struct {
		Target
		Contest
	}
	// OfferItem is an item of /v1/bulk/offer.
	OfferItem struct {
		Target
		Offer
	}
	// AcceptOfferItem is an item of /v1/bulk/accept-offer.
	AcceptOfferItem struct {
		Target
		AcceptOffer
	}
	// EvidenceItem is an item of /v1/bulk/evidence.
	EvidenceItem struct {
		Target
		Evidence
	}
	// WithdrawItem is an item of /v1/bulk/withdraw.
	WithdrawItem struct {
		Target
		Withdraw
	}
	// EscalateItem is an item of /v1/bulk/escalate.
	EscalateItem struct {
		Target
		Escalate
	}
	// AppealItem is an item of /v1/bulk/appeal.
	AppealItem struct {
		Target
		Appeal
	}
	// ShipBackItem is an item of /v1/bulk/ship-back.
	ShipBackItem struct {
		Target
		ShipBack
	}
	// ReceiveReturnItem is an item of /v1/bulk/receive-return.
	ReceiveReturnItem struct {
		Target
		ReceiveReturn
	}
	// RefuseReturnItem is an item of /v1/bulk/refuse-return.
	RefuseReturnItem struct {
		Target
		RefuseReturn
	}
	// ShipReplacementItem is an item of /v1/bulk/ship-replacement.
	ShipReplacementItem struct {
		Target
		ShipReplacement
	}
)
