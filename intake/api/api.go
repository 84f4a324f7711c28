// Package api is the JSON of the HTTP API as plain Go structs, shared by the
// server and the client.
//
// Amounts are integers of minor units of the order's currency (cents for USD,
// yen for JPY), from 1 to 2^53-1, so that every JSON reader keeps them
// exactly. Times are RFC 3339 with a zone and at most microseconds; answers
// are in UTC. Ids are UUIDs.
//
// The tags are the contract: the server checks requests by them and the
// OpenAPI document is generated from them, so the two cannot differ. "doc",
// "example", "minLength", "maxLength", "minimum", "maximum", "pattern", "enum",
// "minItems" and "maxItems" mean what they mean in JSON Schema; a field is
// optional if it is marked omitempty or omitzero. "least" says why there has to be
// at least so much, by the rule that a refusal names.
package api

import (
	"encoding/json"
	"time"
)

// BulkMax is the most items in one bulk request.
const BulkMax = 1000

// PaymentMax is the most orders that one payment can cover.
const PaymentMax = 100

// Act says who did something and when; every request that moves an order on
// can carry it.
type Act struct {
	By string    `json:"by,omitempty" enum:"buyer,seller,carrier,operator" doc:"Who did it. Left out: whoever usually does. The operator is the marketplace itself." example:"seller"`
	At time.Time `json:"at,omitzero" doc:"When it took effect. Left out: the marketplace's now. Never later than that, and never before the order's last event." example:"2017-05-16T09:30:00Z"`
}

// NewOrder is what buyer and seller agreed.
type NewOrder struct {
	Reference     string          `json:"reference" minLength:"1" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"The marketplace's own name for the order, unique within the marketplace; at most 200 bytes of UTF-8." example:"web-10027"`
	Buyer         string          `json:"buyer" minLength:"1" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Opaque id of the buyer, at most 200 bytes of UTF-8." example:"buyer-7"`
	Seller        string          `json:"seller" minLength:"1" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Opaque id of the seller, at most 200 bytes of UTF-8." example:"seller-3"`
	Currency      string          `json:"currency" minLength:"3" maxLength:"3" doc:"ISO 4217 code in capital letters. One that was withdrawn by then is refused, and the error names what took its place." example:"USD"`
	Amount        int64           `json:"amount" minimum:"1" maximum:"9007199254740991" doc:"What the goods cost, in minor units. The buyer pays that, and on top what the policy lets the buyer bear of the fee." example:"12990"`
	Category      string          `json:"category,omitempty" pattern:"^[a-z][a-z0-9_-]{0,31}$" doc:"What kind of goods it is, a word of the marketplace's own: sellers can be eligible in some categories only." example:"furniture"`
	Policy        string          `json:"policy,omitempty" pattern:"^[a-z][a-z0-9_-]{0,31}$" doc:"Name of the policy under whose newest version in force the order is agreed. Left out: standard." example:"standard"`
	ShipBy        time.Time       `json:"ship_by,omitzero" doc:"Agreed date of shipment; it counts where it is later than the policy's." example:"2017-05-26T00:00:00Z"`
	Parts         []NewPart       `json:"parts,omitempty" minItems:"2" maxItems:"50" nullable:"false" doc:"What is shipped, confirmed and released by itself: part shipments, or milestones. All are amounts or all basis points of the order's amount, which they have to come to. Left out: all is released at once."`
	Virtual       bool            `json:"virtual,omitempty" doc:"Nothing is carried (a licence, a code): the buyer's time to confirm is the policy's confirm_virtual from the shipment, whatever is reported of a delivery."`
	ConfirmWithin int64           `json:"confirm_within,omitempty" minimum:"1" maximum:"316224000" doc:"Agreed: how long the buyer has from the delivery to inspect the goods and to confirm, in seconds, in place of the policy's confirm_after_delivery. The policy sets from how short to how long (confirm_agreed_min, confirm_agreed_max); anything else is refused by the rule policy. Left out: the policy's own time." example:"1209600"`
	Goods         json.RawMessage `json:"goods,omitempty" doc:"What was sold, as agreed: any JSON object of at most 16000 bytes (description, quantity, delivery ...). Kept on the order's timeline." example:"{\"description\":\"walnut table\",\"quantity\":1}"`
	SellerTerms
	Act
}

// NewPart is a part of an order as it is agreed: an amount, or basis points. The
// last may say neither: it is what the others leave.
type NewPart struct {
	Name   string    `json:"name" minLength:"1" maxLength:"60" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Its name, unique within the order." example:"table top"`
	Amount int64     `json:"amount,omitempty" minimum:"1" maximum:"9007199254740991" doc:"What of the order's amount is for it, in minor units." example:"8000"`
	Bps    int64     `json:"bps,omitempty" minimum:"1" maximum:"10000" doc:"The same in basis points, halves rounded to even; the last part takes what rounding leaves." example:"6000"`
	ShipBy time.Time `json:"ship_by,omitzero" doc:"Its agreed date of shipment, or when the milestone is due: after the agreement. If it is not shipped by then what is held of it goes back to the buyer, and the others go on. Left out, or passed when the order is paid: the order's ship_by." example:"2017-06-30T00:00:00Z"`
}

// Payment is one payment that covers one or several orders of one buyer.
type Payment struct {
	Orders    []string `json:"orders" format:"uuid" minItems:"1" maxItems:"100" nullable:"false" doc:"Ids of the orders that it pays, in full: orders of one buyer in one currency."`
	Method    string   `json:"method" pattern:"^[a-z][a-z0-9_-]{0,31}$" doc:"How it was paid: one of the policy's methods." example:"card"`
	Amount    int64    `json:"amount,omitempty" minimum:"1" maximum:"9007199254740991" doc:"The total that was paid; refused unless it is the sum of the orders' amounts, in their currency, with what the buyer bears of their fees. Left out: that sum." example:"12990"`
	Reference string   `json:"reference,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"The payment's name at the provider, kept on the timeline." example:"ch_3NqX"`
	FX        PaidFX   `json:"fx,omitzero" doc:"Of one order that was paid in another currency than its own. What is refunded later goes to the buyer's balance in the order's currency; an entry of kind conversion takes it back into the one that was paid."`
	Act
}

// PaidFX is how an order was paid in another currency. Amount less spread at the
// rate must come to exactly what the order is about.
type PaidFX struct {
	Currency string `json:"currency" minLength:"3" maxLength:"3" doc:"What was paid in: an ISO 4217 code in capital letters, not withdrawn." example:"JPY"`
	Amount   int64  `json:"amount" minimum:"1" maximum:"9007199254740991" doc:"What was paid, in minor units of that currency." example:"15100"`
	Rate     string `json:"rate" maxLength:"25" pattern:"^[0-9]+(\\.[0-9]+)?$" doc:"Units of the order's currency for one unit of what was paid, an exact decimal with up to 12 decimals. The result is rounded once, half a minor unit to the even one; if it is not the order's amount the payment is refused by the rule rate, which says what it would be." example:"0.0067"`
	Spread   int64  `json:"spread,omitempty" minimum:"0" maximum:"9007199254740991" doc:"How much of amount the marketplace keeps, in minor units of what was paid." example:"100"`
}

