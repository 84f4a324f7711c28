package treasury

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

//go:generate go test . -run TestDocs -update

var update = flag.Bool("update", false, "rewrite the table of docs/ENTRIES.md")

// The page's table says what Rules says. After a change: go generate ./settlement/treasury
func TestDocsAreUpToDate(t *testing.T) {
	const (
		page = "../../docs/ENTRIES.md"
		from = "<!-- entries: generated from treasury.Rules -->\n"
		to   = "<!-- end of entries -->\n"
	)
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(got), from)
	_, after, ok2 := strings.Cut(rest, to)
	if !ok1 || !ok2 {
		t.Fatalf("the page has no marks for the table: want %q and %q", from, to)
	}
	want := []byte(before + from + table() + to + after)
	if *update && !bytes.Equal(got, want) {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
		got = want
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s does not say what the table says: run go generate ./settlement/treasury, and look at what has changed", page)
	}
}

func table() string {
	var b strings.Builder
	b.WriteString("| kind | in state | event | who | debit → credit | then | heard of within |\n|---|---|---|---|---|---|---|\n")
	for _, r := range Rules {
		who := make([]string, len(r.Who))
		for i, w := range r.Who {
			who[i] = string(w)
		}
		kind := fmt.Sprintf("**%s**", r.Kind)
		switch r.Whose {
		case Somebodys:
			kind += " of a party"
		case Nobodys:
			kind += " of nobody"
		}
		if r.Checks {
			who = append(who, "a person by name")
		}
		legs := make([]string, len(r.Legs))
		for i, l := range r.Legs {
			legs[i] = legWords(l)
		}
		within := ""
		if d := answeredWithin[r.To]; d > 0 {
			within = fmt.Sprintf("%d d", d/(24*time.Hour))
		}
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s | %s | %s | %s |\n", kind, stateWord(r.From), r.Event, strings.Join(who, ", "),
			strings.Join(legs, "; "), r.To, within)
	}
	return b.String()
}

func legWords(l Leg) string {
	row, _ := l.Code.Lookup()
	words := fmt.Sprintf("%d → %d", row.Debit, row.Credit)
	if l.Code == chart.Adjustment {
		words = "as its terms say"
	}
	switch l.How {
	case ledger.TransferPending:
		words += " pending"
	case ledger.TransferPostPending:
		words += " posted"
	case ledger.TransferVoidPending:
		words += " voided"
	}
	return words + map[Part]string{Fee: " the fee", Spread: " the spread", Other: " in the other currency"}[l.Of]
}
