package order

import "testing"

// What is asked for shows whatever the order waits for first: also while a part
// that was released is about to mature, which is for nobody to move.
func TestAskedWhileAPartMatures(t *testing.T) {
	o := inParts(t)
	o.Policy.ExtendTogether = true
	for _, c := range []Command{{Event: Pay, Method: "card"}, {Event: Ship}, {Event: ReleasePart, Parts: []string{"hull"}}, {Event: Extend, By: Seller}} {
		o = must(t, o, c)
	}
	asked := o.Asked()
	if o.Deadline != MaturePartAt || asked == nil || asked.By != Seller || !asked.Of.Equal(o.Parts.List[1].DeadlineAt) {
		t.Fatalf("%s %s, asked %+v", o.Deadline, o.DeadlineAt, asked)
	}
	want := asked.Until
	o = must(t, o, Command{Event: Extend, By: Buyer})
	if o.Asked() != nil || o.Deadline != MaturePartAt || !o.Parts.List[1].DeadlineAt.Equal(want) || !o.Parts.List[2].DeadlineAt.Equal(want) {
		t.Errorf("agreed: %s %s, %s", o.Deadline, o.DeadlineAt, partsOf(&o))
	}
}