// Reprice says that buyer and seller have agreed on another price of an order that
// nobody has paid.
type Reprice struct {
	Amount int64  `json:"amount" minimum:"1" maximum:"9007199254740991" doc:"What the goods cost now, in minor units; another amount than before." example:"11990"`
	Reason string `json:"reason,omitempty" maxLength:"2000" doc:"Why, in words; kept on the timeline." example:"discount for a scratch"`
	Act
}

// Authorise says that the buyer's bank has promised the payment. Nothing is held
// before it is captured.
type Authorise struct {
	Method    string `json:"method" pattern:"^[a-z][a-z0-9_-]{0,31}$" doc:"How it will be paid: one of the policy's methods." example:"card"`
	Amount    int64  `json:"amount,omitempty" minimum:"1" maximum:"9007199254740991" doc:"What was authorised, in minor units; refused unless it is the order's amount, with what the buyer bears of the fee. Left out: that." example:"12990"`
	Reference string `json:"reference,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"The authorisation's name at the provider, kept on the timeline." example:"pi_3NqX"`
	Act
}

// Capture takes what was authorised, or a part of it, and holds it.
type Capture struct {
	Amount    int64  `json:"amount,omitempty" minimum:"1" maximum:"9007199254740991" doc:"How much, in minor units. Left out: all that is authorised. A part only by operator: the rest is void then, and fee and tax are worked out anew." example:"9990"`
	Reference string `json:"reference,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"The payment's name at the provider, kept on the timeline." example:"ch_3NqX"`
	Act
}

// Void ends an authorisation without a payment; the order is canceled.
type Void struct {
	Reason string `json:"reason,omitempty" maxLength:"2000" doc:"Why, in words; kept on the timeline." example:"out of stock"`
	Act
}

// Ship says that the goods left.
type Ship struct {
	Carrier  string `json:"carrier,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Who carries the goods." example:"DHL"`
	Tracking string `json:"tracking,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"The carrier's tracking number." example:"00340434292135100186"`
	Act
}

// Track says where the goods are: what a carrier has scanned. It moves neither
// money nor a deadline, but for delivered, which is the event deliver, or
// deliver_part where it names parts.
type Track struct {
	Status    string    `json:"status" enum:"label_created,picked_up,in_transit,customs,out_for_delivery,attempted,at_pickup_point,exception,returning_to_sender,delivered" doc:"What the carrier says." example:"in_transit"`
	Location  string    `json:"location,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Where; kept on the timeline." example:"Leipzig, DE"`
	ScannedAt time.Time `json:"scanned_at,omitzero" doc:"When the carrier noted it, for what is reported late: at cannot be before the order's last event. Never later than at." example:"2017-05-18T04:12:00Z"`
	Tracking  string    `json:"tracking,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"The carrier's tracking number." example:"00340434292135100186"`
	Parts     []string  `json:"parts,omitempty" minItems:"1" maxItems:"50" nullable:"false" doc:"Of an order in parts, which of them it is about." example:"table top"`
	Note      string    `json:"note,omitempty" maxLength:"2000" doc:"In words; kept on the timeline." example:"address not found"`
	Act
}

// Deliver says that the goods arrived; the time to confirm starts anew.
type Deliver struct{ Act }

// ShipPart says that parts of the order left.
type ShipPart struct {
	Parts    []string `json:"parts" minItems:"1" maxItems:"50" nullable:"false" doc:"Their names." example:"table top"`
	Carrier  string   `json:"carrier,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Who carries them." example:"DHL"`
	Tracking string   `json:"tracking,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"The carrier's tracking number." example:"00340434292135100186"`
	Act
}

// DeliverPart says that parts of the order arrived; their time to confirm starts
// anew.
type DeliverPart struct {
	Parts []string `json:"parts" minItems:"1" maxItems:"50" nullable:"false" doc:"Their names." example:"table top"`
	Act
}

// ReleasePart is the buyer's word that parts of the order are as agreed: what is
// held of them is released to the seller, less its share of the fee.
type ReleasePart struct {
	Parts []string `json:"parts" minItems:"1" maxItems:"50" nullable:"false" doc:"Their names." example:"table top"`
	Act
}

// Confirm is the buyer's word that the goods are as agreed: what is held is
// released to the seller, less the fee.
type Confirm struct{ Act }

// Extend moves a ship_by or confirm_by deadline.
type Extend struct {
	Until time.Time `json:"until,omitzero" doc:"The new deadline or, where buyer and seller extend together, what is asked for or agreed to. Left out: as far as the policy lets one extension go." example:"2017-06-05T00:00:00Z"`
	Act
}

// Cancel ends an order that was not shipped; what is held is refunded.
type Cancel struct {
	Reason string `json:"reason,omitempty" maxLength:"2000" doc:"Why, in words; kept on the timeline." example:"out of stock"`
	Act
}

// Refund gives a part of what is held, or all of it, back to the buyer.
type Refund struct {
	Amount int64    `json:"amount,omitempty" minimum:"1" maximum:"9007199254740991" doc:"How much, in minor units. Left out: all that is held." example:"500"`
	Parts  []string `json:"parts,omitempty" minItems:"1" maxItems:"50" nullable:"false" doc:"Of an order in parts, of which of them: all that is held of each, or amount of a single one. Left out: all of the order." example:"table top"`
	Reason string   `json:"reason,omitempty" maxLength:"2000" doc:"Why, in words; kept on the timeline." example:"one chair arrived scratched"`
	Act
}

// RefundReleased gives a part of what was released, or all of it, back to the
// buyer. What has not matured goes back as it is; for the rest the seller's
// available money pays, then the reserve, and what is missing is the seller's
// debt.
type RefundReleased struct {
	Amount int64  `json:"amount,omitempty" minimum:"1" maximum:"9007199254740991" doc:"How much, in minor units, fee and tax included. Left out: all that was released and has not gone back." example:"2500"`
	Reason string `json:"reason" minLength:"1" maxLength:"2000" doc:"Why, in words; kept on the timeline." example:"broke after two weeks"`
	Act
}

// Chargeback says that the buyer's bank has taken the payment, or a part of it,
// back from the provider. The order's own clock stands still until it is won or
// lost.
type Chargeback struct {
	Amount    int64   `json:"amount,omitempty" minimum:"1" maximum:"9007199254740991" doc:"How much, in minor units. Left out: all of the payment that has not gone back." example:"12990"`
	Reason    string  `json:"reason" minLength:"1" maxLength:"2000" doc:"The bank's reason code, or why in words; kept on the timeline." example:"10.4"`
	Reference string  `json:"reference,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"The case's name at the provider, kept on the timeline." example:"dp_1NqX"`
	Method    string  `json:"method,omitempty" pattern:"^[a-z][a-z0-9_-]{0,31}$" doc:"By which method the money had come in that the provider takes. Required of an order that was paid from the buyer's balance; of another one as it was paid, or left out." example:"bank_transfer"`
	FX        TakenFX `json:"fx,omitzero" doc:"Of an order that was paid in another currency than its own, where it is required: what the provider took of that."`
	Act
}

