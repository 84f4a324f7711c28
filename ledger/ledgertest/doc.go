// Package ledgertest says what a ledger.Engine must do, in two ways.
//
// Run is one conformance suite for every engine: rules in the words of the
// domain, checked with the real clock and fresh ids, so that it can also be
// run against a TigerBeetle cluster that others use.
//
// Replay sends recorded requests to an engine whose clock can be set, and
// compares each answer with the recorded one to the status, the field and the
// nanosecond.
package ledgertest
