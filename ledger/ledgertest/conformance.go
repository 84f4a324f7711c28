package ledgertest

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"escrowd/ledger"
)

// Run states what any ledger.Engine must do, one rule of the ledger to a
// subtest. open gives each of them an engine, which Run closes (open may do so
// too: closing again does nothing). The engine runs on the real clock and need
// not be empty: every subtest uses ids of its own, which rise with time, and a
// ledger number drawn at random. Good imports need books without anything in
// them and are left out, by name, where there is something.
func Run(t *testing.T, open func(t *testing.T) ledger.Engine) {
	for _, c := range []struct {
		name string
		test func(b *books)
	}{
		{"accounts come back as they were created", accountsRoundTrip},
		{"accounts are refused by the first rule they break", accountRefusals},
		{"accounts sent again", accountsSentAgain},
		{"accounts in chains", accountChains},
		{"transfers come back as they were created", transfersRoundTrip},
		{"transfers are refused by the first rule they break", transferRefusals},
		{"transfers sent again", transfersSentAgain},
		{"chains stand or fall together", transferChains},
		{"a chain over two ledgers", chainOverLedgers},
		{"a chain sent again", chainSentAgain},
		{"burned ids", burnedIDs},
		{"limits hold, pending amounts included", limits},
		{"balancing moves what there is to spare", balancing},
		{"amounts near 2^128", overflows},
		{"post and void", postAndVoid},
		{"posts and voids are refused by the first rule they break", postRefusals},
		{"posts and voids sent again", postsSentAgain},
		{"closing and reopening", closing},
		{"timeouts", timeouts},
		{"balances over time", history},
		{"transfers of an account by filter", accountFilters},
		{"accounts and transfers by query", queries},
		{"invalid filters select nothing", invalidFilters},
		{"imports are refused by the first rule they break", importRefusals},
		{"imports keep their timestamps", imports},
		{"a request has a size", requestSize},
		{"a canceled request is not sent", canceledRequests},
		{"a closed engine takes nothing", closedEngine},
		{"timestamps rise across requests", timestampsRise},
		{"two callers with the same ids", concurrentCallers},
		{"random transfers agree with a simple model", randomTransfers},
	} {
		t.Run(c.name, func(t *testing.T) {
			eng := open(t)
			t.Cleanup(func() {
				if err := eng.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			c.test(newBooks(t, eng))
		})
	}
}

// books is one test's corner of an engine: a ledger number of its own, and
// names for the ids in it, so that tables can be read.
type books struct {
	*testing.T
	eng    ledger.Engine
	ledger uint32
	ids    map[string]ledger.ID
	stamps map[ledger.ID]uint64 // timestamps of the transfers that stand
}

func newBooks(t *testing.T, eng ledger.Engine) *books {
	return &books{
		T: t, eng: eng, ledger: randomLedger(),
		ids: make(map[string]ledger.ID), stamps: make(map[ledger.ID]uint64),
	}
}

func randomLedger() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint32(b[:])>>1 + 1
}

var ids struct {
	sync.Mutex
	last ledger.ID
}

// newID is an id that nobody used before: it rises with time, and its low half
// is random.
func newID() ledger.ID {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	ids.Lock()
	defer ids.Unlock()
	ids.last = ledger.ID{Hi: max(uint64(time.Now().UnixNano()), ids.last.Hi+1), Lo: binary.BigEndian.Uint64(b[:])}
	return ids.last
}

// id is the id behind a name. "" is 0, which stands for "none", and "max" is
// 2^128-1; any other name gets an id when it is first used.
func (b *books) id(name string) ledger.ID {
	switch name {
	case "":
		return ledger.ID{}
	case "max":
		return ledger.AmountMax
	}
	id, ok := b.ids[name]
	if !ok {
		id = newID()
		b.ids[name] = id
	}
	return id
}

// open is an account to create: by name, flags, and what with changes.
type open struct {
	name  string
	flags ledger.AccountFlags
	with  func(a *ledger.Account)
	want  ledger.AccountStatus // 0 stands for created
}

// create sends accounts in one request and checks each answer.
func (b *books) create(accounts ...open) []ledger.AccountResult {
	b.Helper()
	events := make([]ledger.Account, len(accounts))
	for i, o := range accounts {
		events[i] = ledger.Account{ID: b.id(o.name), Ledger: b.ledger, Code: 1, Flags: o.flags}
		if o.with != nil {
			o.with(&events[i])
		}
	}
	got, err := b.eng.CreateAccounts(b.Context(), events)
	if err != nil {
		b.Fatalf("create_accounts: %v", err)
	}
	if len(got) != len(events) {
		b.Fatalf("%d results for %d accounts", len(got), len(events))
	}
	var stamps []stamp
	for i, o := range accounts {
		want := o.want
		if want == 0 {
			want = ledger.AccountCreated
		}
		if got[i].Status != want {
			b.Errorf("account %d (%s): %v, want %v", i, o.name, got[i].Status, want)
		}
		if got[i].Status != ledger.AccountExists && !events[i].Flags.Has(ledger.AccountImported) {
			stamps = append(stamps, stamp{i, got[i].Timestamp})
		}
	}
	b.checkStamps(stamps)
	return got
}

// accounts creates accounts without more ado.
func (b *books) accounts(flags ledger.AccountFlags, names ...string) {
	b.Helper()
	events := make([]open, len(names))
	for i, name := range names {
		events[i] = open{name: name, flags: flags}
	}
	b.create(events...)
}

// move is a transfer to create, in names.
type move struct {
	id     string
	debit  string
	credit string
	amount uint64
	flags  ledger.TransferFlags
	ends   string // the pending transfer that this posts or voids
	with   func(t *ledger.Transfer)
	want   ledger.TransferStatus // 0 stands for created
}

const (
	linked     = ledger.TransferLinked
	pending    = ledger.TransferPending
	post       = ledger.TransferPostPending
	void       = ledger.TransferVoidPending
	closeDebit = ledger.TransferClosingDebit
)

// transfer is m as the engine takes it. A post or void names neither accounts
// nor ledger nor code unless the table does.
func (b *books) transfer(m move) ledger.Transfer {
	t := ledger.Transfer{
		ID: b.id(m.id), DebitAccountID: b.id(m.debit), CreditAccountID: b.id(m.credit),
		Amount: ledger.U64(m.amount), PendingID: b.id(m.ends), Ledger: b.ledger, Code: 1, Flags: m.flags,
	}
	if m.flags&(post|void) != 0 {
		t.Ledger, t.Code = 0, 0
	}
	if m.with != nil {
		m.with(&t)
	}
	return t
}

// send sends transfers in one request and checks each answer.
func (b *books) send(moves ...move) []ledger.TransferResult {
	b.Helper()
	events := make([]ledger.Transfer, len(moves))
	for i, m := range moves {
		events[i] = b.transfer(m)
	}
	got, err := b.eng.CreateTransfers(b.Context(), events)
	if err != nil {
		b.Fatalf("create_transfers: %v", err)
	}
	if len(got) != len(events) {
		b.Fatalf("%d results for %d transfers", len(got), len(events))
	}
	var stamps []stamp
	for i, m := range moves {
		want := m.want
		if want == 0 {
			want = ledger.TransferCreated
		}
		if got[i].Status != want {
			b.Errorf("transfer %d (%s): %v, want %v", i, m.id, got[i].Status, want)
		}
		switch id := events[i].ID; {
		case got[i].Status == ledger.TransferExists:
			if was, ok := b.stamps[id]; !ok || was != got[i].Timestamp {
				b.Errorf("transfer %d (%s): exists at %d, was created at %d", i, m.id, got[i].Timestamp, was)
			}
			continue
		case got[i].Status == ledger.TransferCreated:
			b.stamps[id] = got[i].Timestamp
		}
		if !events[i].Flags.Has(ledger.TransferImported) {
			stamps = append(stamps, stamp{i, got[i].Timestamp})
		}
	}
	b.checkStamps(stamps)
	return got
}

// one sends each transfer in a request of its own.
func (b *books) one(moves ...move) {
	b.Helper()
	for _, m := range moves {
		b.send(m)
	}
}

type stamp struct {
	event     int
	timestamp uint64
}

// checkStamps: within a request every event, refused ones too, takes the next
// nanosecond.
func (b *books) checkStamps(stamps []stamp) {
	b.Helper()
	for _, s := range stamps[min(1, len(stamps)):] {
		first := stamps[0]
		if s.timestamp-first.timestamp != uint64(s.event-first.event) {
			b.Errorf("event %d at %d, event %d at %d: each takes one nanosecond", first.event, first.timestamp, s.event, s.timestamp)
		}
	}
}

// account looks one account up.
func (b *books) account(name string) ledger.Account {
	b.Helper()
	found, err := b.eng.LookupAccounts(b.Context(), []ledger.ID{b.id(name)})
	if err != nil {
		b.Fatalf("lookup_accounts: %v", err)
	}
	if len(found) != 1 {
		b.Fatalf("account %s: %d found", name, len(found))
	}
	return found[0]
}

// held is an account's balances: debits then credits, posted and pending.
type held struct {
	account           string
	debits, debitsP   uint64
	credits, creditsP uint64
}

func (h held) String() string {
	return fmt.Sprintf("%s: debits %d + %d pending, credits %d + %d pending", h.account, h.debits, h.debitsP, h.credits, h.creditsP)
}

// balances checks what accounts hold.
func (b *books) balances(want ...held) {
	b.Helper()
	for _, w := range want {
		a := b.account(w.account)
		if a.DebitsPosted != ledger.U64(w.debits) || a.DebitsPending != ledger.U64(w.debitsP) ||
			a.CreditsPosted != ledger.U64(w.credits) || a.CreditsPending != ledger.U64(w.creditsP) {
			b.Errorf("want %v\n got %v", w, showAccount(a))
		}
	}
}

// missing checks that none of the transfers stands.
func (b *books) missing(transfers ...string) {
	b.Helper()
	for _, name := range transfers {
		found, err := b.eng.LookupTransfers(b.Context(), []ledger.ID{b.id(name)})
		if err != nil {
			b.Fatalf("lookup_transfers: %v", err)
		}
		if len(found) != 0 {
			b.Errorf("%s stands: %v", name, showTransfer(found[0]))
		}
	}
}
