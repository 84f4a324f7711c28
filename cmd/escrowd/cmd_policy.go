package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"escrowd/deploy"
	"escrowd/intake"
	"escrowd/intake/api"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/policyfile"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

type policyCmd struct {
	Check   policyCheckCmd   `cmd:"" help:"List what is wrong with policy files, or say in words what they mean."`
	Add     policyAddCmd     `cmd:"" help:"Give a marketplace the next version of a policy, from a file or one that comes with escrowd."`
	Propose policyProposeCmd `cmd:"" help:"Propose the next version of a policy: another person approves it with 'escrowd entry do'."`
	List    policyListCmd    `cmd:"" help:"List the policies that come with escrowd, or a marketplace's: in force and to come."`
	Show    policyShowCmd    `cmd:"" help:"Print a policy that comes with escrowd, to read or to start from."`
}

const policyDocument = `A policy is a YAML file (JSON is YAML too):

    name: shop
    effective: 2026-12-01        # or 2026-12-01T09:00:00Z; left out: at once
    pay_within: 5d               # also 120h, 7200m, 1d12h or seconds
    authorise_within: 7d         # left out: payments are captured at once
    ship_within: 10d
    require_tracking: true       # a shipment counts only with its tracking number; left out: without too
    confirm_after_delivery: 7d
    confirm_after_shipment: 15d
    confirm_agreed_min: 1d       # what can be agreed for an order in place of confirm_after_delivery;
    confirm_agreed_max: 15d      # these two left out: nothing
    confirm_virtual: 3d          # from the shipment of virtual goods; left out: there are none
    calendar:                    # left out: none; each day in the time to confirm lengthens it by one
      {name: cn, days: [2026-10-01, 2026-10-02]}
    extend_times: 1
    extend_by: 15d
    extend_together: true        # once both have asked for the same; left out: each alone
    disputes: 3                  # how often a buyer may dispute an order; left out: no limit
    respond_within: 5d           # these three left out: the marketplace rules at once
    negotiate_within: 4d
    evidence_within: 7d
    escalate_after: 3d           # left out: at any time of the negotiation
    rule_within: 14d
    approve_rulings_over: {USD: 100000} # minor units; left out: one person rules on any amount
    appeal_within: 3d            # left out: rulings are final
    return_within: 10d           # these two left out: goods do not go back
    inspect_within: 3d
    replace_within: 7d           # left out: goods are not replaced
    mature_after: 2d
    refund_released_within: 60d  # from the release; left out: what was released stays
    dispute_released_within: 30d # from the release; left out: what was released is not disputed
    refund_fee: return           # or keep: then the seller bears all of it
    reserve_bps: 1000            # of what matures; these three left out: no reserve
    reserve_tiers: {new: 2000, gold: 0} # in place of it, by the seller's tier
    reserve_for: 90d
    represent_within: 14d        # chargebacks; these two left out: they are lost as they come
    decision_within: 75d
    chargeback_borne_by: seller  # or marketplace: of what was released
    feedback_within: 60d         # after the order's end; these two left out: no feedback
    feedback_revision_within: 30d
    methods: [card, bank_transfer]
    fees:                        # amounts are minor units: 30 is USD 0.30
      "*": {bps: 500}
      USD: {bps: 450, fixed: 30, min: 100, cap: 5000, tax_bps: 1900}
    fee_rules:                   # left out: none; of those that fit an order the first counts
      - {method: card, tier: gold, bps: 250}
      - {method: card, currency: USD, bps: 300, fixed: 30, borne_by: split, buyer_bps: 5000}
      - {tier: new, bps: 900, borne_by: buyer}
    taxes: {DE: 1900, "*": 0}    # by the seller's jurisdiction, in place of tax_bps`

type policyCheckCmd struct {
	Format string   `enum:"text,json" default:"text" help:"Form of the output: ${enum}."`
	Files  []string `arg:"" name:"file" help:"A file; the name of a policy that comes with escrowd; - reads stdin."`
}

func (policyCheckCmd) Help() string {
	return `All mistakes of a file are listed at once, as FILE:LINE:COLUMN: FIELD: what is wrong and what is allowed. Exits 1 if there are any, 2 if a file cannot be read. JSON is an array with a file's mistakes, or its policy with an example, in each element.

` + policyDocument + `

    escrowd policy check shop.yaml`
}

