package pgengine

import "escrowd/ledger"

// cacheMax bounds the cache: 200,000 accounts are about 50 MB. Beyond it the
// cache starts anew rather than choose whom to forget.
const cacheMax = 200_000

// cache is the accounts that this engine has read or written lately, as they
// are in Postgres while batch sequence, which was its own, is the latest.
type cache struct {
	sequence uint64
	accounts map[ledger.ID]ledger.Account
}

// validate empties the cache unless the locked state is what it goes with.
// The sequence alone would not do: after a restore to an earlier moment another
// engine may have come by the same number.
func (c *cache) validate(s state, writer ledger.Uint128) {
	if s.writer != writer || s.sequence != c.sequence {
		*c = cache{}
	}
}

// keep takes over the accounts of a batch that was committed as sequence.
func (c *cache) keep(sequence uint64, w *work) {
	if c.accounts == nil || len(c.accounts)+len(w.accounts) > cacheMax {
		c.accounts = make(map[ledger.ID]ledger.Account, len(w.accounts))
	}
	for id, a := range w.accounts {
		if a.exists {
			c.accounts[id] = a.now
		}
	}
	c.sequence = sequence
}
