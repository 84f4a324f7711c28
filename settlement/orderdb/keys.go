package orderdb

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// keyPrefix marks escrowd's secret keys, so that scanners for leaked secrets
// can know them.
const keyPrefix = "esk_"

const (
	secretBytes = 32 // 256 bits
	prefixShown = len(keyPrefix) + 8
)

// CreateKey makes an API key. plain is shown this once: only its SHA-256 is
// stored, which for 256 random bits needs no salt and no slow hash.
func (s *Store) CreateKey(ctx context.Context, marketplace uint32, name string) (plain string, k Key, err error) {
	if name == "" || len(name) > 100 {
		return "", Key{}, errors.New("a key's name has 1 to 100 bytes")
	}
	var secret [secretBytes]byte
	rand.Read(secret[:]) // never fails, see crypto/rand
	plain = keyPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
	hash := sha256.Sum256([]byte(plain))
	k = Key{Marketplace: marketplace, Name: name, Prefix: plain[:prefixShown]}
	err = s.db.QueryRowContext(ctx,
		`INSERT INTO api_keys (marketplace, name, prefix, hash) SELECT id, $2, $3, $4 FROM marketplaces WHERE id = $1
		 RETURNING id, created_at`, marketplace, name, k.Prefix, hash[:]).Scan(&k.ID, (*moment)(&k.CreatedAt))
	if err != nil {
		return "", Key{}, fmt.Errorf("key of marketplace %d: %w", marketplace, notFound(err))
	}
	return plain, k, nil
}

// Keys lists the marketplace's keys, revoked ones too.
func (s *Store) Keys(ctx context.Context, marketplace uint32) ([]Key, error) {
	rows, err := s.db.QueryContext(ctx,
		`SELECT id, marketplace, name, prefix, created_at, revoked_at FROM api_keys WHERE marketplace = $1 ORDER BY id`, marketplace)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Key
	for rows.Next() {
		var k Key
		if err := rows.Scan(&k.ID, &k.Marketplace, &k.Name, &k.Prefix, (*moment)(&k.CreatedAt), &k.RevokedAt); err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, rows.Err()
}

// RevokeKey ends a key; ending it twice changes nothing.
func (s *Store) RevokeKey(ctx context.Context, marketplace uint32, id int32) error {
	var found int32
	return notFound(s.db.QueryRowContext(ctx,
		`UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE marketplace = $1 AND id = $2 RETURNING id`,
		marketplace, id).Scan(&found))
}

// Authenticate is the marketplace whose key this is. ErrNotFound: it is
// malformed, unknown or revoked. Looking it up by hash leaves nothing to
// time: whoever can guess a hash's prefix has not come closer to the key.
func (s *Store) Authenticate(ctx context.Context, plain string) (marketplace uint32, err error) {
	if !strings.HasPrefix(plain, keyPrefix) || len(plain) > 100 {
		return 0, ErrNotFound
	}
	hash := sha256.Sum256([]byte(plain))
	err = s.db.QueryRowContext(ctx,
		`SELECT marketplace FROM api_keys WHERE hash = $1 AND revoked_at IS NULL`, hash[:]).Scan(&marketplace)
	return marketplace, notFound(err)
}
