// Package demo makes up a marketplace to look at: three months of orders with
// every ending, in four currencies, and a good share of them still open when
// its clock stops. The same number of orders always makes the same ones.
package demo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"escrowd/cmd/escrowd/replay"
	"escrowd/intake/api"
	"escrowd/settlement/order"
)

// Marketplace is the name of the marketplace that is made up.
const Marketplace = "demo"

// The time that the marketplace's test clock goes through. It stops at End:
// what is open then stays open.
var (
	Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	End   = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
)

const (
	day    = 24 * time.Hour
	second = int64(time.Second)

	payWithin      = 5 * day
	authorised     = 7 * day
	shipWithin     = 10 * day
	confirmBy      = 7 * day  // after the delivery
	confirmBlind   = 15 * day // after the shipment, when nobody reports the delivery
	confirmVirtual = 3 * day
	inspectLeast   = day // what can be agreed in place of confirmBy
	inspectMost    = confirmBlind

	extendBy   = 15 * day
	ruleWithin = 14 * day

	respondWithin   = 5 * day
	negotiateWithin = 10 * day
	escalateAfter   = 3 * day
	evidenceWithin  = 4 * day
	appealWithin    = 3 * day
	returnWithin    = 10 * day
	inspectWithin   = 3 * day
	replaceWithin   = 7 * day

	matureAfter  = 3 * day
	refundUntil  = 40 * day // from the release
	disputeUntil = 30 * day // likewise
	reserveFor   = 40 * day // from the maturity

	representWithin = 14 * day
	decisionWithin  = 60 * day
)

// Policy is what the orders are agreed under: fees that differ by currency,
// with tax in two of them.
func Policy() api.PolicyTerms {
	seconds := func(d time.Duration) int64 { return int64(d) / second }
	return api.PolicyTerms{
		Name:      "demo",
		PayWithin: seconds(payWithin), AuthoriseWithin: seconds(authorised), ShipWithin: seconds(shipWithin),
		ConfirmAfterDelivery: seconds(confirmBy), ConfirmAfterShipment: seconds(confirmBlind),
		ConfirmAgreedMin: seconds(inspectLeast), ConfirmAgreedMax: seconds(inspectMost),
		ConfirmVirtual: seconds(confirmVirtual), Calendar: api.Calendar{Name: "carnival", Days: holidays},
		Disputes: 3, ExtendTimes: 1, ExtendBy: seconds(extendBy),
		RespondWithin: seconds(respondWithin), NegotiateWithin: seconds(negotiateWithin), EscalateAfter: seconds(escalateAfter),
		EvidenceWithin: seconds(evidenceWithin), AppealWithin: seconds(appealWithin),
		ReturnWithin: seconds(returnWithin), InspectWithin: seconds(inspectWithin), ReplaceWithin: seconds(replaceWithin),
		RuleWithin: seconds(ruleWithin), MatureAfter: seconds(matureAfter),
		DisputeReleasedWithin: seconds(disputeUntil), RefundReleasedWithin: seconds(refundUntil), RefundFee: order.ReturnFee,
		RepresentWithin: seconds(representWithin), DecisionWithin: seconds(decisionWithin), ChargebackBorneBy: order.BorneBySeller,
		Methods: []string{"card", "bank_transfer", "wallet"},
		Fees: map[string]api.Fee{
			"BRL": {Bps: 1000, Fixed: 50, Cap: 10_000},
			"USD": {Bps: 700, Fixed: 30},
			"JPY": {Bps: 800, Min: 50, TaxBps: 1000},
			"KWD": {Bps: 500, Cap: 5_000, TaxBps: 500},
		},
	}
}

// Policies are all of the marketplace's: Policy, and the same for sellers of
// whose money a tenth is kept in reserve.
func Policies() []api.PolicyTerms {
	secured := Policy()
	secured.Name = "secured"
	secured.ReserveBps, secured.ReserveFor = 1_000, int64(reserveFor)/second
	return []api.PolicyTerms{Policy(), secured}
}

// currencies are how often each is used and what an order costs in it, in
// minor units.
var currencies = []struct {
	code      string
	weight    int
	low, high float64
}{
	{"BRL", 40, 20_00, 2_000_00},
	{"USD", 35, 5_00, 900_00},
	{"JPY", 15, 500, 100_000},
	{"KWD", 10, 1_000, 300_000},
}

var (
	goods    = []string{"walnut side table", "linen curtains", "road bike wheel", "espresso grinder", "wool blanket", "desk lamp", "hiking boots", "film camera", "ceramic vase", "board game"}
	carriers = []string{"Correios", "DHL", "UPS", "Yamato", "Aramex"}
	holidays = []string{"2026-02-16", "2026-02-17", "2026-02-18"}
	places   = []string{"Leipzig, DE", "Louisville, US", "Osaka, JP", "Dubai, AE", "Curitiba, BR"}
	methods  = Policy().Methods
)