// checkedPolicy is what became of one file.
type checkedPolicy struct {
	File     string              `json:"file"`
	OK       bool                `json:"ok"`
	Mistakes policyfile.Mistakes `json:"mistakes,omitempty"`
	Policy   *order.Policy       `json:"policy,omitempty"`
	Example  *api.Quote          `json:"example,omitempty"` // an order under it
}

// Run checks every file, also after one that is wrong.
func (c *policyCheckCmd) Run(g *Globals) error {
	list := []checkedPolicy{}
	wrong := 0
	var unread []error
	for _, name := range c.Files {
		p, err := readPolicy(g, name)
		checked := checkedPolicy{File: name, OK: err == nil}
		if err == nil {
			example := p.Example()
			q := intake.QuoteOf(&example)
			checked.Policy, checked.Example = &p, &q
		} else if errors.As(err, &checked.Mistakes) {
			wrong++
		} else {
			unread = append(unread, err)
			continue
		}
		list = append(list, checked)
	}
	if err := c.print(g, list); err != nil {
		return err
	}
	if wrong > 0 {
		// What is wrong weighs more than what cannot be read.
		unread = append([]error{checkFailed("%d of %d policies have mistakes", wrong, len(c.Files))}, unread...)
	}
	return errors.Join(unread...)
}

func (c *policyCheckCmd) print(g *Globals, list []checkedPolicy) error {
	if c.Format == "json" {
		return printJSON(g, list)
	}
	for i := range list {
		if i > 0 {
			fmt.Fprintln(g.Stdout)
		}
		if err := printChecked(g.Stdout, &list[i]); err != nil {
			return err
		}
	}
	return nil
}

func printChecked(w io.Writer, c *checkedPolicy) error {
	if !c.OK {
		_, err := fmt.Fprintln(w, c.Mistakes.Error())
		return err
	}
	fmt.Fprintf(w, "%s: policy %s is in order.\n\n", c.File, c.Policy.Name)
	return printPolicy(w, c.Policy, c.Example)
}

