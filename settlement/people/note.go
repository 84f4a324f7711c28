package people

import (
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
)

// MaxNote is how many characters a note has at most.
const MaxNote = 4000

// Note is what the marketplace's support wrote down on an order. It is for the
// marketplace: buyers and sellers are not shown it.
type Note struct {
	ID     ledger.ID
	Order  ledger.ID
	Number int32  // counts the order's notes, from 1
	Author string // who wrote it: opaque to escrowd
	Text   string // may have several lines
	At     time.Time
}

// Check is nil or the *order.Refusal of a note on an order in a state.
func (n *Note) Check(s order.State) error {
	if wrong := idFault(n.Author); wrong != "" {
		return refuse(EventNote, s, RuleAuthor, "the author's name %s", wrong)
	}
	if wrong := fault(n.Text, 1, MaxNote, true); wrong != "" {
		return refuse(EventNote, s, RuleText, "the text %s", wrong)
	}
	return nil
}