// plots are what can happen to an order, and how often, by weight.
var plots = []struct {
	weight int
	paid   bool // whether it is paid, so that it can share a payment
	tell   func(*teller)
}{
	{5, true, (*teller).confirmed},
	{1, true, (*teller).chargedBackHeld},
	{1, true, (*teller).chargedBackUnanswered},
	{2, true, (*teller).chargedBackClosed},
	{3, true, (*teller).reserved},
	{1, true, (*teller).refundedReserved},
	{1, true, (*teller).refundedMaturing},
	{1, true, (*teller).refundedClosed},
	{1, true, (*teller).disputedClosed},
	{10, true, (*teller).deliveredAndForgotten},
	{5, true, (*teller).shippedAndForgotten},
	{6, false, (*teller).neverPaid},
	{3, false, (*teller).canceledUnpaid},
	{5, false, (*teller).captured},
	{2, false, (*teller).capturedInPart},
	{1, false, (*teller).voided},
	{2, false, (*teller).neverCaptured},
	{5, true, (*teller).canceledByBuyer},
	{6, true, (*teller).neverShipped},
	{7, true, (*teller).refundedInPart},
	{4, true, (*teller).refundedInFull},
	{2, true, (*teller).claimAccepted},
	{1, true, (*teller).claimUnanswered},
	{1, true, (*teller).claimWithdrawn},
	{3, true, (*teller).offerAccepted},
	{6, true, (*teller).goodsReturned},
	{1, true, (*teller).goodsNeverReturned},
	{2, true, (*teller).noEvidence},
	{3, true, (*teller).ruled},
	{2, true, (*teller).ruledTwice},
	{2, true, (*teller).goodsReplaced},
	{1, true, (*teller).goodsNeverReplaced},
	{1, true, (*teller).goodsCameBackDamaged},
	{1, true, (*teller).returnRuled},
	{3, true, (*teller).shippedLate},
	{3, true, (*teller).confirmedLate},
	{3, true, (*teller).partsReleased},
	{2, true, (*teller).lastPartForgotten},
	{2, true, (*teller).restNeverShipped},
	{1, true, (*teller).partRefunded},
	{1, true, (*teller).partsDisputed},
	{2, true, (*teller).virtualForgotten},
	{2, true, (*teller).virtualConfirmed},
	{2, false, (*teller).repriced},
	{1, false, (*teller).repricedAndCaptured},
	{1, false, (*teller).repricedNeverPaid},
	{2, true, (*teller).inspectionConfirmed},
	{2, true, (*teller).inspectionForgotten},
}

// seed makes the demo's luck; another one makes another marketplace.
const seed = 20260401

// Every basketEvery-th purchase is of basketSize orders from several sellers,
// paid at once.
const (
	basketEvery = 20
	basketSize  = 3
)

// Stories are at least n orders. Each purchase is made up from its own number
// alone, so a longer list begins with the shorter one.
func Stories(n int) []replay.Story {
	var list []replay.Story
	for purchase := 1; len(list) < n; purchase++ {
		rng := rand.New(rand.NewPCG(seed, uint64(purchase)))
		shared := replay.Story{
			Buyer:  fmt.Sprintf("buyer-%03d", 1+rng.IntN(800)),
			Policy: Policy().Name,
		}
		c := currencies[pick(rng, len(currencies), func(i int) int { return currencies[i].weight })]
		shared.Currency = c.code
		created := Start.Add(time.Duration(rng.Int64N(int64(End.Sub(Start))/second) * second))
		t := teller{rng: rng, created: created, paid: created.Add(within(rng, 2*time.Minute, 30*time.Hour)),
			method: methods[rng.IntN(len(methods))]}
		size := 1
		if purchase%basketEvery == 0 {
			size, shared.Basket = basketSize, purchase
		}
		for part := range size {
			s := shared
			s.Reference = fmt.Sprintf("D-%05d", purchase)
			if size > 1 {
				s.Reference += fmt.Sprintf("-%c", 'A'+part)
			}
			s.Seller = fmt.Sprintf("seller-%02d", 1+rng.IntN(60))
			// Prices are spread as prices are: many low ones, few high ones.
			s.Amount = int64(math.Round(c.low * math.Pow(c.high/c.low, rng.Float64())))
			s.Goods = fmt.Appendf(nil, `{"description":%q,"quantity":%d}`, goods[rng.IntN(len(goods))], 1+rng.IntN(3))
			t.story = &s
			t.happens(replay.Event{Kind: order.Agree, At: created})
			plots[pick(rng, len(plots), func(i int) int {
				if size > 1 && !plots[i].paid {
					return 0
				}
				return plots[i].weight
			})].tell(&t)
			list = append(list, s)
		}
	}
	return list
}

// pick chooses one of n by their weights.
func pick(rng *rand.Rand, n int, weight func(int) int) int {
	sum := 0
	for i := range n {
		sum += weight(i)
	}
	left := rng.IntN(sum)
	for i := 0; ; i++ {
		if left -= weight(i); left < 0 {
			return i
		}
	}
}

// within is some whole seconds, at least low and less than high.
func within(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)/second)*second)
}
