package rules

import (
	"container/heap"
	"slices"

	"escrowd/ledger"
)

// Memory is a Store in memory that answers queries too (memory_query.go). It
// is for one goroutine at a time, queries included.
//
// Objects are kept in the order of their creation, which is the order of their
// timestamps: every new one, imported or not, is later than all of its kind.
type Memory struct {
	accounts  []*memoryAccount
	accountOf map[ledger.ID]*memoryAccount

	transfers chunks
	rising    []int             // positions of those whose id was the greatest yet
	others    map[ledger.ID]int // positions of the rest
	indexed   int               // transfers already in their accounts' lists

	pending map[ledger.ID]*memoryPending
	timers  timers
	burned  map[ledger.ID]struct{}
	newest  Newest
}

type memoryAccount struct {
	ledger.Account
	transfers []int // positions, rising; filled in when first asked for
	balances  []ledger.AccountBalance
}

// NewMemory is empty books.
func NewMemory() *Memory {
	return &Memory{
		accountOf: make(map[ledger.ID]*memoryAccount),
		others:    make(map[ledger.ID]int),
		pending:   make(map[ledger.ID]*memoryPending),
		burned:    make(map[ledger.ID]struct{}),
	}
}

// Account is part of Store.
func (m *Memory) Account(id ledger.ID) (ledger.Account, bool) {
	a, ok := m.accountOf[id]
	if !ok {
		return ledger.Account{}, false
	}
	return a.Account, true
}

// PutAccount is part of Store.
func (m *Memory) PutAccount(a ledger.Account) {
	if old, ok := m.accountOf[a.ID]; ok {
		old.Account = a
		return
	}
	kept := &memoryAccount{Account: a}
	m.accountOf[a.ID] = kept
	m.accounts = append(m.accounts, kept)
}

// DeleteAccount is part of Store. The rules take back the newest first.
func (m *Memory) DeleteAccount(id ledger.ID) {
	last := len(m.accounts) - 1
	if last < 0 || m.accounts[last].ID != id {
		panic("ledger/rules: only the newest account can be taken back")
	}
	m.accounts = m.accounts[:last]
	delete(m.accountOf, id)
}

// find is the position of a transfer. Ids are meant to rise with time, and
// those that do need no map: at millions of transfers, every look into one is
// a cache miss, and a new id is looked up before it is stored.
func (m *Memory) find(id ledger.ID) (at int, ok bool) {
	if len(m.rising) == 0 || id.Cmp(m.greatest()) > 0 {
		return 0, false
	}
	if at, ok = m.others[id]; ok {
		return at, true
	}
	i, ok := slices.BinarySearchFunc(m.rising, id, func(at int, id ledger.ID) int { return m.transfers.at(at).ID.Cmp(id) })
	if !ok {
		return 0, false
	}
	return m.rising[i], true
}

// greatest is the greatest id of a transfer, of which there must be one.
func (m *Memory) greatest() ledger.ID { return m.transfers.at(m.rising[len(m.rising)-1]).ID }

// Transfer is part of Store.
func (m *Memory) Transfer(id ledger.ID) (ledger.Transfer, bool) {
	at, ok := m.find(id)
	if !ok {
		return ledger.Transfer{}, false
	}
	return *m.transfers.at(at), true
}

// PutTransfer is part of Store.
func (m *Memory) PutTransfer(t ledger.Transfer) {
	if len(m.rising) == 0 || t.ID.Cmp(m.greatest()) > 0 {
		m.rising = append(m.rising, m.transfers.len)
	} else {
		m.others[t.ID] = m.transfers.len
	}
	m.transfers.push(&t)
}

// DeleteTransfer is part of Store. The rules take back the newest first.
func (m *Memory) DeleteTransfer(id ledger.ID) {
	last := m.transfers.len - 1
	if last < 0 || m.transfers.at(last).ID != id || last < m.indexed {
		panic("ledger/rules: only the newest transfer of a batch can be taken back")
	}
	if n := len(m.rising) - 1; m.rising[n] == last {
		m.rising = m.rising[:n]
	}
	delete(m.others, id)
	m.transfers.len = last
}

