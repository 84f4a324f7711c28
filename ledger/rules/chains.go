package rules

import "escrowd/ledger"

// words are the outcomes that accounts and transfers share in meaning but not
// in number.
type words[S ~uint32] struct {
	created                S
	linkedEventFailed      S
	linkedEventChainOpen   S
	importedExpected       S
	importedNotExpected    S
	timestampMustBeZero    S
	importedOutOfRange     S
	importedMustNotAdvance S
}

var accountWords = words[ledger.AccountStatus]{
	created:                ledger.AccountCreated,
	linkedEventFailed:      ledger.AccountLinkedEventFailed,
	linkedEventChainOpen:   ledger.AccountLinkedEventChainOpen,
	importedExpected:       ledger.AccountImportedEventExpected,
	importedNotExpected:    ledger.AccountImportedEventNotExpected,
	timestampMustBeZero:    ledger.AccountTimestampMustBeZero,
	importedOutOfRange:     ledger.AccountImportedEventTimestampOutOfRange,
	importedMustNotAdvance: ledger.AccountImportedEventTimestampMustNotAdvance,
}

var transferWords = words[ledger.TransferStatus]{
	created:                ledger.TransferCreated,
	linkedEventFailed:      ledger.TransferLinkedEventFailed,
	linkedEventChainOpen:   ledger.TransferLinkedEventChainOpen,
	importedExpected:       ledger.TransferImportedEventExpected,
	importedNotExpected:    ledger.TransferImportedEventNotExpected,
	timestampMustBeZero:    ledger.TransferTimestampMustBeZero,
	importedOutOfRange:     ledger.TransferImportedEventTimestampOutOfRange,
	importedMustNotAdvance: ledger.TransferImportedEventTimestampMustNotAdvance,
}

// envelope is what a chain needs to know of an event.
type envelope struct {
	linked    bool
	imported  bool
	timestamp uint64 // as the caller set it
}

// kind is what accounts and transfers do differently inside a batch.
type kind[E any, S ~uint32] interface {
	envelope(e *E) envelope
	// apply checks e and, if all is well, writes it. at is the event's own
	// timestamp; the answer's is the object's for created and exists.
	apply(e *E, at uint64) (S, uint64)
	// refused is told every outcome but created.
	refused(e *E, status S)
	// answer sets the result of event i, relabel only its status.
	answer(i int, status S, timestamp uint64)
	relabel(i int, status S)
	// open starts the undo log, takeBack undoes what is in it, newest first,
	// and done forgets it.
	open()
	takeBack()
	done()
}

// run takes a batch's events through k in order: the chain's checks here, the
// event's own in k.apply. T is the batch's timestamp.
func run[E any, S ~uint32](s Store, k kind[E, S], w *words[S], T uint64, events []E) {
	n := len(events)
	if n == 0 {
		return
	}
	first := k.envelope(&events[0])
	chain, broken := -1, false // where the open chain began, -1 for none
	for i := range events {
		e := &events[i]
		at := T - uint64(n) + 1 + uint64(i)
		env := k.envelope(e)
		if env.linked && chain < 0 {
			chain = i
			k.open()
		}

		var status S
		timestamp := at
		switch {
		case env.linked && i == n-1: // before "failed": also in a broken chain
			status = w.linkedEventChainOpen
		case broken:
			status = w.linkedEventFailed
		case first.imported && !env.imported:
			status = w.importedExpected
		case !first.imported && env.imported:
			status = w.importedNotExpected
		case !env.imported && env.timestamp != 0:
			status = w.timestampMustBeZero
		case env.imported && (env.timestamp == 0 || env.timestamp > ledger.TimestampMax):
			status = w.importedOutOfRange
		case env.imported && env.timestamp >= T:
			status = w.importedMustNotAdvance
		default:
			status, timestamp = k.apply(e, at)
		}

		if status != w.created {
			if chain >= 0 && !broken {
				broken = true
				k.takeBack()
				// The answers keep the timestamps they had, which for an
				// imported event is the one it brought.
				for j := chain; j < i; j++ {
					k.relabel(j, w.linkedEventFailed)
				}
			}
			k.refused(e, status)
		}
		k.answer(i, status, timestamp)

		if chain >= 0 && (!env.linked || i == n-1) {
			chain, broken = -1, false
			k.done()
		}
	}

	// Failed events use up their nanosecond too.
	newest := s.Newest()
	newest.Any = max(newest.Any, T)
	s.SetNewest(newest)
}

// NextTimestamp is the timestamp T of a batch of the given number of events
// when the wall clock reads clock (nanoseconds since 1970 UTC): the clock's, or
// later if the first event, at T-events+1, would not come after all that was
// given before. The clock may stand still or run backwards; T never does.
func NextTimestamp(n Newest, clock uint64, events int) uint64 {
	return max(clock, n.Any+uint64(events))
}