// TakenFX is what the provider took in another currency than the order's. At the
// rate it must come to exactly what is charged back.
type TakenFX struct {
	Currency string `json:"currency" minLength:"3" maxLength:"3" doc:"What the order was paid in: an ISO 4217 code in capital letters." example:"JPY"`
	Amount   int64  `json:"amount" minimum:"1" maximum:"9007199254740991" doc:"What the provider took, in minor units of that currency." example:"15000"`
	Rate     string `json:"rate" maxLength:"25" pattern:"^[0-9]+(\\.[0-9]+)?$" doc:"Units of the order's currency for one unit of what was taken, an exact decimal with up to 12 decimals. The result is rounded once, half a minor unit to the even one; if it is not what is charged back the chargeback is refused by the rule rate, which says what it would be." example:"0.0067"`
}

// SecondChargeback is a chargeback after one that was won: the pre-arbitration.
type SecondChargeback Chargeback

// ChargebackStep is what the marketplace did about an open chargeback, or how it
// ended.
type ChargebackStep struct {
	Reason    string `json:"reason,omitempty" maxLength:"2000" doc:"Why, in words; kept on the timeline." example:"signed for by the buyer"`
	Reference string `json:"reference,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"The case's name at the provider, kept on the timeline." example:"dp_1NqX"`
	Act
}

type (
	// Represent says that the marketplace has answered the bank.
	Represent ChargebackStep
	// WinChargeback says that the bank gives the payment back.
	WinChargeback ChargebackStep
	// LoseChargeback says that it does not, or that the marketplace accepts that.
	LoseChargeback ChargebackStep
)

// OpenChargeback is a chargeback as it stands. Amounts are minor units.
type OpenChargeback struct {
	OpenedAt time.Time `json:"opened_at" example:"2017-06-20T09:30:00Z"`
	Amount   int64     `json:"amount" doc:"What the bank has taken." example:"12990"`
	From     string    `json:"from" doc:"Where the order stood, and goes on if the chargeback is won." example:"closed"`
	Second   bool      `json:"second" doc:"After one that was won."`
	Method   string    `json:"method,omitempty" doc:"By which method the money had come in; left out of one that was opened before that was noted." example:"card"`
	FX       *TakenFX  `json:"fx,omitempty" doc:"What the provider took, where that was in another currency than the order's."`
}

// Dispute freezes all that is held until the dispute ends, whatever of it is
// claimed; of what was released, what is claimed of the seller's is kept.
type Dispute struct {
	Amount int64  `json:"amount,omitempty" minimum:"1" maximum:"9007199254740991" doc:"What the buyer wants back, in minor units. Left out: all that is held or, after the release, all that was released and has not gone back." example:"4000"`
	Reason string `json:"reason" minLength:"1" maxLength:"2000" doc:"Why the buyer disputes the order." example:"not received"`
	Act
}

// AcceptClaim is a party's word that what the other claims is right: the seller's,
// or of goods that came back damaged the buyer's.
type AcceptClaim struct{ Act }

// Contest is the seller's word that it is not.
type Contest struct {
	Reason string `json:"reason" minLength:"1" maxLength:"2000" doc:"Why, in words; kept on the timeline." example:"it was in order when it left"`
	Act
}

// Offer is how a party would end a dispute.
type Offer struct {
	ToBuyer     int64  `json:"to_buyer" minimum:"0" maximum:"9007199254740991" doc:"What would go back to the buyer, in minor units; the rest to the seller, fee included." example:"2000"`
	Return      bool   `json:"return,omitempty" doc:"Only once the goods are back with the seller."`
	Replacement bool   `json:"replacement,omitempty" doc:"The seller ships other goods in place of those that came; to_buyer is 0 then: all that is held is the seller's once the buyer confirms them."`
	Note        string `json:"note,omitempty" maxLength:"2000" doc:"In words; kept on the timeline." example:"a fifth off, and you keep it"`
	Act
}

// AcceptOffer accepts what the other party offered last.
type AcceptOffer struct {
	ToBuyer     int64 `json:"to_buyer" minimum:"0" maximum:"9007199254740991" doc:"The offer's own, said again so that an offer that has changed is not accepted by mistake." example:"2000"`
	Replacement bool  `json:"replacement,omitempty" doc:"The offer's own as well."`
	Act
}

// Evidence is a file that speaks for a party.
type Evidence struct {
	SHA256 string `json:"sha256" pattern:"^[0-9a-f]{64}$" doc:"Of the file's content." example:"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	URL    string `json:"url" maxLength:"2000" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Where it is: an https URL. It is not fetched." example:"https://files.example.com/scratch.jpg"`
	Type   string `json:"type" maxLength:"100" doc:"application/pdf, image/jpeg, image/png, image/webp, text/plain or video/mp4." example:"image/jpeg"`
	Size   int64  `json:"size" minimum:"0" maximum:"9007199254740991" doc:"Bytes; at most 20971520." example:"81422"`
	Note   string `json:"note,omitempty" maxLength:"2000" doc:"What it shows, in words." example:"the scratch"`
	Act
}

// Withdraw ends a dispute as if it had not been opened.
type Withdraw struct {
	Reason string `json:"reason,omitempty" maxLength:"2000" doc:"Why, in words; kept on the timeline." example:"it has arrived"`
	Act
}

// Escalate puts a dispute before the marketplace.
type Escalate struct {
	Reason string `json:"reason,omitempty" maxLength:"2000" doc:"Why, in words; kept on the timeline." example:"no agreement"`
	Act
}

// Appeal is a party's word against a ruling.
type Appeal struct {
	Reason string `json:"reason" minLength:"1" maxLength:"2000" doc:"Why, in words; kept on the timeline." example:"the carrier's report was not read"`
	Act
}

// ShipBack says that the goods went back to the seller.
type ShipBack struct {
	Carrier  string `json:"carrier,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Who carries the goods." example:"DHL"`
	Tracking string `json:"tracking,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"The carrier's tracking number." example:"00340434292135100186"`
	Act
}

// ReceiveReturn is the seller's word that the goods are back and in order.
type ReceiveReturn struct{ Act }

// RefuseReturn is the seller's word that they are not.
type RefuseReturn struct {
	Amount int64  `json:"amount,omitempty" minimum:"1" maximum:"9007199254740991" doc:"What the seller claims for damage, in minor units: of what was to go back to the buyer for the goods. The rest is offered to the buyer, and without the seller's evidence in time the claim falls. Left out: the return as a whole is refused, and the buyer has to give evidence." example:"1500"`
	Reason string `json:"reason" minLength:"1" maxLength:"2000" doc:"Why, in words; kept on the timeline." example:"used and broken"`
	Act
}

