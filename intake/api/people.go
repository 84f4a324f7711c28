package api

import "time"

// FeedbackTerms are a policy's rules for feedback. Durations are seconds.
type FeedbackTerms struct {
	FeedbackWithin         int64 `json:"feedback_within,omitempty" minimum:"0" maximum:"316224000" doc:"From the order's end: so long buyer and seller may give feedback on each other. 0 or left out: there is none." example:"5184000"`
	FeedbackRevisionWithin int64 `json:"feedback_revision_within,omitempty" minimum:"0" maximum:"316224000" doc:"From the reply to a feedback: so long its author may revise it. 0 or left out: no revision." example:"2592000"`
}

// NewFeedback is what one party of an order says of the other. What is wrong
// with rating and text is refused by the rules of those names.
type NewFeedback struct {
	By     string `json:"by" enum:"buyer,seller" doc:"Who rates the other party." example:"buyer"`
	Rating int64  `json:"rating" doc:"From 1 to 5." example:"4"`
	Text   string `json:"text,omitempty" doc:"In words: up to 2000 characters, without control characters." example:"well packed, a day late"`
}

// FeedbackReply is what the one who was rated says to it.
type FeedbackReply struct {
	By   string `json:"by" enum:"buyer,seller" doc:"Who was rated and replies." example:"seller"`
	Text string `json:"text" doc:"In words: 1 to 2000 characters, without control characters." example:"the carrier was, sorry"`
}

// FeedbackRevision is what the author says anew after the reply. The earlier
// version stays readable.
type FeedbackRevision struct{ NewFeedback }

// FeedbackEntry is one thing that was said; it never changes.
type FeedbackEntry struct {
	ID     string    `json:"id" format:"uuid"`
	Order  string    `json:"order" format:"uuid" doc:"The order's id."`
	Part   string    `json:"part" enum:"feedback,reply,revision" example:"feedback"`
	By     string    `json:"by" enum:"buyer,seller" doc:"Who said it." example:"buyer"`
	Rating int16     `json:"rating,omitempty" doc:"Left out in a reply." example:"4"`
	Text   string    `json:"text" example:"well packed, a day late"`
	At     time.Time `json:"at" doc:"When, in the marketplace's time." example:"2017-06-20T12:00:00Z"`
}

// Feedback is what one party of an order said of the other, with the reply and
// every version.
type Feedback struct {
	Order   string          `json:"order" format:"uuid" doc:"The order's id."`
	By      string          `json:"by" enum:"buyer,seller" doc:"Who rated the other party." example:"buyer"`
	About   string          `json:"about" doc:"Who was rated: the seller's or the buyer's id." example:"seller-3"`
	Rating  int16           `json:"rating" doc:"That counts: the revision's where there is one." example:"4"`
	Text    string          `json:"text" doc:"That belongs to the rating that counts." example:"well packed, a day late"`
	Entries []FeedbackEntry `json:"entries" nullable:"false" doc:"All that was said, oldest first."`
}

// Feedbacks is feedback in the order in which it was given, oldest first.
type Feedbacks struct {
	Feedback []Feedback `json:"feedback" nullable:"false"`
	Next     string     `json:"next,omitempty" doc:"Give it as cursor to get the next page; left out on the last."`
}

// NewNote is what the marketplace's support writes down on an order.
type NewNote struct {
	Author string `json:"author" minLength:"1" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Who writes it: a name of the marketplace's own, at most 200 bytes of UTF-8." example:"support-4"`
	Text   string `json:"text" minLength:"1" maxLength:"4000" doc:"In words; may have several lines." example:"buyer called, parcel is at the neighbour's"`
}

// Note is a note on an order; it never changes.
type Note struct {
	Number int32     `json:"number" doc:"Counts the order's notes, from 1." example:"1"`
	Author string    `json:"author" example:"support-4"`
	Text   string    `json:"text" example:"buyer called, parcel is at the neighbour's"`
	At     time.Time `json:"at" doc:"When, in the marketplace's time." example:"2017-06-20T12:00:00Z"`
}

// Notes is a page of an order's notes, oldest first.
type Notes struct {
	Notes []Note `json:"notes" nullable:"false"`
	Next  int64  `json:"next" doc:"Give it as after to go on; the same as before where there is nothing new." example:"1"`
}

