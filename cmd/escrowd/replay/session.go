package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"escrowd/settlement/orderdb"
)

// Session is a marketplace with a test clock and a key to it. Its key works
// until it is closed.
type Session struct {
	Marketplace orderdb.Marketplace
	Key         string // secret
	Found       bool   // the marketplace was there before

	store *orderdb.Store
	keyID int32
}

// OpenSession makes the marketplace if it is missing, its clock at start, and
// a key for this session.
func OpenSession(ctx context.Context, store *orderdb.Store, marketplace string, start time.Time, keyName string) (*Session, error) {
	m, err := store.CreateMarketplace(ctx, marketplace, orderdb.TestClock, start)
	found := errors.Is(err, orderdb.ErrExists)
	if found {
		m, err = store.MarketplaceByName(ctx, marketplace)
	}
	if err != nil {
		return nil, fmt.Errorf("marketplace %s: %w", marketplace, err)
	}
	if m.Clock != orderdb.TestClock {
		return nil, fmt.Errorf("marketplace %s has a live clock: orders of the past can only be played under a test clock", marketplace)
	}
	plain, key, err := store.CreateKey(ctx, m.ID, keyName)
	if err != nil {
		return nil, err
	}
	return &Session{Marketplace: m, Key: plain, Found: found, store: store, keyID: key.ID}, nil
}

// Close revokes the session's key.
func (s *Session) Close() error {
	// Also when the run was interrupted: its context is done then.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.store.RevokeKey(ctx, s.Marketplace.ID, s.keyID); err != nil {
		return fmt.Errorf("revoking the key of this run: %w", err)
	}
	return nil
}
