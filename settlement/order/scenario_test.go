package order_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
)

// The scenarios are the specification of an order's life, in the text files of
// testdata/scenarios; the README there says how to read and write them.

// scenario is given orders, and what then happens to them.
type scenario struct {
	title  string
	place  string            // file and line, for messages
	lets   map[string]string // words that stand for others
	policy map[string]any    // what differs from the standard policy
	fee    string
	orders []string
	common []string // the file's orders, for a scenario without its own
	head   []string // the table's columns
	rows   []row
}

type row struct {
	place string
	cells []string
}

// Each scenario happens as it is written, on books that follow the ledger's
// rules: a leg that the ledger would refuse fails it.
func TestScenarioFiles(t *testing.T) {
	for _, s := range readScenarios(t) {
		t.Run(s.title, func(t *testing.T) { s.play(t, newWorld(t)) })
	}
}

func readScenarios(t testing.TB) []*scenario {
	t.Helper()
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	var all []*scenario
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		found, err := parseScenarios(filepath.Base(f), string(src))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

var keyLine = regexp.MustCompile(`^(Scenario|Order|Policy|Fee|Let)\b([^:|]*):\s*(.*)$`)

// parseScenarios reads one file. What stands before the first scenario holds
// for all of the file that do not say otherwise.
func parseScenarios(file, src string) ([]*scenario, error) {
	common := &scenario{lets: map[string]string{}, policy: map[string]any{}}
	s := common
	var all []*scenario
	for i, line := range strings.Split(src, "\n") {
		place := fmt.Sprintf("%s:%d", file, i+1)
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if m := keyLine.FindStringSubmatch(line); m != nil {
			if m[1] == "Scenario" {
				s = common.start(m[3], place)
				all = append(all, s)
			} else if err := s.given(m[1], strings.TrimSpace(m[2]), m[3]); err != nil {
				return nil, fmt.Errorf("%s: %w", place, err)
			}
			continue
		}
		if err := s.tableLine(place, line); err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
	}
	return all, nil
}

// start is a new scenario with what is common to its file.
func (s *scenario) start(title, place string) *scenario {
	return &scenario{title: title, place: place, lets: s.lets, policy: maps.Clone(s.policy), fee: s.fee, common: s.orders}
}

// given reads what a scenario starts from.
func (s *scenario) given(key, name, value string) error {
	switch key {
	case "Order":
		if s.head != nil {
			return fmt.Errorf("an order after the table")
		}
		s.orders = append(s.orders, name+": "+value)
	case "Fee":
		s.fee = value
	case "Let":
		s.lets[name] = value
	case "Policy":
		// A list or an object, in which commas stand, has a line of its own.
		if name, v, _ := strings.Cut(value, " "); strings.ContainsAny(v, "[{") {
			if !json.Valid([]byte(v)) {
				return fmt.Errorf("policy %s: not JSON: %s", name, v)
			}
			s.policy[name] = json.RawMessage(v)
			return nil
		}
		for _, part := range strings.Split(value, ",") {
			name, v, _ := strings.Cut(strings.TrimSpace(part), " ")
			if d, err := parseSpan(v); err == nil {
				s.policy[name] = int64(d / time.Second)
			} else if err := json.Unmarshal([]byte(v), new(any)); err == nil {
				s.policy[name] = json.RawMessage(v)
			} else {
				return fmt.Errorf("policy %s: %q is neither a time nor JSON", name, v)
			}
		}
	}
	return nil
}

func (s *scenario) tableLine(place, line string) error {
	var cells []string
	for _, c := range strings.Split(strings.TrimSuffix(line, "|"), "|") {
		cells = append(cells, strings.Join(strings.Fields(c), " "))
	}
	if len(cells) < 2 {
		return fmt.Errorf("neither a table nor one of Scenario, Order, Policy, Fee, Let: %q", line)
	}
	if s.head == nil {
		s.head = cells
		return nil
	}
	for len(cells) < len(s.head) {
		cells = append(cells, "")
	}
	if len(cells) > len(s.head) {
		return fmt.Errorf("%d cells under %d columns", len(cells), len(s.head))
	}
	s.rows = append(s.rows, row{place, cells})
	return nil
}

// cell is what a row has under a column, and whether there is such a column.
func (s *scenario) cell(r row, column string) (string, bool) {
	for i, h := range s.head {
		if h == column {
			return r.cells[i], true
		}
	}
	return "", false
}

// play makes a scenario happen in a world.
func (s *scenario) play(t testing.TB, w *world) {
	t.Helper()
	entries := map[string]*entry{}
	var first *entry
	orders := s.orders
	if len(orders) == 0 {
		orders = s.common
	}
	for _, text := range orders {
		name, rest, _ := strings.Cut(text, ": ")
		if name == "" {
			name = "the order"
		}
		e := s.order(t, w, name, rest)
		entries[name] = e
		if first == nil {
			first = e
		}
	}
	if first == nil || len(s.rows) == 0 {
		t.Fatalf("%s: a scenario needs an order and a table", s.place)
	}
	for _, r := range s.rows {
		of := []*entry{first}
		if names, ok := s.cell(r, "order"); ok {
			of = nil
			for _, name := range strings.Split(names, " + ") {
				e, ok := entries[name]
				if !ok {
					t.Fatalf("%s: there is no order %q", r.place, name)
				}
				of = append(of, e)
			}
		}
		s.step(t, w, r, of)
	}
}

// step does what a row says, and compares what became of it.
func (s *scenario) step(t testing.TB, w *world, r row, of []*entry) {
	t.Helper()
	c, err := s.command(r, of[0].now)
	if err != nil {
		t.Fatalf("%s: %v", r.place, err)
	}
	w.place = r.place + ": "
	before := w.picture()
	refusal := w.do(c, of...)
	if refusal != nil {
		if w.picture() != before {
			t.Fatalf("%s: refused, and yet something has changed", r.place)
		}
		if want, _ := s.cell(r, "state"); want != "refused: "+refusal.Rule {
			t.Fatalf("%s: %v\nwant %q", r.place, refusal, want)
		}
		for i, h := range s.head {
			if r.cells[i] != "" && !isInput(h) && h != "state" {
				t.Fatalf("%s: a refused event changes nothing: leave %s empty", r.place, h)
			}
		}
		return
	}
	got := row{r.place, make([]string, len(s.head))}
	for i, h := range s.head {
		got.cells[i] = r.cells[i]
		if !isInput(h) {
			got.cells[i] = s.outcome(t, w, h, of[0])
		}
	}
	for _, e := range of[1:] {
		if e.now.State != of[0].now.State || !e.now.DeadlineAt.Equal(of[0].now.DeadlineAt) {
			t.Fatalf("%s: %s is %s and %s is %s", r.place, of[0].name, of[0].now.State, e.name, e.now.State)
		}
	}
	if !reflect.DeepEqual(got, r) {
		t.Fatalf("%s: is\n  %s\nwant\n  %s", r.place, strings.Join(got.cells, " | "), strings.Join(r.cells, " | "))
	}
	s.allShown(t, w, r)
}

// isInput tells the columns that say what happens from those that say what
// comes of it.
func isInput(column string) bool {
	return column == "when" || column == "order" || column == "who" || column == "event"
}

// outcome is what a column has to say of an order, or of an account.
func (s *scenario) outcome(t testing.TB, w *world, column string, e *entry) string {
	t.Helper()
	switch column {
	case "state":
		return string(e.now.State)
	case "until":
		if e.now.Deadline == order.NoDeadline {
			return ""
		}
		return string(e.now.Deadline) + " " + formatSpan(e.now.DeadlineAt.Sub(start))
	}
	of, err := parseColumn(column)
	if err != nil {
		t.Fatalf("%s: %v", s.place, err)
	}
	var posted, pending int64
	var currency chart.Currency
	for _, a := range w.accounts() {
		if !of.shows(w, a) {
			continue
		}
		sign := int64(1)
		if of.code.NormalSide() != chart.Credit {
			sign = -1
		}
		_, currency, _ = chart.SplitLedger(a.Ledger)
		posted += sign * credit(a)
		pending += int64(a.DebitsPending.Lo + a.CreditsPending.Lo)
	}
	return money(currency, posted, pending)
}

// money is a balance as a table shows it: empty for nothing, what is pending
// in brackets.
func money(c chart.Currency, posted, pending int64) string {
	var words []string
	if posted < 0 {
		words = append(words, "-"+c.Format(ledger.U64(uint64(-posted))))
	} else if posted > 0 {
		words = append(words, c.Format(ledger.U64(uint64(posted))))
	}
	if pending > 0 {
		words = append(words, "("+c.Format(ledger.U64(uint64(pending)))+")")
	}
	return strings.Join(words, " ")
}

// allShown refuses a table that leaves out an account with money on it.
func (s *scenario) allShown(t testing.TB, w *world, r row) {
	t.Helper()
	var shown []accounts
	for _, h := range s.head {
		if of, err := parseColumn(h); err == nil {
			shown = append(shown, of)
		}
	}
	for _, a := range w.accounts() {
		empty := credit(a) == 0 && a.DebitsPending.IsZero() && a.CreditsPending.IsZero()
		if !empty && !slices.ContainsFunc(shown, func(of accounts) bool { return of.shows(w, a) }) {
			t.Fatalf("%s: %s %s of ledger %d has money on it and no column", r.place, chart.AccountCode(a.Code).Name(), w.owners[a.ID], a.Ledger)
		}
	}
}

// accounts are those that a column sums up.
type accounts struct {
	code     chart.AccountCode
	owner    string // "" for all
	currency string // "" for all
}

func (of accounts) shows(w *world, a ledger.Account) bool {
	_, currency, _ := chart.SplitLedger(a.Ledger)
	return chart.AccountCode(a.Code) == of.code && (of.owner == "" || w.owners[a.ID] == of.owner) &&
		(of.currency == "" || currency.Code == of.currency)
}

// parseColumn reads the name of an account in the chart, whose it is, and in
// which currency: "escrow", "escrow of A", "FX position in JPY".
func parseColumn(column string) (accounts, error) {
	name, currency, _ := strings.Cut(column, " in ")
	name, owner, _ := strings.Cut(name, " of ")
	for _, a := range chart.Accounts() {
		if a.Name == name {
			return accounts{a.Code, owner, currency}, nil
		}
	}
	return accounts{}, fmt.Errorf("%q is no column: want when, order, who, event, state, until, or an account's name in the chart", column)
}

// order is an order of the scenario: currency and amount, then what else was
// agreed.
func (s *scenario) order(t testing.TB, w *world, name, text string) *entry {
	t.Helper()
	parts := strings.Split(text, ",")
	code, amount, _ := strings.Cut(strings.TrimSpace(parts[0]), " ")
	currency, ok := chart.ByCode(code)
	if !ok {
		t.Fatalf("%s: %q is not a currency", s.place, code)
	}
	number, err := chart.Ledger(1, currency)
	if err != nil {
		t.Fatal(err)
	}
	terms := order.Terms{Ledger: number, Buyer: "ann", Seller: "bob", Policy: s.newPolicy(t, currency)}
	words := fields{currency: currency}
	var inParts []order.PartTerms
	if err := words.set(reflect.ValueOf(&terms), "amount", amount); err != nil {
		t.Fatalf("%s: %v", s.place, err)
	}
	for _, p := range parts[1:] {
		field, value, _ := strings.Cut(strings.TrimSpace(p), " ")
		if field == "parts" {
			if inParts, err = parseParts(value, currency); err == nil {
				continue
			}
		} else {
			err = words.set(reflect.ValueOf(&terms), field, value)
		}
		if err != nil {
			t.Fatalf("%s: %v", s.place, err)
		}
	}
	return w.agree(name, terms, inParts)
}

// parseParts reads "hull 50.00 + mast 30.00 by 20d + sail", of which the last may
// be what the others leave; "by" is a date of its own.
func parseParts(text string, c chart.Currency) (parts []order.PartTerms, err error) {
	for _, part := range strings.Split(text, " + ") {
		part, by, dated := strings.Cut(part, " by ")
		name, amount, _ := strings.Cut(part, " ")
		p := order.PartTerms{Name: name}
		if dated {
			d, err := parseSpan(by)
			if err != nil {
				return nil, err
			}
			p.ShipBy = start.Add(d)
		}
		if amount != "" {
			if p.Amount, err = parseMoney(c, amount); err != nil {
				return nil, err
			}
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// newPolicy is the standard policy with what the scenario says of it. It goes
// by the policy's JSON, so that a scenario can set whatever a policy has.
func (s *scenario) newPolicy(t testing.TB, c chart.Currency) *order.Policy {
	t.Helper()
	standard, err := json.Marshal(order.Standard())
	if err != nil {
		t.Fatal(err)
	}
	doc := map[string]any{}
	if err := json.Unmarshal(standard, &doc); err != nil {
		t.Fatal(err)
	}
	maps.Copy(doc, s.policy)
	if s.fee != "" {
		fee, err := parseFee(s.fee, c)
		if err != nil {
			t.Fatalf("%s: %v", s.place, err)
		}
		doc["fees"] = map[string]any{c.Code: fee}
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	var p order.Policy
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&p); err != nil {
		t.Fatalf("%s: policy: %v", s.place, err)
	}
	if err := p.Validate(); err != nil {
		t.Fatalf("%s: policy: %v", s.place, err)
	}
	return &p
}

var feeParts = []struct {
	form  *regexp.Regexp
	field string
}{
	{regexp.MustCompile(`^([\d.]+) %`), "bps"},
	{regexp.MustCompile(`\+ ([\d.]+)$`), "fixed"},
	{regexp.MustCompile(`^([\d.]+)$`), "fixed"},
	{regexp.MustCompile(`^at least ([\d.]+)$`), "min"},
	{regexp.MustCompile(`^at most ([\d.]+)$`), "cap"},
	{regexp.MustCompile(`^tax ([\d.]+) %$`), "tax_bps"},
}

// parseFee reads "2.9 % + 0.30, at least 0.50, at most 25.00, tax 19 %" or
// "none" as a policy's JSON has it.
func parseFee(text string, c chart.Currency) (map[string]int64, error) {
	fee := map[string]int64{"bps": 0}
	if text == "none" {
		return fee, nil
	}
	for _, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		found := false
		for _, f := range feeParts {
			m := f.form.FindStringSubmatch(part)
			if m == nil {
				continue
			}
			found = true
			v, err := parseMoney(c, m[1])
			if strings.HasSuffix(f.field, "bps") {
				v, err = parsePercent(m[1])
			}
			if err != nil {
				return nil, err
			}
			fee[f.field] = v
		}
		if !found {
			return nil, fmt.Errorf("%q is no part of a fee", part)
		}
	}
	return fee, nil
}

// parsePercent reads a percentage of at most two decimals as basis points.
func parsePercent(text string) (int64, error) {
	whole, part, _ := strings.Cut(text, ".")
	if len(part) > 2 {
		return 0, fmt.Errorf("%s %% is finer than a basis point", text)
	}
	return strconv.ParseInt(whole+part+"00"[len(part):], 10, 64)
}

// parseMoney reads an amount as the currency writes it; a scenario may also
// ask for less than nothing.
func parseMoney(c chart.Currency, text string) (int64, error) {
	digits := strings.TrimPrefix(text, "-")
	v, err := c.Parse(digits)
	if err != nil || v.Hi != 0 || v.Lo > 1<<62 {
		return 0, fmt.Errorf("%q is not an amount of %s: %w", text, c, err)
	}
	if digits != text {
		return -int64(v.Lo), nil
	}
	return int64(v.Lo), nil
}

// command reads what a row asks for: the event, then fields of order.Command
// and their values.
func (s *scenario) command(r row, o order.Order) (order.Command, error) {
	when, _ := s.cell(r, "when")
	who, _ := s.cell(r, "who")
	text, _ := s.cell(r, "event")
	for name, words := range s.lets {
		text = strings.ReplaceAll(text, "$"+name, words)
	}
	after, err := parseSpan(when)
	if err != nil {
		return order.Command{}, err
	}
	event, rest, _ := strings.Cut(text, " ")
	c := order.Command{Event: order.Event(event), By: order.Role(who), At: start.Add(after)}
	_, currency, _ := chart.SplitLedger(o.Ledger)
	words := splitWords(rest)
	if len(words)%2 != 0 {
		return c, fmt.Errorf("%q: want fields and their values in turn", rest)
	}
	for i := 0; i < len(words); i += 2 {
		in := fields{currency: currency}
		if strings.HasPrefix(words[i], "fx.") {
			in.currency, _ = chart.ByCode(c.FX.Currency)
			in.nested = true
		}
		if err := in.set(reflect.ValueOf(&c), words[i], words[i+1]); err != nil {
			return c, err
		}
	}
	return c, nil
}

// splitWords splits at spaces that are not between quotes.
func splitWords(text string) []string {
	quoted := false
	words := strings.FieldsFunc(text, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return unicode.IsSpace(r) && !quoted
	})
	for i := range words {
		words[i] = strings.Trim(words[i], `"`)
	}
	return words
}

// fields sets fields of a struct by name from words, whatever fields there
// are: "to_seller" is ToSeller, "evidence.size" Size of Evidence. Numbers of the
// command itself are amounts of the currency; of what is in it, if nested.
type fields struct {
	currency chart.Currency
	nested   bool
}

func (f fields) set(target reflect.Value, path, value string) error {
	v := target.Elem()
	names := strings.Split(path, ".")
	for _, name := range names {
		plain := strings.ReplaceAll(name, "_", "")
		v = v.FieldByNameFunc(func(field string) bool { return strings.EqualFold(field, plain) })
		if !v.IsValid() {
			return fmt.Errorf("%s has no field %s", target.Elem().Type(), path)
		}
	}
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		d, err := parseSpan(value)
		if err != nil {
			return err
		}
		v.Set(reflect.ValueOf(start.Add(d)))
	case v.Type() == reflect.TypeFor[order.Seconds]():
		d, err := parseSpan(value)
		if err != nil {
			return err
		}
		v.SetInt(int64(d / time.Second))
	case v.Kind() == reflect.String:
		v.SetString(value)
	case v.Kind() == reflect.Bool:
		if value != "yes" && value != "no" {
			return fmt.Errorf("%s: want yes or no, not %q", path, value)
		}
		v.SetBool(value == "yes")
	case v.Type() == reflect.TypeFor[[]string]():
		v.Set(reflect.ValueOf(strings.Split(value, "+")))
	case v.Kind() == reflect.Int64 && (len(names) == 1 || f.nested):
		n, err := parseMoney(f.currency, value)
		if err != nil {
			return err
		}
		v.SetInt(n)
	case v.CanUint(): // a part of an id
		n, err := strconv.ParseUint(value, 10, v.Type().Bits())
		if err != nil {
			return err
		}
		v.SetUint(n)
	case v.CanInt(): // a plain number, such as a size in bytes
		n, err := strconv.ParseInt(value, 10, v.Type().Bits())
		if err != nil {
			return err
		}
		v.SetInt(n)
	default:
		return fmt.Errorf("%s: a scenario cannot say a %s", path, v.Type())
	}
	return nil
}

var spanUnits = []struct {
	name string
	size time.Duration
}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"us", time.Microsecond}}

var spanWord = regexp.MustCompile(`^(\d+)(d|h|m|s|us)$`)

// parseSpan reads a time since the agreement: "3d 12h".
func parseSpan(text string) (time.Duration, error) {
	var d time.Duration
	words := strings.Fields(text)
	for _, word := range words {
		m := spanWord.FindStringSubmatch(word)
		if m == nil {
			return 0, fmt.Errorf("%q is not a time: want it like 3d 12h 30m", text)
		}
		n, err := strconv.ParseInt(m[1], 10, 32)
		if err != nil {
			return 0, err
		}
		for _, u := range spanUnits {
			if u.name == m[2] {
				d += time.Duration(n) * u.size
			}
		}
	}
	if len(words) == 0 {
		return 0, fmt.Errorf("no time is given")
	}
	return d, nil
}

// formatSpan writes a time since the agreement as parseSpan reads it.
func formatSpan(d time.Duration) string {
	var words []string
	for _, u := range spanUnits {
		if n := d / u.size; n > 0 {
			words = append(words, fmt.Sprintf("%d%s", n, u.name))
			d -= n * u.size
		}
	}
	if len(words) == 0 {
		return "0d"
	}
	return strings.Join(words, " ")
}