// ShipReplacement says that other goods left in place of those that came.
type ShipReplacement struct {
	Carrier  string `json:"carrier,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Who carries the goods." example:"DHL"`
	Tracking string `json:"tracking,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"The carrier's tracking number." example:"00340434292135100186"`
	Act
}

// Claim is an open dispute as it stands. Amounts are minor units.
type Claim struct {
	OpenedAt       time.Time    `json:"opened_at" example:"2017-05-20T09:30:00Z"`
	Amount         int64        `json:"amount" doc:"What the buyer wants back; once there is damage, damage.to_buyer is that." example:"4000"`
	Stake          int64        `json:"stake,omitempty" doc:"What of the money that was released already the dispute is about, and its offers and its ruling split; left out where that is what is held." example:"4000"`
	Offer          *ClaimOffer  `json:"offer,omitempty" doc:"The last offer, not accepted yet."`
	Return         *ClaimOffer  `json:"return,omitempty" doc:"What was agreed, or ruled, for the goods that are to come back; by says who offered or ordered it."`
	Ruling         *ClaimRuling `json:"ruling,omitempty" doc:"The ruling that may still be appealed."`
	Damage         *ClaimDamage `json:"damage,omitempty" doc:"What the seller claims of goods that came back damaged."`
	Appealed       string       `json:"appealed,omitempty" doc:"Who appealed against the ruling before." example:"seller"`
	BuyerEvidence  int          `json:"buyer_evidence" doc:"Files of the buyer's on the timeline." example:"2"`
	SellerEvidence int          `json:"seller_evidence" doc:"Files of the seller's on the timeline." example:"0"`
}

// ClaimOffer is an offer that was made.
type ClaimOffer struct {
	By          string `json:"by" example:"seller"`
	ToBuyer     int64  `json:"to_buyer" example:"2000"`
	Return      bool   `json:"return" doc:"Only once the goods are back."`
	Replacement bool   `json:"replacement" doc:"The goods are replaced."`
}

// ClaimDamage is what the seller claims of goods that came back damaged.
type ClaimDamage struct {
	Amount  int64 `json:"amount" doc:"Of to_buyer, what the seller wants to keep." example:"1500"`
	ToBuyer int64 `json:"to_buyer" doc:"What was to go to the buyer for the goods: that is what the buyer claims from then on. By accept-claim the seller accepts that, the buyer that less amount." example:"9000"`
}

// ClaimRuling is a ruling that is not carried out yet.
type ClaimRuling struct {
	ToBuyer     int64 `json:"to_buyer" example:"4000"`
	ToSeller    int64 `json:"to_seller" example:"8990"`
	Return      bool  `json:"return" doc:"Only once the goods are back."`
	Replacement bool  `json:"replacement" doc:"The goods are replaced."`
}

// Ruling ends a dispute. The two parts must sum to what is held or, after the
// release, to the claim's stake.
type Ruling struct {
	ToBuyer     int64  `json:"to_buyer" minimum:"0" maximum:"9007199254740991" doc:"What goes back to the buyer, in minor units." example:"4000"`
	ToSeller    int64  `json:"to_seller" minimum:"0" maximum:"9007199254740991" doc:"What is released to the seller, fee included, or stays so, in minor units." example:"8990"`
	Return      bool   `json:"return,omitempty" doc:"Only once the goods are back with the seller, as an accepted offer of a return does."`
	Replacement bool   `json:"replacement,omitempty" doc:"The seller ships other goods in place of those that came; to_buyer is 0 then."`
	Reason      string `json:"reason,omitempty" maxLength:"2000" doc:"Why, in words; kept on the timeline." example:"damaged in transit, usable"`
	Act
}

// Order is one order as it stands after Events events.
type Order struct {
	ID            string    `json:"id" format:"uuid" doc:"The order's id; also the id of its escrow account in the ledger." example:"0190a3c4-5d6e-7f80-9a1b-2c3d4e5f6071"`
	Reference     string    `json:"reference" doc:"The marketplace's own name for it." example:"web-10027"`
	Buyer         string    `json:"buyer" example:"buyer-7"`
	Seller        string    `json:"seller" example:"seller-3"`
	Category      string    `json:"category,omitempty" doc:"What kind of goods it is; left out where none was given." example:"furniture"`
	Currency      string    `json:"currency" doc:"ISO 4217 code." example:"USD"`
	Amount        int64     `json:"amount" doc:"What the goods cost, in minor units: what was agreed last, or the part of it that was captured." example:"12990"`
	AgreedAmount  int64     `json:"agreed_amount,omitempty" doc:"What was agreed at first; left out where amount is that and always was." example:"14990"`
	RepricedTo    int64     `json:"repriced_to,omitempty" doc:"The price that was agreed since, before the payment; left out where it is still what was agreed at first." example:"12990"`
	Fee           int64     `json:"fee" doc:"The fee on the whole amount, fixed at the agreement; once more by another price, and by the payment, where it depends on the method or only a part was captured." example:"650"`
	Tax           int64     `json:"tax" doc:"Tax on that fee." example:"0"`
	Policy        string    `json:"policy" doc:"The policy it was agreed under." example:"standard"`
	PolicyVersion int32     `json:"policy_version" doc:"The policy's version, fixed at the agreement." example:"1"`
	AgreedAt      time.Time `json:"agreed_at" example:"2017-05-15T12:00:00Z"`
	ShipBy        time.Time `json:"ship_by,omitzero" doc:"The agreed date of shipment, where there is one."`

	Virtual       bool  `json:"virtual,omitempty" doc:"Nothing is carried."`
	ConfirmWithin int64 `json:"confirm_within,omitempty" doc:"How long the buyer has from the delivery to confirm, in seconds, where that was agreed; left out where it is the policy's time." example:"1209600"`

	State       string          `json:"state" enum:"agreed,authorised,held,part_shipped,shipped,delivered,disputed,negotiating,escalated,arbitration,decided,returning,returned,replacing,ruled,released,reserved,charged_back,represented,refunded,canceled,expired,closed" doc:"Where the order stands." example:"shipped"`
	Held        int64           `json:"held" doc:"In escrow now, frozen or not." example:"12990"`
	Released    int64           `json:"released" doc:"Left escrow for the seller, fee and tax included, less what went back to the buyer since." example:"0"`
	Refunded    int64           `json:"refunded" doc:"Went back to the buyer." example:"0"`
	FeeCharged  int64           `json:"fee_charged" doc:"The fee's part of what was released; more where the policy keeps the fee on what goes back." example:"0"`
	TaxCharged  int64           `json:"tax_charged" doc:"The tax's part, likewise." example:"0"`
	Maturing    int64           `json:"maturing" doc:"The seller's part of what was released that is not available yet." example:"0"`
	Reserved    int64           `json:"reserved,omitempty" doc:"What was kept in reserve of the seller's part, for its time; of an order in parts, of those that have matured, until the last has. Left out where nothing is." example:"1200"`
	Deadline    string          `json:"deadline,omitempty" enum:"pay_by,capture_by,ship_by,confirm_part_by,confirm_by,respond_by,negotiate_by,evidence_by,rule_by,appeal_by,return_by,inspect_by,replace_by,mature_part_at,mature_at,reserve_until,represent_by,decision_by" doc:"What has to happen by deadline_at; left out in the final states." example:"confirm_by"`
	DeadlineAt  time.Time       `json:"deadline_at,omitzero" example:"2017-05-31T09:30:00Z"`
	Asked       *AskedExtension `json:"asked_extension,omitempty" doc:"A later deadline that buyer or seller has asked for and the other has not agreed to; left out where there is none."`
	Holidays    int16           `json:"holidays,omitempty" doc:"By how many holidays of the policy's calendar the deadline was lengthened, a day each." example:"7"`
	At          time.Time       `json:"at" doc:"When the last event took effect." example:"2017-05-16T09:30:00Z"`
	PaidAt      time.Time       `json:"paid_at,omitzero" doc:"When it was paid; left out if it never was."`
	Chargeback  *OpenChargeback `json:"chargeback,omitempty" doc:"The open chargeback; left out where there is none."`
	ChargedBack int64           `json:"charged_back,omitempty" doc:"What the buyer's bank took and kept: of refunded, or, where the marketplace bore it, beside it; left out where nothing." example:"12990"`
	Disputes    int16           `json:"disputes,omitempty" doc:"How often the buyer has disputed it, withdrawn disputes too; left out if never." example:"1"`
	Replaced    bool            `json:"replaced,omitempty" doc:"true: a dispute ended with other goods in place of the first."`
	Claim       *Claim          `json:"claim,omitempty" doc:"The open dispute; left out where there is none."`
	Parts       []Part          `json:"parts,omitempty" nullable:"false" doc:"What it was agreed in, and how far each part is; left out for an order that is not in parts. The order's state is that of the least advanced part that money is held for, its deadline the earliest of theirs."`
	Events      int32           `json:"events" doc:"How many events took place." example:"3"`

	SellerTerms
	BuyerShare int64  `json:"buyer_share,omitempty" doc:"What the buyer pays on top of amount: what it bears of fee and tax. amount + buyer_share = held + released + refunded, once it is paid." example:"195"`
	Method     string `json:"method,omitempty" doc:"How it was paid; only under a policy with fee rules." example:"card"`
}

