package client

import (
	"context"
	"net/http"
	"net/url"

	"escrowd/intake/api"
)

// GiveFeedback rates the other party of an order that has ended.
func (c *Client) GiveFeedback(ctx context.Context, order string, in api.NewFeedback, opts ...Option) (api.FeedbackEntry, error) {
	return post[api.FeedbackEntry](ctx, c, "/v1/orders/"+url.PathEscape(order)+"/feedback", in, opts)
}

// ReplyToFeedback replies to the other party's feedback.
func (c *Client) ReplyToFeedback(ctx context.Context, order string, in api.FeedbackReply, opts ...Option) (api.FeedbackEntry, error) {
	return post[api.FeedbackEntry](ctx, c, "/v1/orders/"+url.PathEscape(order)+"/feedback/reply", in, opts)
}

// ReviseFeedback revises a feedback that was replied to.
func (c *Client) ReviseFeedback(ctx context.Context, order string, in api.FeedbackRevision, opts ...Option) (api.FeedbackEntry, error) {
	return post[api.FeedbackEntry](ctx, c, "/v1/orders/"+url.PathEscape(order)+"/feedback/revision", in, opts)
}

// Feedback is what buyer and seller of an order said of each other.
func (c *Client) Feedback(ctx context.Context, order string) ([]api.Feedback, error) {
	f, err := get[api.Feedbacks](ctx, c, "/v1/orders/"+url.PathEscape(order)+"/feedback", nil)
	return f.Feedback, err
}

// FeedbackAbout is a page of the feedback about a seller or a buyer; cursor ""
// is the first, limit 0 the server's default, 100.
func (c *Client) FeedbackAbout(ctx context.Context, person, cursor string, limit int) (api.Feedbacks, error) {
	q := url.Values{}
	set(q, "about", person)
	set(q, "cursor", cursor)
	setInt(q, "limit", int64(limit))
	return get[api.Feedbacks](ctx, c, "/v1/feedback", q)
}

// AddNote notes something on an order, for the marketplace's support.
func (c *Client) AddNote(ctx context.Context, order string, in api.NewNote, opts ...Option) (api.Note, error) {
	return post[api.Note](ctx, c, "/v1/orders/"+url.PathEscape(order)+"/notes", in, opts)
}

// Notes is a page of an order's notes after a number.
func (c *Client) Notes(ctx context.Context, order string, after int64, limit int) (api.Notes, error) {
	q := url.Values{}
	setInt(q, "after", after)
	setInt(q, "limit", int64(limit))
	return get[api.Notes](ctx, c, "/v1/orders/"+url.PathEscape(order)+"/notes", q)
}

// MarkSeller marks a seller as eligible for escrow, or as not.
func (c *Client) MarkSeller(ctx context.Context, in api.NewMark, opts ...Option) (api.Mark, error) {
	return post[api.Mark](ctx, c, "/v1/sellers/marks", in, opts)
}

// Marks is a page of the marks of a seller, "" for all, after a position.
func (c *Client) Marks(ctx context.Context, seller string, after int64, limit int) (api.Marks, error) {
	q := url.Values{}
	set(q, "seller", seller)
	setInt(q, "after", after)
	setInt(q, "limit", int64(limit))
	return get[api.Marks](ctx, c, "/v1/sellers/marks", q)
}

// RecordSeller keeps a seller's tier and jurisdiction.
func (c *Client) RecordSeller(ctx context.Context, in api.NewSellerRecord, opts ...Option) (api.SellerRecord, error) {
	return post[api.SellerRecord](ctx, c, "/v1/sellers/records", in, opts)
}

// SellerRecords is a page of the records of a seller, "" for all, after a position.
func (c *Client) SellerRecords(ctx context.Context, seller string, after int64, limit int) (api.SellerRecords, error) {
	q := url.Values{}
	set(q, "seller", seller)
	setInt(q, "after", after)
	setInt(q, "limit", int64(limit))
	return get[api.SellerRecords](ctx, c, "/v1/sellers/records", q)
}

// Standing says whether a seller is eligible now, for a category or "".
func (c *Client) Standing(ctx context.Context, seller, category string) (api.Standing, error) {
	q := url.Values{}
	set(q, "seller", seller)
	set(q, "category", category)
	return get[api.Standing](ctx, c, "/v1/sellers/standing", q)
}

// SellerSettings are whom the marketplace lets into escrow.
func (c *Client) SellerSettings(ctx context.Context) (api.SellerSettings, error) {
	return get[api.SellerSettings](ctx, c, "/v1/sellers/settings", nil)
}

// SetSellerSettings sets them; it can be repeated.
func (c *Client) SetSellerSettings(ctx context.Context, in api.SellerSettings) (out api.SellerSettings, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: "/v1/sellers/settings", repeatable: true}, in, &out, nil)
	return out, err
}