// Pending is part of Store.
func (m *Memory) Pending(id ledger.ID) PendingState {
	if p, ok := m.pending[id]; ok {
		return p.state
	}
	return PendingNone
}

// SetPending is part of Store.
func (m *Memory) SetPending(t ledger.Transfer, s PendingState) {
	p, ok := m.pending[t.ID]
	if !ok {
		p = &memoryPending{transfer: t, timer: -1}
		m.pending[t.ID] = p
	}
	p.state = s
	waits := s == PendingOpen && t.Timeout != 0
	switch {
	case waits && p.timer < 0:
		heap.Push(&m.timers, p)
	case !waits && p.timer >= 0:
		heap.Remove(&m.timers, p.timer)
	}
	if s == PendingNone {
		delete(m.pending, t.ID)
	}
}

// PutBalance is part of Store.
func (m *Memory) PutBalance(account ledger.ID, b ledger.AccountBalance) {
	a := m.accountOf[account]
	a.balances = append(a.balances, b)
}

// DeleteBalance is part of Store. The rules take back the newest first.
func (m *Memory) DeleteBalance(account ledger.ID, timestamp uint64) {
	a := m.accountOf[account]
	last := len(a.balances) - 1
	if last < 0 || a.balances[last].Timestamp != timestamp {
		panic("ledger/rules: only the newest balance can be taken back")
	}
	a.balances = a.balances[:last]
}

// Burned is part of Store.
func (m *Memory) Burned(id ledger.ID) bool {
	_, ok := m.burned[id]
	return ok
}

// Burn is part of Store.
func (m *Memory) Burn(id ledger.ID) { m.burned[id] = struct{}{} }

// TimestampTaken is part of Store.
func (m *Memory) TimestampTaken(timestamp uint64) bool {
	if i := m.firstAccount(timestamp); i < len(m.accounts) && m.accounts[i].Timestamp == timestamp {
		return true
	}
	i := m.firstTransfer(timestamp)
	return i < m.transfers.len && m.transfers.at(i).Timestamp == timestamp
}

// Newest is part of Store.
func (m *Memory) Newest() Newest { return m.newest }

// SetNewest is part of Store.
func (m *Memory) SetNewest(n Newest) { m.newest = n }

// Expiring is part of Store.
func (m *Memory) Expiring(now uint64) []ledger.Transfer {
	if len(m.timers) == 0 || expiry(&m.timers[0].transfer) > now {
		return nil
	}
	var due []*memoryPending
	for _, p := range m.timers {
		if expiry(&p.transfer) <= now {
			due = append(due, p)
		}
	}
	slices.SortFunc(due, func(a, b *memoryPending) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	found := make([]ledger.Transfer, len(due))
	for i, p := range due {
		found[i] = p.transfer
	}
	return found
}

// memoryPending is a pending transfer and what has become of it. timer is its
// place in the heap of those that wait for their timeout, or -1.
type memoryPending struct {
	transfer ledger.Transfer
	state    PendingState
	timer    int
}

// before orders by expiry and, at the same nanosecond, by creation.
func (p *memoryPending) before(q *memoryPending) bool {
	a, b := expiry(&p.transfer), expiry(&q.transfer)
	return a < b || a == b && p.transfer.Timestamp < q.transfer.Timestamp
}

// timers is a heap (container/heap) with the next expiry first.
type timers []*memoryPending

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].before(h[j]) }

func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timer, h[j].timer = i, j
}

func (h *timers) Push(x any) {
	p := x.(*memoryPending)
	p.timer = len(*h)
	*h = append(*h, p)
}

func (h *timers) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	p.timer = -1
	return p
}

// chunks is a list of transfers that grows without moving what is in it: a
// plain slice would copy many megabytes at every growth.
type chunks struct {
	blocks [][]ledger.Transfer
	len    int
}

const chunkSize = 4096

func (c *chunks) at(i int) *ledger.Transfer { return &c.blocks[i/chunkSize][i%chunkSize] }

func (c *chunks) push(t *ledger.Transfer) {
	if c.len == len(c.blocks)*chunkSize {
		c.blocks = append(c.blocks, make([]ledger.Transfer, chunkSize))
	}
	*c.at(c.len) = *t
	c.len++
}