// AskedExtension is a later deadline that one party has asked for: the other agrees
// by an extend to the same moment.
type AskedExtension struct {
	By    string    `json:"by" doc:"buyer or seller." example:"seller"`
	Until time.Time `json:"until" example:"2017-06-15T09:30:00Z"`
}

// Part is one part of an order.
type Part struct {
	Name       string    `json:"name" example:"table top"`
	Amount     int64     `json:"amount" doc:"What of the order's amount is for it, as agreed." example:"8000"`
	ShipBy     time.Time `json:"ship_by,omitzero" doc:"Its agreed date of shipment, where it has one." example:"2017-06-30T00:00:00Z"`
	BuyerShare int64     `json:"buyer_share,omitempty" doc:"What of the order's buyer_share is for it, from the payment on: pro rata to the amounts, to the cent." example:"240"`
	State      string    `json:"state" enum:"agreed,held,shipped,delivered,released,refunded,ruled" doc:"agreed until the order is paid; ruled: a dispute split what was held." example:"shipped"`
	Held       int64     `json:"held" doc:"Of amount and buyer_share: in escrow now." example:"8000"`
	Refunded   int64     `json:"refunded" doc:"Of amount and buyer_share: went back to the buyer, but not by a ruling, which is about the whole order." example:"0"`
	ReleasedAt time.Time `json:"released_at,omitzero" doc:"When it was released, or ruled." example:"2017-05-20T09:30:00Z"`
	Maturing   int64     `json:"maturing,omitempty" doc:"The seller's part of it that is not available yet; left out for nothing. The parts' together are the order's." example:"7044"`
	Deadline   string    `json:"deadline,omitempty" enum:"ship_by,confirm_part_by,mature_part_at" doc:"What has to happen to it by deadline_at; mature_part_at: nobody has to do anything." example:"confirm_part_by"`
	DeadlineAt time.Time `json:"deadline_at,omitzero" example:"2017-05-31T09:30:00Z"`
	Holidays   int16     `json:"holidays,omitempty" doc:"By how many holidays of the policy's calendar it was lengthened." example:"7"`
}

// OrderDetail is an order, why its money is where it is, and what can happen
// next.
type OrderDetail struct {
	Order
	Explanation Explanation `json:"explanation"`
	Allowed     []Allowed   `json:"allowed" nullable:"false" doc:"What can happen to it now, and who may cause it."`
}

// Explanation says in words why an order's money is where it is.
type Explanation struct {
	Why       string `json:"why" example:"USD 129.90 is held: the goods were shipped and nobody has reported their delivery."`
	Until     string `json:"until" example:"2017-05-31T09:30:00Z, confirm_by"`
	Next      string `json:"next" doc:"Who must act." example:"The buyer confirms or opens a dispute; a reported delivery starts the time to confirm anew."`
	Otherwise string `json:"otherwise" doc:"What happens if nobody does." example:"What is held is released to the seller, less the fee."`
}

// Allowed is an event that an order's state admits, and who may cause it.
type Allowed struct {
	Event string   `json:"event" example:"confirm"`
	By    []string `json:"by" nullable:"false" doc:"The roles that may cause it; system is a deadline that passes." example:"buyer"`
}

// Orders is a page of orders by id, oldest first.
type Orders struct {
	Orders []Order `json:"orders" nullable:"false"`
	Next   string  `json:"next,omitempty" doc:"Give it as cursor to get the next page; left out on the last."`
}

// Paid is a payment that was booked.
type Paid struct {
	Intent string  `json:"intent" format:"uuid" doc:"The id under which it is recorded; the ids of its transfers in the ledger start with it." example:"0190a3c4-5d6e-7f80-9a1b-2c3d4e5f0000"`
	Orders []Order `json:"orders" nullable:"false" doc:"The orders that it paid, right afterwards."`
}

// Event is something that happened to an order, and the order right after it.
type Event struct {
	Position        int64           `json:"position,omitempty" doc:"Place in the marketplace's feed; left out in an order's timeline." example:"4711"`
	Order           string          `json:"order" format:"uuid" doc:"The order's id."`
	Intent          string          `json:"intent" format:"uuid" doc:"The id under which it is recorded; the ids of its transfers in the ledger start with it."`
	Seq             int32           `json:"seq" doc:"Counts the order's events, from 1." example:"2"`
	Event           string          `json:"event" doc:"What happened." example:"pay"`
	By              string          `json:"by" doc:"Who caused it; system is a deadline that passed." example:"buyer"`
	At              time.Time       `json:"at" doc:"When it took effect, in the marketplace's time."`
	RecordedAt      time.Time       `json:"recorded_at" doc:"When it was decided, by the machine's clock."`
	LedgerTimestamp string          `json:"ledger_timestamp,omitempty" doc:"The ledger's timestamp, nanoseconds since 1970 UTC as decimal digits (it is beyond 2^53); left out where no money moved." example:"1700000000000000001"`
	Data            json.RawMessage `json:"data,omitempty" doc:"What the caller said of it: goods, method, tracking, reason ..."`

	State      string    `json:"state" example:"held"`
	Held       int64     `json:"held" example:"12990"`
	Released   int64     `json:"released" example:"0"`
	Refunded   int64     `json:"refunded" example:"0"`
	FeeCharged int64     `json:"fee_charged" example:"0"`
	TaxCharged int64     `json:"tax_charged" example:"0"`
	Maturing   int64     `json:"maturing" example:"0"`
	Deadline   string    `json:"deadline,omitempty" example:"ship_by"`
	DeadlineAt time.Time `json:"deadline_at,omitzero"`
}

