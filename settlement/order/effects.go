package order

import (
	"slices"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// planner builds one change: o is the order afterwards.
type planner struct {
	o       *Order
	c       *Command
	ch      *Change
	attempt int16
}

// effects does what each Effect of the table says. An effect sets the next
// state, one of the row's, and with it the deadline.
var effects map[Effect]func(p *planner, to []State) error

func init() {
	effects = map[Effect]func(*planner, []State) error{
		NoMoney:      (*planner).noMoney,
		Begin:        (*planner).agree,
		ChangePrice:  (*planner).reprice,
		HoldPayment:  (*planner).holdPayment,
		Reserve:      (*planner).authorise,
		HoldCaptured: (*planner).capture,
		Unreserve:    (*planner).voidAuthorisation,
		StartConfirm: (*planner).startConfirm,
		MoveDeadline: (*planner).moveDeadline,
		ReleaseAll:   (*planner).releaseAll,
		RefundAll:    (*planner).refundAll,
		RefundPart:   (*planner).refundPart,
		Freeze:       (*planner).openDispute,
		Negotiate:    (*planner).contest,
		PutOffer:     (*planner).makeOffer,
		TakeOffer:    (*planner).acceptOffer,
		GrantClaim:   (*planner).grantClaim,
		GrantOther:   (*planner).grantOther,
		DropClaim:    (*planner).dropClaim,
		Unfreeze:     (*planner).withdraw,
		Hear:         (*planner).escalate,
		AddEvidence:  (*planner).giveEvidence,
		EndEvidence:  (*planner).closeEvidence,
		Decide:       (*planner).rule,
		Reopen:       (*planner).appeal,
		CarryOut:     (*planner).carryOut,
		TakeBack:     (*planner).noMoney,
		GrantReturn:  (*planner).grantReturn,
		DenyReturn:   (*planner).refuseReturn,
		SendAgain:    (*planner).shipReplacement,
		NoteScan:     (*planner).track,
		StartParts:   (*planner).startParts,
		ReleaseParts: (*planner).releaseParts,
		ReleaseDue:   (*planner).releaseDue,
		RefundDue:    (*planner).refundDue,
		RefundRest:   (*planner).refundRest,
		MatureDue:    (*planner).matureDue,
		MatureAll:    (*planner).matureAll,
		FreeReserve:  (*planner).releaseReserve,
		TakePayment:  (*planner).openChargeback,
		AwaitBank:    (*planner).represent,
		Resume:       (*planner).winChargeback,
		BearLoss:     (*planner).loseChargeback,
		GiveBack:     (*planner).refundReleased,
	}
}

// next moves the order to a state and starts that state's deadline.
func (p *planner) next(s State) {
	o, pol := p.o, p.o.Policy
	o.State = s
	if o.keepsClock(s) && o.Deadline == ConfirmBy {
		return
	}
	p.dropExtension()
	o.Holidays = 0
	from := func(d Deadline, within Seconds) {
		o.Deadline, o.DeadlineAt = d, o.At.Add(within.Duration())
		o.BuyerExtended, o.SellerExtended = 0, 0
	}
	switch s {
	case Agreed:
		from(PayBy, pol.PayWithin)
	case Authorised:
		from(CaptureBy, pol.AuthoriseWithin)
	case Held, PartShipped: // of an order in parts, theirs take its place
		from(ShipBy, pol.ShipWithin)
		if o.ShipByDate.After(o.DeadlineAt) {
			o.DeadlineAt = o.ShipByDate
		}
	case Shipped, Delivered:
		from(ConfirmBy, 0)
		o.DeadlineAt, o.Holidays = p.confirmBy(s)
	case Disputed:
		if from(RespondBy, pol.RespondWithin); pol.RespondWithin == 0 {
			from(RuleBy, pol.RuleWithin)
		}
	case Negotiating:
		from(NegotiateBy, pol.NegotiateWithin)
	case Escalated:
		from(EvidenceBy, pol.EvidenceWithin)
	case Arbitration:
		from(RuleBy, pol.RuleWithin)
	case Decided:
		from(AppealBy, pol.AppealWithin)
	case Returning:
		from(ReturnBy, pol.ReturnWithin)
	case Returned:
		from(InspectBy, pol.InspectWithin)
	case Replacing:
		from(ReplaceBy, pol.ReplaceWithin)
	case Released, Ruled:
		from(MatureAt, pol.MatureAfter)
	case Reserved:
		from(ReserveUntil, pol.ReserveFor)
	case ChargedBack:
		from(RepresentBy, pol.RepresentWithin)
	case Represented:
		from(DecisionBy, pol.DecisionWithin)
	default:
		o.Deadline, o.DeadlineAt = NoDeadline, time.Time{}
	}
}

// before is the order as it stood before the event.
func (p *planner) before() *Order {
	o := *p.o
	o.Progress = p.ch.Before
	return &o
}

func (p *planner) refuse(rule, format string, args ...any) error {
	return refuse(p.before(), p.c, rule, format, args...)
}

func (p *planner) noMoney(to []State) error {
	p.next(to[0])
	return nil
}

func (p *planner) holdPayment(to []State) error {
	o, c := p.o, p.c
	if err := p.checkPayment("paid"); err != nil {
		return err
	}
	pays := o.Charge().Pays()
	switch {
	case c.FX != (FX{}):
		if err := p.receiveFX(); err != nil {
			return err
		}
	case c.Method != Balance:
		p.account(c.Books.Clearing, chart.PayinClearing, ledger.Uint128{})
		p.leg(chart.PaymentReceived, c.Books.Clearing, o.BuyerAccount, pays)
	}
	p.account(o.BuyerAccount, chart.Buyer, ledger.Uint128{})
	p.account(o.ID, chart.Escrow, o.ID)
	p.leg(chart.Hold, o.BuyerAccount, o.ID, pays)
	o.Held, o.PaidAt = pays, c.At
	p.next(to[0])
	p.holdParts()
	return nil
}

// checkPayment settles what the order comes to by the method, and refuses a
// payment of another amount, or by a method that the policy does not take. done
// says what was done with it.
func (p *planner) checkPayment(done string) error {
	o, c := p.o, p.c
	if balance := c.Method == Balance && c.Event == Pay; !balance && !slices.Contains(o.Policy.Methods, c.Method) {
		return p.refuse(RuleMethod, "policy %s version %d takes %s", o.Policy.Name, o.Policy.Version, joinWords(o.Policy.Methods, "or"))
	}
	if err := p.chargeBy(c.Method); err != nil {
		return err
	}
	if pays := o.Charge().Pays(); c.Amount != 0 && c.Amount != pays {
		if o.Charge().BuyerShare == 0 {
			return p.refuse(RuleAmount, "%d was agreed, %d was %s", pays, c.Amount, done)
		}
		return p.refuse(RuleAmount, "%d was agreed, with the buyer's share of the fee %d, and %d was %s", o.Price(), pays, c.Amount, done)
	}
	return nil
}

func (p *planner) releaseAll(to []State) error {
	ended := p.endParts(Released)
	p.release(p.o.Held, ended, chart.Release, chart.Fee, chart.FeeTax)
	p.end(to[0])
	return nil
}

func (p *planner) refundAll(to []State) error {
	p.endParts(Refunded)
	p.refund(p.o.Held, chart.RefundToBuyer)
	p.next(to[0])
	return nil
}

func (p *planner) refundPart(to []State) error {
	if p.o.Parts != nil || len(p.c.Parts) > 0 {
		return p.refundParts()
	}
	amount := p.c.Amount
	if amount == 0 {
		amount = p.o.Held
	}
	if amount < 0 || amount > p.o.Held {
		return p.refuse(RuleAmount, "%d is held, %d cannot be refunded", p.o.Held, amount)
	}
	p.refund(amount, chart.RefundToBuyer)
	if p.o.Held == 0 {
		p.next(to[1])
	}
	return nil
}

func (p *planner) matureAll([]State) error {
	p.matureParts(func(*Part) bool { return true })
	p.mature(p.o.Maturing)
	if a := p.o.Aftermath; a != nil && a.Reserved > 0 {
		p.next(Reserved)
	} else {
		p.next(Closed)
	}
	return nil
}

// mature makes amount of what was released available to the seller, but for the
// policy's share, which is kept in reserve.
func (p *planner) mature(amount int64) {
	p.leg(chart.Mature, p.o.SellerAccount, p.sellers(chart.SellerAvailable), amount)
	p.o.Maturing -= amount
	p.keepReserve(amount)
}

// release pays gross out of escrow to the seller, the fee and the tax. Of an
// order in parts it is of those that have just ended, each of which has its share
// of what the seller gets maturing from now on.
func (p *planner) release(gross int64, ended []ended, toSeller, toFee, toTax chart.TransferCode) {
	o := p.o
	if gross == 0 {
		return
	}
	net, fee, tax := releaseParts(o, gross)
	p.account(o.SellerAccount, chart.SellerPending, ledger.Uint128{})
	p.leg(toSeller, o.ID, o.SellerAccount, net)
	if fee > 0 {
		p.account(p.c.Books.Fee, chart.FeeRevenue, ledger.Uint128{})
		p.leg(toFee, o.ID, p.c.Books.Fee, fee)
	}
	if tax > 0 {
		p.account(p.c.Books.Tax, chart.TaxPayable, ledger.Uint128{})
		p.leg(toTax, o.ID, p.c.Books.Tax, tax)
	}
	o.Held -= gross
	o.Released += gross
	o.FeeCharged += fee
	o.TaxCharged += tax
	o.Maturing += net
	p.startMaturing(ended, net)
}

// refund moves amount from escrow back to the buyer.
func (p *planner) refund(amount int64, code chart.TransferCode) {
	p.leg(code, p.o.ID, p.o.BuyerAccount, amount)
	p.o.Held -= amount
	p.o.Refunded += amount
}

// SellerAvailable is the 2210 account beside a seller's 2200 account.
func SellerAvailable(pending ledger.ID) ledger.ID { return AccountID(pending, chart.SellerAvailable) }

// sellers is the seller's account of the chart's code.
func (p *planner) sellers(code chart.AccountCode) ledger.ID {
	id := AccountID(p.o.SellerAccount, code)
	p.account(id, code, ledger.Uint128{})
	return id
}

// leg adds a transfer in the order's ledger; a leg of zero is left out.
func (p *planner) leg(code chart.TransferCode, debit, credit ledger.ID, amount int64) {
	p.legIn(p.o.Ledger, code, debit, credit, amount)
}

func (p *planner) legIn(books uint32, code chart.TransferCode, debit, credit ledger.ID, amount int64) {
	if amount == 0 {
		return
	}
	p.ch.Legs = append(p.ch.Legs, ledger.Transfer{
		ID:              LegID(p.c.Intent, p.attempt, len(p.ch.Legs)),
		DebitAccountID:  debit,
		CreditAccountID: credit,
		Amount:          ledger.U64(uint64(amount)),
		UserData128:     p.o.ID,
		UserData64:      uint64(p.o.At.UnixMicro()),
		Ledger:          books,
		Code:            uint16(code),
	})
}

// void adds the transfer that ends a pending one, a freeze or an authorisation.
// The amount is the pending transfer's.
func (p *planner) void(code chart.TransferCode, pending ledger.ID) {
	p.resolve(code, pending, 0, ledger.TransferVoidPending)
}

// resolve adds the transfer that posts amount of a pending one, or voids it,
// under its code. The ledger takes the accounts from it.
func (p *planner) resolve(code chart.TransferCode, pending ledger.ID, amount int64, how ledger.TransferFlags) {
	p.ch.Legs = append(p.ch.Legs, ledger.Transfer{
		ID:          LegID(p.c.Intent, p.attempt, len(p.ch.Legs)),
		PendingID:   pending,
		Amount:      ledger.U64(uint64(amount)),
		UserData128: p.o.ID,
		UserData64:  uint64(p.o.At.UnixMicro()),
		Ledger:      p.o.Ledger,
		Code:        uint16(code),
		Flags:       how,
	})
}

// account notes an account that the change's legs use. about is what it is
// for, kept with the account in the ledger.
func (p *planner) account(id ledger.ID, code chart.AccountCode, about ledger.Uint128) {
	p.accountIn(p.o.Ledger, id, code, about)
}

func (p *planner) accountIn(books uint32, id ledger.ID, code chart.AccountCode, about ledger.Uint128) {
	p.ch.Accounts = append(p.ch.Accounts, ledger.Account{
		ID: id, Ledger: books, Code: uint16(code), Flags: code.Flags(), UserData128: about,
	})
}

// link makes the legs one chain: all or none.
func (ch *Change) link() {
	for i := range ch.Legs[:max(0, len(ch.Legs)-1)] {
		ch.Legs[i].Flags |= ledger.TransferLinked
	}
}

// linkOn links the last leg too, to the first of the next change.
func (ch *Change) linkOn() {
	if n := len(ch.Legs); n > 0 {
		ch.Legs[n-1].Flags |= ledger.TransferLinked
	}
}