// printPolicy says in words what a policy means.
func printPolicy(w io.Writer, p *order.Policy, example *api.Quote) error {
	from := "at once"
	if !p.Effective.IsZero() {
		from = "from " + stamp(p.Effective) + " on, in the marketplace's time"
	}
	rows := [][]string{{"in force", from}, {"paid by", strings.Join(p.Methods, ", ")}, {"extension", extensionInWords(p)}}
	if p.Disputes > 0 {
		rows = append(rows, []string{"disputes", timesInWords(int64(p.Disputes)) + " at most"})
	}
	if p.RequireTracking {
		rows = append(rows, []string{"shipments", "count only with the carrier's tracking number"})
	}
	if p.ConfirmAgreedMax > 0 {
		rows = append(rows, []string{"inspection", fmt.Sprintf("from %s to %s from the delivery can be agreed for an order, else %s", p.ConfirmAgreedMin, p.ConfirmAgreedMax, p.ConfirmAfterDelivery)})
	}
	if p.ConfirmVirtual > 0 {
		rows = append(rows, []string{"virtual goods", fmt.Sprintf("confirmed within %s of their shipment", p.ConfirmVirtual)})
	}
	if n := len(p.Calendar.Days); n > 0 {
		rows = append(rows, []string{"holidays", fmt.Sprintf("%d of calendar %s, from %s to %s; each lengthens the time to confirm by a day",
			n, p.Calendar.Name, p.Calendar.Days[0], p.Calendar.Days[n-1])})
	}
	if p.EscalateAfter > 0 {
		rows = append(rows, []string{"escalation", fmt.Sprintf("by buyer or seller from %s after the dispute on", p.EscalateAfter)})
	}
	if len(p.ApproveRulingsOver) > 0 {
		rows = append(rows, []string{"rulings", "proposed and approved by two people over " + amountsIn(p.ApproveRulingsOver)})
	}
	if p.FeedbackWithin > 0 {
		rows = append(rows, []string{"feedback", feedbackInWords(p)})
	}
	rows = append(rows, aftermathRows(p)...)
	for _, code := range slices.Sorted(maps.Keys(p.Fees)) {
		name := "fee in " + code
		if code == "*" {
			name = "fee"
			if len(p.Fees) > 1 {
				name = "other fees"
			}
		}
		rows = append(rows, []string{name, feeInWords(p.Fees[code], code)})
	}
	for i := range p.FeeRules {
		rows = append(rows, []string{fmt.Sprintf("fee rule %d", i+1), ruleInWords(&p.FeeRules[i])})
	}
	if len(p.Taxes) > 0 {
		rows = append(rows, []string{"tax on the fee", taxesInWords(p.Taxes)})
	}
	rows = append(rows, costRows("example", example)...)
	if err := printTable(w, rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return printSteps(w, example.Steps)
}

// amountsIn are amounts by currency in words.
func amountsIn(of map[string]int64) string {
	var words []string
	for _, code := range slices.Sorted(maps.Keys(of)) {
		words = append(words, money(code, of[code]))
	}
	return strings.Join(words, ", ")
}

func extensionInWords(p *order.Policy) string {
	if p.ExtendTimes == 0 {
		return "none"
	}
	if p.ExtendTogether {
		return fmt.Sprintf("of ship_by and confirm_by, by buyer and seller together %s, %s at most", timesInWords(int64(p.ExtendTimes)), p.ExtendBy)
	}
	return fmt.Sprintf("of ship_by and confirm_by, by buyer and seller %s each, %s at most", timesInWords(int64(p.ExtendTimes)), p.ExtendBy)
}

// aftermathRows say what can happen to what was released, and who pays for
// chargebacks.
func aftermathRows(p *order.Policy) (rows [][]string) {
	refund := "none"
	if p.RefundReleasedWithin > 0 {
		refund = fmt.Sprintf("of what was released for %s, the fee on it too", p.RefundReleasedWithin)
		if p.RefundFee == order.KeepFee {
			refund = fmt.Sprintf("of what was released for %s, of which the seller bears all: the fee stays", p.RefundReleasedWithin)
		}
	}
	rows = append(rows, []string{"later refunds", refund})
	if p.DisputeReleasedWithin > 0 {
		rows = append(rows, []string{"later disputes", fmt.Sprintf("of what was released for %s", p.DisputeReleasedWithin)})
	}
	if p.ReserveFor > 0 {
		of := percent(p.ReserveBps)
		for _, tier := range slices.Sorted(maps.Keys(p.ReserveTiers)) {
			of += fmt.Sprintf(" (%s of sellers of tier %s)", percent(p.ReserveTiers[tier]), tier)
		}
		rows = append(rows, []string{"reserve", fmt.Sprintf("%s of what matures, for %s", of, p.ReserveFor)})
	}
	bearer := order.BorneBySeller
	if p.ChargebackBorneBy != "" {
		bearer = p.ChargebackBorneBy
	}
	lost := "lost as they come"
	if p.RepresentWithin > 0 {
		lost = fmt.Sprintf("lost if nobody answers within %s", p.RepresentWithin)
	}
	return append(rows, []string{"chargebacks", fmt.Sprintf("%s; of what was released the %s pays for a lost one", lost, bearer)})
}

func feedbackInWords(p *order.Policy) string {
	s := fmt.Sprintf("for %s after the order's end", p.FeedbackWithin)
	if p.FeedbackRevisionWithin > 0 {
		s += fmt.Sprintf(", revised once within %s of a reply", p.FeedbackRevisionWithin)
	}
	return s
}

func timesInWords(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprint(n, " times")
}

// ruleInWords says for which orders a fee rule is, and who bears the fee.
func ruleInWords(r *order.FeeRule) string {
	var kind []string
	for _, k := range []struct{ name, value string }{{"paid by", r.Method}, {"seller's tier", r.Tier}, {"in", r.Currency}} {
		if k.value != "" {
			kind = append(kind, k.name+" "+k.value)
		}
	}
	s := strings.Join(kind, ", ") + ": " + feeInWords(r.Fee, r.Currency)
	switch r.BorneBy {
	case order.BuyerBears:
		s += "; the buyer pays it on top"
	case order.BothBear:
		s += "; the buyer pays " + percent(r.BuyerBps) + " of it on top"
	}
	return s
}

func taxesInWords(taxes map[string]int64) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(taxes)) {
		if name != "*" {
			words = append(words, name+" "+percent(taxes[name]))
		}
	}
	if bps, ok := taxes["*"]; ok {
		words = append(words, "elsewhere "+percent(bps))
	}
	return "by the seller's jurisdiction: " + strings.Join(words, ", ")
}