// Timeline is all that happened to one order, oldest first.
type Timeline struct {
	Events []Event `json:"events" nullable:"false"`
}

// Shipment is goods that left together, to the buyer or back to the seller.
type Shipment struct {
	Number      int            `json:"number" doc:"Counts the order's shipments, from 1." example:"2"`
	Kind        string         `json:"kind" enum:"goods,part,replacement,return" doc:"goods: all of the order in one; part: some of its parts; replacement: other goods in place of those that came; return: goods on their way back." example:"replacement"`
	Parts       []string       `json:"parts,omitempty" nullable:"false" doc:"Of an order in parts, which of them it brings." example:"table top"`
	ChildOf     int            `json:"child_of,omitempty" doc:"The number of the shipment that it replaces, or brings back; left out where that came in several." example:"1"`
	Amount      int64          `json:"amount" doc:"What was held for its goods when it left, in minor units of the order's currency; 0 for a replacement and a return, which bring no money of their own." example:"0"`
	Carrier     string         `json:"carrier,omitempty" doc:"Who carries it." example:"DHL"`
	Tracking    string         `json:"tracking,omitempty" doc:"The carrier's tracking number." example:"00340434292135100186"`
	ShippedAt   time.Time      `json:"shipped_at,omitzero" doc:"Left out of a return that was handed over without a shipment."`
	DeliveredAt time.Time      `json:"delivered_at,omitzero" doc:"Left out as long as nobody has reported it. Of parts: when the last of them was delivered; of a return: when the seller had it."`
	Scans       []ShipmentScan `json:"scans" nullable:"false" doc:"What carriers noted, in the order in which it was reported."`
}

// ShipmentScan is a carrier's word of where a shipment is.
type ShipmentScan struct {
	At       time.Time `json:"at" doc:"When the carrier noted it, or else when it took effect." example:"2017-05-18T04:12:00Z"`
	Status   string    `json:"status" enum:"label_created,picked_up,in_transit,customs,out_for_delivery,attempted,at_pickup_point,exception,returning_to_sender,delivered" example:"in_transit"`
	Location string    `json:"location,omitempty" example:"Leipzig, DE"`
	Tracking string    `json:"tracking,omitempty" doc:"The tracking number that was said, where it is not the shipment's." example:"00340434292135100186"`
	Note     string    `json:"note,omitempty" example:"address not found"`
}

// Shipments are all of an order's, in the order in which they left.
type Shipments struct {
	Shipments []Shipment `json:"shipments" nullable:"false"`
}

// Feed is a page of all that happened in a marketplace, in the order in which
// it was recorded.
type Feed struct {
	Events []Event `json:"events" nullable:"false"`
	Next   int64   `json:"next" doc:"Give it as after to go on; the same as before where there is nothing new." example:"4711"`
}

// Clock is a marketplace's clock.
type Clock struct {
	Mode      string    `json:"mode" enum:"live,test" doc:"A test clock moves when its owner moves it." example:"test"`
	Now       time.Time `json:"now" doc:"The marketplace's now." example:"2017-06-01T00:00:00Z"`
	Deadlines time.Time `json:"deadlines" doc:"Deadlines up to here are fired." example:"2017-06-01T00:00:00Z"`
}

// SetClock moves a test clock forward.
type SetClock struct {
	To            time.Time `json:"to" doc:"The new now. A time before now leaves the clock as it is." example:"2017-06-01T00:00:00Z"`
	HoldDeadlines bool      `json:"hold_deadlines,omitempty" doc:"Move now only: deadlines up to it stay unfired until a later call without this."`
}

// ClockMoved is a clock after it was moved.
type ClockMoved struct {
	Clock
	Fired int `json:"fired" doc:"How many events the passing deadlines caused." example:"12"`
}

