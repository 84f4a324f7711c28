package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"escrowd/cmd/escrowd/replay"
	"escrowd/cmd/escrowd/replay/replaytest"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/settlement/orderdb"
)

func TestReplayOlist(t *testing.T) {
	dir, dsn := t.TempDir(), pgtest.DSN(t)
	replaytest.Write(t, dir, 31, 4*replaytest.Kinds)
	db := pgtest.Open(t)
	at := func(args ...string) result {
		return escrowd(t, append([]string{"replay", "olist", dir, "--database-url", dsn}, args...)...)
	}

	at("--until", "2017-06-15T12:00:00Z").check(t, exitOK, "orders up to 2017-06-15T12:00:00Z: ", "replaying: up to 2017-06-15, ")
	at().check(t, exitOK, "an earlier run had done ", "")
	books := replaytest.Read(t, dir)
	books.Compare(t, db, 20)
	before := replaytest.Fingerprint(t, db)
	at().check(t, exitOK, "nothing was left to do", "")
	at("--until", "2017-06-15T12:00:00Z").check(t, exitOK, "As of 2017-06-15T12:00:00Z, effective", "")
	if after := replaytest.Fingerprint(t, db); after != before {
		t.Errorf("a second replay changed the database:\n%s\n%s", before, after)
	}

	keys, err := orderdb.New(db).Keys(t.Context(), 1)
	if err != nil || len(keys) != 4 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for _, k := range keys {
		if k.RevokedAt == nil {
			t.Errorf("key %d works still", k.ID)
		}
	}
}

// TestReplayOlistRefuses: what is wrong with the files is found before
// anything is written.
func TestReplayOlistRefuses(t *testing.T) {
	dir, dsn := t.TempDir(), pgtest.DSN(t)
	db := pgtest.Open(t)
	at := func(args ...string) result {
		return escrowd(t, append([]string{"replay", "olist", dir, "--database-url", dsn}, args...)...)
	}
	at().check(t, exitUsage, "", replay.OrdersFile+": no such file")
	replaytest.Write(t, dir, 31, 2*replaytest.Kinds)
	items := filepath.Join(dir, replay.ItemsFile)
	good, err := os.ReadFile(items)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(items, append(good, "order00001,99,p,s,2017-05-10 00:00:00,1.005,0\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	line := strings.Count(string(good), "\n") + 1
	at().check(t, exitUsage, "", dir+": "+replay.ItemsFile+":"+strconv.Itoa(line)+":39: an amount has at most 2 decimals")
	at("--until", "soon").check(t, exitUsage, "", `"soon" is not a moment`)
	var n int
	if err := db.Get(&n, `SELECT (SELECT count(*) FROM marketplaces) + (SELECT count(*) FROM orders)`); err != nil || n != 0 {
		t.Errorf("%d rows were written, %v", n, err)
	}

	if err := os.WriteFile(items, good, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := orderdb.New(db).CreateMarketplace(t.Context(), olistMarketplace, orderdb.LiveClock, time.Time{}); err != nil {
		t.Fatal(err)
	}
	at().check(t, exitEnvironment, "", "marketplace olist has a live clock")
}
