package treasury

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
)

// What an approval brings about beside an entry's own legs: a ruling is an
// event of its order, in one chain with the approval, and a policy's version is
// added in the transaction that stores the approval. So neither comes without
// the other.

// RulingTerms are the details of a ruling. Amounts are minor units; together
// they are the entry's amount.
type RulingTerms struct {
	ToBuyer     int64 `json:"to_buyer"`
	ToSeller    int64 `json:"to_seller"`
	Return      bool  `json:"return,omitempty"`      // only once the goods are back
	Replacement bool  `json:"replacement,omitempty"` // other goods come in their place

	// The dispute that was ruled on, filled in when the ruling is proposed: what
	// was approved for one is not carried out on the next, nor after an appeal.
	OpenedAt time.Time  `json:"opened_at,omitzero"`
	Appealed order.Role `json:"appealed,omitempty"`
}

// Ruling reads the details of a ruling.
func (t *Terms) Ruling() (r RulingTerms, err error) {
	err = strictly(t.Details, &r)
	return r, err
}

// Bind notes the dispute as it stands.
func (r *RulingTerms) Bind(c *order.Claim) {
	r.OpenedAt, r.Appealed = time.Time{}, ""
	if c != nil {
		r.OpenedAt, r.Appealed = c.OpenedAt, c.Appealed
	}
}

// Binds reports whether it is that dispute, and nobody has appealed since.
func (r *RulingTerms) Binds(c *order.Claim) bool {
	return c != nil && r.OpenedAt.Equal(c.OpenedAt) && r.Appealed == c.Appealed
}

// Order is the order that a ruling is about.
func (t *Terms) Order() (ledger.ID, error) { return ledger.ParseUUID(t.Party) }

func (t *Terms) checkRuling() string {
	r, err := t.Ruling()
	if err != nil {
		return err.Error()
	}
	if _, err := t.Order(); err != nil {
		return "party must be the order's id"
	}
	if r.ToBuyer < 0 || r.ToSeller < 0 || r.ToBuyer > t.Amount || r.ToBuyer+r.ToSeller != t.Amount {
		return "to_buyer and to_seller must sum to the amount"
	}
	return ""
}

// PolicyDocument reads the details of a policy. The error says all that is
// wrong with it.
func (t *Terms) PolicyDocument() (order.Policy, error) {
	var p order.Policy
	if err := strictly(t.Details, &p); err != nil {
		return p, err
	}
	p.Version = 0 // the store counts versions
	return p, p.Validate()
}

func strictly(document []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(document))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	return nil
}