// PolicyTerms are a policy's rules. Durations are seconds.
type PolicyTerms struct {
	Name                  string           `json:"name" pattern:"^[a-z][a-z0-9_-]{0,31}$" example:"standard"`
	Effective             time.Time        `json:"effective,omitzero" doc:"When the version comes into force, in the marketplace's time; orders agreed earlier get an older one. Left out: at once." example:"2026-12-01T00:00:00Z"`
	PayWithin             int64            `json:"pay_within" least:"without it a state has no deadline (rule deadline)" minimum:"1" maximum:"316224000" doc:"From the agreement: then the order expires." example:"432000"`
	AuthoriseWithin       int64            `json:"authorise_within,omitempty" minimum:"0" maximum:"316224000" doc:"From the authorisation of a payment: then it is voided and the order expires. 0: payments are captured at once." example:"604800"`
	ShipWithin            int64            `json:"ship_within" least:"without it a state has no deadline (rule deadline)" minimum:"1" maximum:"316224000" doc:"From the payment: then the order is canceled and refunded. An agreed date of shipment counts where it is later." example:"864000"`
	RequireTracking       bool             `json:"require_tracking,omitempty" doc:"A shipment, of a part, back, or of a replacement too, counts only with the carrier's tracking number; not of virtual goods."`
	ConfirmAfterDelivery  int64            `json:"confirm_after_delivery" least:"without it a state has no deadline (rule deadline)" minimum:"1" maximum:"316224000" doc:"From the delivery: then the seller is paid." example:"604800"`
	ConfirmAfterShipment  int64            `json:"confirm_after_shipment" least:"without it a state has no deadline (rule deadline)" minimum:"1" maximum:"316224000" doc:"From the shipment, as long as nobody reports a delivery: then the seller is paid." example:"1296000"`
	ConfirmAgreedMin      int64            `json:"confirm_agreed_min,omitempty" minimum:"0" maximum:"316224000" doc:"The shortest time from the delivery that can be agreed for one order, in place of confirm_after_delivery. 0, as confirm_agreed_max: none can." example:"86400"`
	ConfirmAgreedMax      int64            `json:"confirm_agreed_max,omitempty" minimum:"0" maximum:"316224000" doc:"The longest; not longer than confirm_after_shipment." example:"1296000"`
	ConfirmVirtual        int64            `json:"confirm_virtual,omitempty" minimum:"0" maximum:"316224000" doc:"From the shipment of virtual goods, in place of both. 0: no orders of virtual goods." example:"259200"`
	Calendar              Calendar         `json:"calendar,omitzero" doc:"Holidays, each of which lengthens the time to confirm by a day if it falls into it."`
	ExtendTimes           int16            `json:"extend_times" minimum:"0" maximum:"100" doc:"How often each of buyer and seller may move a ship_by or confirm_by deadline." example:"1"`
	ExtendBy              int64            `json:"extend_by" minimum:"0" maximum:"316224000" doc:"How far one extension goes at most." example:"1296000"`
	Disputes              int16            `json:"disputes,omitempty" minimum:"0" maximum:"100" doc:"How often the buyer may dispute an order at most, withdrawn disputes too. 0 or left out: no limit." example:"3"`
	RuleWithin            int64            `json:"rule_within" least:"without it a state has no deadline (rule deadline)" minimum:"1" maximum:"316224000" doc:"From the dispute. Nothing moves by itself when it passes; the order is reported as overdue." example:"1209600"`
	RespondWithin         int64            `json:"respond_within,omitempty" minimum:"0" maximum:"316224000" doc:"From the dispute: then the claim is granted. 0: no answer and no negotiation, the marketplace rules." example:"432000"`
	NegotiateWithin       int64            `json:"negotiate_within,omitempty" minimum:"0" maximum:"316224000" doc:"From the seller's objection: then the dispute is escalated." example:"864000"`
	EscalateAfter         int64            `json:"escalate_after,omitempty" minimum:"0" maximum:"316224000" doc:"From the dispute: from then on buyer and seller may escalate it." example:"259200"`
	EvidenceWithin        int64            `json:"evidence_within,omitempty" minimum:"0" maximum:"316224000" doc:"From the escalation: then the marketplace rules, or the claim falls if the buyer gave no evidence." example:"432000"`
	AppealWithin          int64            `json:"appeal_within,omitempty" minimum:"0" maximum:"316224000" doc:"From the ruling: then it is carried out. 0: at once." example:"259200"`
	ApproveRulingsOver    map[string]int64 `json:"approve_rulings_over,omitempty" doc:"By currency code, in minor units from 1: a ruling on more than that is proposed by one person and approved by another (POST /v1/entries, kind ruling). A currency that is left out has no such limit."`
	ReturnWithin          int64            `json:"return_within,omitempty" minimum:"0" maximum:"316224000" doc:"From the agreement on a return: then the seller is paid. 0: no returns." example:"864000"`
	InspectWithin         int64            `json:"inspect_within,omitempty" minimum:"0" maximum:"316224000" doc:"From the goods' shipment back: then the buyer is paid what was agreed." example:"259200"`
	ReplaceWithin         int64            `json:"replace_within,omitempty" minimum:"0" maximum:"316224000" doc:"From the agreement on a replacement, or its ruling: then the claim is granted. 0: no replacements." example:"604800"`
	MatureAfter           int64            `json:"mature_after" minimum:"0" maximum:"316224000" doc:"From the release: then the seller can be paid out." example:"172800"`
	ExtendTogether        bool             `json:"extend_together,omitempty" doc:"true: a deadline moves once buyer and seller have both asked for the same moment."`
	DisputeReleasedWithin int64            `json:"dispute_released_within,omitempty" minimum:"0" maximum:"316224000" doc:"From the release: until then the buyer can dispute what was released. 0: not at all." example:"2592000"`
	RefundReleasedWithin  int64            `json:"refund_released_within,omitempty" minimum:"0" maximum:"316224000" doc:"From the release: until then seller and marketplace can refund what was released. 0: not at all." example:"5184000"`
	RefundFee             string           `json:"refund_fee,omitempty" enum:"return,keep" doc:"What becomes of the fee, and the tax on it, on what is refunded after the release: it goes back too, or stays and the seller bears all. Left out: return." example:"return"`
	ReserveBps            int64            `json:"reserve_bps,omitempty" minimum:"0" maximum:"10000" doc:"Share of the seller's part, in hundredths of a percent, that is kept in reserve when it matures. 0: none." example:"1000"`
	ReserveTiers          map[string]int64 `json:"reserve_tiers,omitempty" doc:"The same by the seller's tier, in place of reserve_bps: more of new sellers, 0 of those that are known." example:"{\"new\":2000}"`
	ReserveFor            int64            `json:"reserve_for,omitempty" minimum:"0" maximum:"316224000" doc:"From the maturity: then what is left of the reserve is available too." example:"7776000"`
	RepresentWithin       int64            `json:"represent_within,omitempty" minimum:"0" maximum:"316224000" doc:"From a chargeback: then it is lost. 0: it is lost as it comes." example:"1209600"`
	DecisionWithin        int64            `json:"decision_within,omitempty" minimum:"0" maximum:"316224000" doc:"From the representment of a chargeback. Nothing moves by itself when it passes; the order is reported as overdue." example:"6480000"`
	ChargebackBorneBy     string           `json:"chargeback_borne_by,omitempty" enum:"seller,marketplace" doc:"Who pays for a lost chargeback of what was released. Left out: the seller." example:"seller"`
	Methods               []string         `json:"methods" least:"without one an order that is agreed waits for the buyer, who can do nothing (rule owner)" pattern:"^[a-z][a-z0-9_-]{0,31}$" minItems:"1" maxItems:"50" nullable:"false" doc:"The payment methods it takes." example:"card"`
	Fees                  map[string]Fee   `json:"fees" doc:"By currency code; \"*\" is for every other currency and has no amounts."`
	FeeTerms
	FeedbackTerms
}

// Calendar is a list of holidays.
type Calendar struct {
	Name string   `json:"name" pattern:"^[a-z][a-z0-9_-]{0,31}$" example:"cn-2026"`
	Days []string `json:"days" pattern:"^[0-9]{4}-[0-9]{2}-[0-9]{2}$" minItems:"1" maxItems:"400" nullable:"false" doc:"Days in UTC, in order, each once." example:"2026-10-01"`
}

// Policy is one version of a policy; a version never changes and an order
// keeps the one under which it was agreed.
type Policy struct {
	Version int32 `json:"version" example:"1"`
	InForce bool  `json:"in_force" doc:"Orders are agreed under it now; if not, it waits for its time." example:"true"`
	PolicyTerms
}

// Fee is how a fee is computed: basis points plus a fixed part, not below min,
// not above cap (0: none) nor the amount. Halves round to even.
type Fee struct {
	Bps    int64 `json:"bps" minimum:"0" maximum:"10000" doc:"Basis points of the amount." example:"500"`
	Fixed  int64 `json:"fixed,omitempty" minimum:"0" maximum:"9007199254740991" doc:"Minor units."`
	Min    int64 `json:"min,omitempty" minimum:"0" maximum:"9007199254740991" doc:"Minor units."`
	Cap    int64 `json:"cap,omitempty" minimum:"0" maximum:"9007199254740991" doc:"Minor units; 0 for none."`
	TaxBps int64 `json:"tax_bps,omitempty" minimum:"0" maximum:"10000" doc:"Tax on the fee, on top of it, in basis points."`
}