// costRows are what an order comes to, in one row under a name, or in one for
// each method of payment where it depends on that.
func costRows(name string, q *api.Quote) (rows [][]string) {
	same := func(m api.MethodCost) bool { return m.Cost == q.Cost }
	if !slices.ContainsFunc(q.Methods, func(m api.MethodCost) bool { return !same(m) }) {
		return [][]string{{name, costInWords(q.Currency, &q.Cost)}}
	}
	for _, m := range q.Methods {
		rows = append(rows, []string{name, "by " + m.Method + ": " + costInWords(q.Currency, &m.Cost)})
		name = ""
	}
	return rows
}

// feeInWords says how a fee is computed; code is a currency's, or another word
// where the fee has no amounts.
func feeInWords(f order.Fee, code string) string {
	s := percent(f.Bps) + " of the amount"
	add := func(format string, amount int64) {
		if amount != 0 {
			s += fmt.Sprintf(format, money(code, amount))
		}
	}
	add(" plus %s", f.Fixed)
	add(", at least %s", f.Min)
	add(", at most %s", f.Cap)
	if f.TaxBps > 0 {
		s += ", and " + percent(f.TaxBps) + " tax on the fee"
	}
	return s
}

// percent is basis points as people say them: 12.5 %.
func percent(bps int64) string {
	s := strings.TrimRight(fmt.Sprintf("%d.%02d", bps/100, bps%100), "0")
	return strings.TrimSuffix(s, ".") + " %"
}

// money is an amount of minor units as people write it.
func money(code string, minor int64) string {
	cur, ok := chart.ByCode(code)
	if !ok {
		return fmt.Sprint(minor)
	}
	return cur.Code + " " + cur.Minor(minor)
}

func costInWords(currency string, c *api.Cost) string {
	share := ""
	if c.BuyerShare > 0 {
		share = fmt.Sprintf(", of which %s is for the fee", money(currency, c.BuyerShare))
	}
	return fmt.Sprintf("the buyer pays %s%s; fee %s, tax on it %s; the seller gets %s.",
		money(currency, c.BuyerPays), share, money(currency, c.Fee), money(currency, c.Tax), money(currency, c.SellerGets))
}

// printSteps says of each state an order can wait in: until when, for whom, and
// what happens otherwise.
func printSteps(w io.Writer, steps []api.Step) error {
	var rows [][]string
	for i, s := range steps {
		if i > 0 {
			rows = append(rows, nil)
		}
		rows = append(rows, []string{s.State, "until", s.Until},
			[]string{"", "who", strings.Join(s.Actors, ", ") + ": " + s.Next},
			[]string{"", "otherwise", s.Otherwise})
	}
	return printTable(w, rows)
}

// shippedNames are the policies that come with escrowd.
func shippedNames() []string {
	entries, err := deploy.Policies.ReadDir("policies")
	if err != nil {
		panic(err) // they are part of this program
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".yaml")
	}
	return names
}

func shippedText(name string) []byte {
	text, err := deploy.Policies.ReadFile("policies/" + name + ".yaml")
	if err != nil {
		panic(err) // asked for by a name that is none of shippedNames
	}
	return text
}

// readPolicy reads a policy by its name if it comes with escrowd, else from the
// file of that name. The error is policyfile.Mistakes or one of usage.
func readPolicy(g *Globals, name string) (order.Policy, error) {
	if slices.Contains(shippedNames(), name) {
		return policyfile.Parse(name, shippedText(name))
	}
	file, in := name, g.Stdin
	if name == "-" {
		file = "stdin"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return order.Policy{}, usageError("read the policy: %w; those that come with escrowd are %s", err, strings.Join(shippedNames(), ", "))
		}
		defer f.Close()
		in = f
	}
	// One byte more than is allowed is enough to see that it is too much.
	text, err := io.ReadAll(io.LimitReader(in, policyfile.MaxSize+1))
	if err != nil {
		return order.Policy{}, usageError("read the policy: %w", err)
	}
	return policyfile.Parse(file, text)
}

