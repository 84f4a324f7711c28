package order_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/order/drawing"
)

//go:generate go test . -run TestDocs -update

var update = flag.Bool("update", false, "rewrite docs/states.svg and the tables of docs/STATES.md")

const (
	picture = "../../docs/states.svg"
	page    = "../../docs/STATES.md"
)

// The picture and the tables of the page about states say what Rules says.
// After a change of the tables: go generate ./settlement/order
func TestDocsAreUpToDate(t *testing.T) {
	a := explore(t)
	upToDate(t, picture, drawing.States(a.deadlines()))
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for name, table := range map[string]string{"states": a.statesTable(), "events": eventsTable(), "deadlines": a.deadlinesTable(), "money": moneyTable()} {
		text = replaceBetween(t, text, name, table)
	}
	upToDate(t, page, text)
}

func upToDate(t *testing.T, file string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(file)
	if *update && !bytes.Equal(got, want) {
		err = os.WriteFile(file, want, 0o644)
		got = want
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s does not say what the state table says: run go generate ./settlement/order, and look at what has changed", file)
	}
}

// replaceBetween puts a generated table between its marks in a page.
func replaceBetween(t *testing.T, page []byte, name, table string) []byte {
	t.Helper()
	from, to := fmt.Sprintf("<!-- %s: generated -->\n", name), fmt.Sprintf("<!-- end of %s -->\n", name)
	before, rest, ok1 := strings.Cut(string(page), from)
	_, after, ok2 := strings.Cut(rest, to)
	if !ok1 || !ok2 {
		t.Fatalf("the page has no marks for the table of %s: want %q and %q", name, from, to)
	}
	return []byte(before + from + table + to + after)
}

// deadlines are those that orders have in each state, in the order of an
// order's life. A state can have several: which one is the policy's to say.
func (a *atlas) deadlines() map[order.State][]order.Deadline {
	m := map[order.State][]order.Deadline{}
	for s, positions := range a.found {
		for _, d := range order.Deadlines {
			if slices.ContainsFunc(positions, func(p position) bool { return p.now.Deadline == d }) {
				m[s] = append(m[s], d)
			}
		}
	}
	return m
}

func (a *atlas) statesTable() string {
	var b strings.Builder
	b.WriteString("| state | why money is held | who is waited for | deadline | when it passes |\n|---|---|---|---|---|\n")
	deadlines := a.deadlines()
	for _, s := range order.States {
		why := order.HeldBecause(s)
		if why == "" {
			why = "nothing is held"
		}
		var until, then []string
		for _, d := range deadlines[s] {
			until = append(until, code(d))
			then = append(then, whenPassed(s, d))
		}
		fmt.Fprintf(&b, "| **%s** | %s | %s | %s | %s |\n", s, why, orElse(list(order.NextActors(s)), "nobody: final"),
			orElse(strings.Join(until, ", or "), ""), strings.Join(then, "; or "))
	}
	return b.String()
}

// whenPassed says what becomes of an order in s whose deadline passes.
func whenPassed(s order.State, d order.Deadline) string {
	row, ok := order.Lookup(s, order.Due[d])
	if !ok {
		return "nothing moves by itself: the order is reported as overdue"
	}
	return fmt.Sprintf("%s: %s", code(row.Event), row.Effect)
}

func eventsTable() string {
	var b strings.Builder
	b.WriteString("| in state | event | who | what happens | then |\n|---|---|---|---|---|\n")
	for _, r := range order.Rules {
		from := "(none yet)"
		if r.From != order.None {
			from = "**" + string(r.From) + "**"
		}
		who := list(r.Who)
		if d := order.DueAt(r.Event); d != order.NoDeadline {
			who = fmt.Sprintf("%s, when %s passes", who, code(d))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", from, code(r.Event), who, r.Effect, list(r.To))
	}
	return b.String()
}

func moneyTable() string {
	var b strings.Builder
	b.WriteString("| what happens | why | from | to | how much |\n|---|---|---|---|---|\n")
	var told []order.Effect
	for _, r := range order.Rules {
		if slices.Contains(told, r.Effect) {
			continue
		}
		told = append(told, r.Effect)
		effect := string(r.Effect)
		for _, m := range order.MoneyTable[r.Effect] {
			leg, _ := m.Code.Lookup()
			why := m.Code.NameOf(ledger.TransferFlags(m.Stage))
			if m.Stage == order.Promised {
				why += " (pending)"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", effect, why, leg.Debit, leg.Credit, m.Much)
			effect = ""
		}
	}
	return b.String()
}

func (a *atlas) deadlinesTable() string {
	var b strings.Builder
	b.WriteString("| deadline | of orders that are | when it passes |\n|---|---|---|\n")
	of := a.deadlines()
	for _, d := range order.Deadlines {
		var states []order.State
		var then []string
		for _, s := range order.States {
			if slices.Contains(of[s], d) {
				states = append(states, s)
				if words := whenPassed(s, d); !slices.Contains(then, words) {
					then = append(then, words)
				}
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", code(d), list(states), strings.Join(then, "; or "))
	}
	return b.String()
}

func code[T ~string](word T) string { return "`" + string(word) + "`" }

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func list[T ~string](words []T) string {
	plain := make([]string, len(words))
	for i, w := range words {
		plain[i] = string(w)
	}
	return strings.Join(plain, ", ")
}