// FeeTerms are a policy's rules for orders whose fee differs.
type FeeTerms struct {
	FeeRules []FeeRule        `json:"fee_rules,omitempty" maxItems:"200" doc:"For orders that differ: the first that fits an order counts, in place of fees."`
	Taxes    map[string]int64 `json:"taxes,omitempty" doc:"Tax on the fee in basis points by the seller's jurisdiction, in place of tax_bps; \"*\" is for every other one. Without it nothing is agreed with a seller of another one. Of a seller without one tax_bps counts."`
}

// SellerTerms are what fees can depend on of a seller.
type SellerTerms struct {
	SellerTier   string `json:"seller_tier,omitempty" pattern:"^[a-z][a-z0-9_-]{0,31}$" doc:"The seller's tier, a word of the marketplace's own: fees can differ by it. An agreement that leaves it out takes that of the seller's record." example:"gold"`
	Jurisdiction string `json:"jurisdiction,omitempty" pattern:"^[A-Z]{2}(-[A-Z0-9]{1,3})?$" doc:"The seller's, by ISO 3166: a country or a part of one. Tax on the fee can differ by it. An agreement that leaves it out takes that of the seller's record." example:"DE"`
}

// FeeRule is the fee of orders that fit all that it names: at least one of method,
// tier and currency. Without a currency it has no amounts.
type FeeRule struct {
	Method   string `json:"method,omitempty" pattern:"^[a-z][a-z0-9_-]{0,31}$" doc:"How the order is paid, one of the policy's methods. Before it is paid no rule with one fits." example:"card"`
	Tier     string `json:"tier,omitempty" pattern:"^[a-z][a-z0-9_-]{0,31}$" doc:"The seller's tier." example:"gold"`
	Currency string `json:"currency,omitempty" minLength:"3" maxLength:"3" doc:"ISO 4217 code in capital letters." example:"USD"`
	Fee
	BorneBy  string `json:"borne_by,omitempty" enum:"seller,buyer,split" doc:"Who bears fee and tax. Left out: the seller. What the buyer bears is paid on top of the amount." example:"split"`
	BuyerBps int64  `json:"buyer_bps,omitempty" minimum:"0" maximum:"9999" doc:"With split alone: the buyer's part in basis points, the rest is the seller's." example:"5000"`
}

// Policies are the version of each policy that is in force, and the newer ones
// that wait for their time.
type Policies struct {
	Policies []Policy `json:"policies" nullable:"false"`
}

// NewQuote asks what an order would cost and pay out.
type NewQuote struct {
	Currency      string    `json:"currency" minLength:"3" maxLength:"3" doc:"ISO 4217 code in capital letters." example:"USD"`
	Amount        int64     `json:"amount" minimum:"1" maximum:"9007199254740991" doc:"What would be agreed, in minor units." example:"12990"`
	Policy        string    `json:"policy,omitempty" pattern:"^[a-z][a-z0-9_-]{0,31}$" doc:"Name of the policy. Left out: standard." example:"standard"`
	Virtual       bool      `json:"virtual,omitempty" doc:"Nothing is carried: the time to confirm is the policy's confirm_virtual."`
	ConfirmWithin int64     `json:"confirm_within,omitempty" minimum:"1" maximum:"316224000" doc:"The time to confirm from the delivery that would be agreed, in seconds. Left out: the policy's own." example:"1209600"`
	Parts         []NewPart `json:"parts,omitempty" minItems:"2" maxItems:"50" nullable:"false" doc:"The parts it would be agreed in: each has deadlines of its own. What the order costs and pays out is the same."`
	At            time.Time `json:"at,omitzero" doc:"When it would be agreed, also in the future. Left out: the marketplace's now." example:"2026-12-01T00:00:00Z"`
	Seller        string    `json:"seller,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"The seller's id: tier and jurisdiction that are left out are those of the seller's record, and a seller who is not eligible is refused. Left out: any seller's of whom nothing is kept." example:"seller-3"`
	Category      string    `json:"category,omitempty" pattern:"^[a-z][a-z0-9_-]{0,31}$" doc:"What kind of goods: the seller can be eligible in some categories only." example:"furniture"`
	SellerTerms
}

// Quote is what an order would cost and pay out if it were agreed and all went
// well. Amounts are minor units. buyer_pays = fee + tax + seller_gets. Where the
// fee depends on how the order is paid, the figures are for a method that no
// rule names, and methods has those of each.
type Quote struct {
	Currency      string `json:"currency" doc:"ISO 4217 code." example:"USD"`
	Amount        int64  `json:"amount" doc:"What would be agreed." example:"12990"`
	Policy        string `json:"policy" doc:"The policy it would be agreed under." example:"standard"`
	PolicyVersion int32  `json:"policy_version" doc:"The policy's version that is in force then." example:"1"`
	Cost
	Methods []MethodCost `json:"methods" nullable:"false" doc:"The same for each method by which it can be paid."`
	Steps   []Step       `json:"steps" nullable:"false" doc:"Every state in which the order could stand and wait, in the order of its life."`
}

// Cost is what an order comes to. Minor units.
type Cost struct {
	BuyerPays  int64 `json:"buyer_pays" doc:"What the buyer pays and escrow holds." example:"12990"`
	BuyerShare int64 `json:"buyer_share" doc:"What of that is on top of the amount: what the buyer bears of fee and tax." example:"0"`
	Fee        int64 `json:"fee" doc:"The marketplace's fee on the whole amount." example:"650"`
	Tax        int64 `json:"tax" doc:"Tax on that fee." example:"0"`
	SellerGets int64 `json:"seller_gets" doc:"What the seller gets once all is released." example:"12340"`
}

// MethodCost is what an order comes to that is paid by a method.
type MethodCost struct {
	Method string `json:"method" example:"card"`
	Cost
}

// Step is a state in which an order waits: until when, for whom, and what
// happens otherwise.
type Step struct {
	State     string   `json:"state" example:"agreed"`
	Deadline  string   `json:"deadline" doc:"What has to happen in time." example:"pay_by"`
	Within    int64    `json:"within" doc:"How long after the event that leads to the state, in seconds, holidays not counted; of an order in parts, as the first of them is moved." example:"432000"`
	Until     string   `json:"until" doc:"The deadline in words." example:"pay_by: 5 days from the agreement"`
	Actors    []string `json:"actors" nullable:"false" doc:"Who has to act; system is a deadline that passes." example:"buyer"`
	Next      string   `json:"next" doc:"What they do." example:"The buyer pays; until then anyone may cancel."`
	Otherwise string   `json:"otherwise" doc:"What happens if nobody does." example:"The order expires; no money has moved."`
}

// Whoami is the marketplace that a key belongs to.
type Whoami struct {
	Marketplace uint32 `json:"marketplace" doc:"Its number; its ledgers are number * 1000 + the currency's ISO 4217 number." example:"1"`
	Name        string `json:"name" example:"acme"`
	Clock       string `json:"clock" enum:"live,test" example:"live"`
}

// Health answers the probes.
type Health struct {
	Status string `json:"status" enum:"ok" example:"ok"`
}