type policyAddCmd struct {
	marketFlags `embed:""`
	File        string `arg:"" name:"file-or-name" help:"A file; the name of a policy that comes with escrowd, see 'escrowd policy list' (./NAME is a file all the same); - reads stdin."`
	As          string `placeholder:"NAME" help:"Store it under this name in place of its own. Orders that name no policy are agreed under standard."`
}

func (policyAddCmd) Help() string {
	return `New orders are agreed under the newest version that is in force; orders that are there keep theirs. A document that equals the newest version changes nothing. A version with an effective time in the future waits for it, by the marketplace's own clock; a newer version that is in force earlier takes its place.

` + policyDocument + `

    escrowd policy add acme shop.yaml
    escrowd policy add acme alibaba --as standard

    escrowd policy list acme standard > standard.json
    escrowd policy add acme standard.json`
}

// policyAs reads a policy, and names it as the flag --as says.
func policyAs(g *Globals, file, name string) (order.Policy, error) {
	p, err := readPolicy(g, file)
	var mistakes policyfile.Mistakes
	if errors.As(err, &mistakes) {
		return p, usageError("%w", mistakes)
	}
	if err != nil {
		return p, err
	}
	if name != "" {
		if !order.PolicyWord(name) {
			return p, usageError("--as: %q cannot name a policy: a lower-case letter, then letters, digits, \"_\" or \"-\", 32 at most", name)
		}
		p.Name = name
	}
	return p, nil
}

type policyProposeCmd struct {
	marketFlags `embed:""`
	EngineFlags `embed:""`
	File        string `arg:"" name:"file-or-name" help:"As for 'escrowd policy add'."`
	As          string `placeholder:"NAME" help:"Store it under this name in place of its own."`
	Person      string `required:"" placeholder:"NAME" help:"Who proposes it; somebody else has to approve it."`
	Reason      string `placeholder:"TEXT" help:"Why, for the one who approves it."`
}

func (policyProposeCmd) Help() string {
	return `A marketplace can want that for every policy: 'escrowd marketplace set MARKETPLACE --four-eyes-policies on'. The proposal's id and digest are printed; 'escrowd entry show' prints the document.

    escrowd policy propose acme shop.yaml --person eve
    escrowd entry do acme ID approve --person max --digest DIGEST`
}

// Run proposes it.
func (c *policyProposeCmd) Run(ctx context.Context, g *Globals) error {
	p, err := policyAs(g, c.File, c.As)
	if err != nil {
		return err
	}
	document, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return withPoster(ctx, g, c.marketFlags, c.EngineFlags, func(_ *orderdb.Store, m orderdb.Marketplace, poster *posting.Poster) error {
		res, err := poster.Do(ctx, posting.Request{Marketplace: m.ID, Entry: &posting.EntryRequest{
			New: &treasury.Terms{Kind: treasury.Policy, Details: document, Maker: c.Person, Reason: c.Reason}}})
		if err != nil {
			return asFailedCheck(err)
		}
		_, err = fmt.Fprintf(g.Stdout, "policy %s is proposed: entry %s\ndigest %s\n", p.Name, res.Entry.ID.UUID(), res.Entry.Digest())
		return err
	})
}

// Run makes the version.
func (c *policyAddCmd) Run(ctx context.Context, g *Globals) error {
	p, err := policyAs(g, c.File, c.As)
	if err != nil {
		return err
	}
	return c.withMarket(ctx, g, JoinStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		now, _ := m.At(time.Now())
		older, err := store.Versions(ctx, m.ID, p.Name, now)
		if err != nil {
			return err
		}
		p, err := store.AddPolicy(ctx, m.ID, p)
		if err != nil {
			return refusalAsUsage(err)
		}
		for _, v := range older {
			if v.Version < p.Version && v.Effective.After(now) && !v.Effective.Before(p.Effective) {
				fmt.Fprintf(g.Stderr, "version %d, which waited for %s, is withdrawn by this one\n", v.Version, stamp(v.Effective))
			}
		}
		waits := ""
		if p.Effective.After(now) {
			waits = ", in force from " + stamp(p.Effective)
		}
		_, err = fmt.Fprintf(g.Stdout, "policy %s version %d of marketplace %s%s\n", p.Name, p.Version, m.Name, waits)
		return err
	})
}