// NewMark says that a seller is eligible for escrow, or is not.
type NewMark struct {
	Seller   string    `json:"seller" minLength:"1" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Opaque id of the seller, at most 200 bytes of UTF-8." example:"seller-3"`
	Category string    `json:"category,omitempty" pattern:"^[a-z][a-z0-9_-]{0,31}$" doc:"For orders of this category; left out for all orders." example:"furniture"`
	Eligible bool      `json:"eligible" doc:"false keeps the seller out, whatever other marks say." example:"false"`
	Reason   string    `json:"reason" minLength:"1" maxLength:"2000" doc:"Why, in words; kept with the mark." example:"papers expired"`
	Since    time.Time `json:"since,omitzero" doc:"Counts for agreements that take effect then or later. Left out: the marketplace's now." example:"2017-06-20T12:00:00Z"`
}

// Mark is a mark as it was made; it never changes. Of a seller's marks for all
// orders, and for each category, the one with the latest since counts.
type Mark struct {
	Position int64     `json:"position" doc:"Rises in the order in which marks were made." example:"12"`
	Seller   string    `json:"seller" example:"seller-3"`
	Category string    `json:"category,omitempty" doc:"Left out: for all orders." example:"furniture"`
	Eligible bool      `json:"eligible" example:"false"`
	Reason   string    `json:"reason" example:"papers expired"`
	Since    time.Time `json:"since" example:"2017-06-20T12:00:00Z"`
}

// Marks is a page of marks in the order in which they were made.
type Marks struct {
	Marks []Mark `json:"marks" nullable:"false"`
	Next  int64  `json:"next" doc:"Give it as after to go on; the same as before where there is nothing new." example:"12"`
}

// NewSellerRecord is what a marketplace keeps of a seller for agreements that do
// not say it themselves. It takes the place of what was kept before: what it leaves
// out is none.
type NewSellerRecord struct {
	Seller       string    `json:"seller" minLength:"1" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" doc:"Opaque id of the seller, at most 200 bytes of UTF-8." example:"seller-3"`
	SellerTier   string    `json:"seller_tier,omitempty" pattern:"^[a-z][a-z0-9_-]{0,31}$" doc:"The tier, a word of the marketplace's own; left out for none." example:"gold"`
	Jurisdiction string    `json:"jurisdiction,omitempty" pattern:"^[A-Z]{2}(-[A-Z0-9]{1,3})?$" doc:"By ISO 3166: a country or a part of one; left out for none." example:"DE"`
	Reason       string    `json:"reason" minLength:"1" maxLength:"2000" doc:"Why, in words; kept with the record." example:"a hundred orders without a dispute"`
	Since        time.Time `json:"since,omitzero" doc:"Counts for agreements that take effect then or later. Left out: the marketplace's now." example:"2017-06-20T12:00:00Z"`
}

// SellerRecord is a record as it was made; it never changes. Of a seller's the one
// with the latest since counts.
type SellerRecord struct {
	Position     int64     `json:"position" doc:"Rises in the order in which records were made." example:"12"`
	Seller       string    `json:"seller" example:"seller-3"`
	SellerTier   string    `json:"seller_tier,omitempty" doc:"Left out: none." example:"gold"`
	Jurisdiction string    `json:"jurisdiction,omitempty" doc:"Left out: none." example:"DE"`
	Reason       string    `json:"reason" example:"a hundred orders without a dispute"`
	Since        time.Time `json:"since" example:"2017-06-20T12:00:00Z"`
}

// SellerRecords is a page of records in the order in which they were made.
type SellerRecords struct {
	Records []SellerRecord `json:"records" nullable:"false"`
	Next    int64          `json:"next" doc:"Give it as after to go on; the same as before where there is nothing new." example:"12"`
}

// Standing says whether orders can be agreed with a seller now, and why.
type Standing struct {
	Seller   string `json:"seller" example:"seller-3"`
	Category string `json:"category,omitempty" example:"furniture"`
	Eligible bool   `json:"eligible" example:"false"`
	Why      string `json:"why" example:"the seller is marked as not eligible in all categories since 2017-06-20T12:00:00Z"`
	// What an agreement takes that does not say it.
	SellerTier   string `json:"seller_tier,omitempty" doc:"What an agreement takes that names no tier; left out for none." example:"gold"`
	Jurisdiction string `json:"jurisdiction,omitempty" doc:"What an agreement takes that names no jurisdiction; left out for none." example:"DE"`
}

// SellerSettings are whom a marketplace lets into escrow.
type SellerSettings struct {
	OnlyListed bool `json:"only_listed" doc:"true: only sellers with a mark that says eligible. false: all that no mark keeps out." example:"false"`
}