type policyListCmd struct {
	StoreFlags  `embed:""`
	Format      string `enum:"auto,table,json" default:"auto" help:"${enum}; auto is table for what comes with escrowd, json for a marketplace's."`
	Marketplace string `arg:"" optional:"" help:"The marketplace's name or number. Without it: what comes with escrowd."`
	Name        string `arg:"" optional:"" help:"Only the policy of this name, in JSON as an object of its own: the version in force, or else the next to come."`
}

func (policyListCmd) Help() string {
	return `Of a marketplace's policies: the version in force by its own clock, and the newer ones, which wait for their time. Amounts are minor units, durations in JSON seconds.

    escrowd policy list
    escrowd policy list acme --format table
    escrowd policy list acme standard > standard.json`
}

// Run prints the policies.
func (c *policyListCmd) Run(ctx context.Context, g *Globals) error {
	if c.Marketplace == "" {
		return c.shipped(g)
	}
	market := marketFlags{StoreFlags: c.StoreFlags, Marketplace: c.Marketplace}
	return market.withMarket(ctx, g, ReadStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		now, _ := m.At(time.Now())
		list, err := store.Policies(ctx, m.ID, now)
		if err != nil {
			return err
		}
		if c.Name != "" {
			list = slices.DeleteFunc(list, func(p *order.Policy) bool { return p.Name != c.Name })
			if len(list) == 0 {
				return usageError("marketplace %s has no policy %q", m.Name, c.Name)
			}
		}
		switch {
		case c.Format == "table":
			return printVersions(g.Stdout, list, now)
		case c.Name != "":
			return printJSON(g, list[0])
		}
		return printJSON(g, list)
	})
}

func printVersions(w io.Writer, list []*order.Policy, now time.Time) error {
	rows := [][]string{{"name", "version", "effective", "state"}}
	for _, p := range list {
		from, state := "-", "in force"
		if !p.Effective.IsZero() {
			from = stamp(p.Effective)
		}
		if p.Effective.After(now) {
			state = "waits"
		}
		rows = append(rows, []string{p.Name, fmt.Sprint(p.Version), from, state})
	}
	return printTable(w, rows)
}

func (c *policyListCmd) shipped(g *Globals) error {
	var list []order.Policy
	rows := [][]string{{"name", "pay", "ship", "confirm", "without a delivery", "extend", "rule", "mature"}}
	for _, name := range shippedNames() {
		p, err := readPolicy(g, name)
		if err != nil {
			return err
		}
		list = append(list, p)
		extend := "-"
		if p.ExtendTimes > 0 {
			extend = timesInWords(int64(p.ExtendTimes)) + ", " + p.ExtendBy.String()
		}
		rows = append(rows, []string{p.Name, p.PayWithin.String(), p.ShipWithin.String(), p.ConfirmAfterDelivery.String(),
			p.ConfirmAfterShipment.String(), extend, p.RuleWithin.String(), p.MatureAfter.String()})
	}
	if c.Format == "json" {
		return printJSON(g, list)
	}
	return printTable(g.Stdout, rows)
}

type policyShowCmd struct {
	Format string `enum:"yaml,text,json" default:"yaml" help:"${enum}; yaml is the document with its comments, text says what it means."`
	Name   string `arg:"" enum:"${policies}" help:"${enum}."`
}

func (policyShowCmd) Help() string {
	return `Their durations are those of public help pages; the fee and the ways to pay are a marketplace's own.

    escrowd policy show alibaba > mine.yaml
    escrowd policy show express --format text`
}

// Run prints the document.
func (c *policyShowCmd) Run(g *Globals) error {
	if c.Format == "yaml" {
		_, err := g.Stdout.Write(shippedText(c.Name))
		return err
	}
	p, err := readPolicy(g, c.Name)
	if err != nil {
		return err
	}
	if c.Format == "json" {
		return printJSON(g, p)
	}
	example := p.Example()
	q := intake.QuoteOf(&example)
	return printPolicy(g.Stdout, &p, &q)
}
