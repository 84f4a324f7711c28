// Package jobs does what time causes: it expires what nobody paid, cancels
// what nobody shipped, releases what nobody disputed, matures what was
// released, finishes what a crash left half done, and checks the books.
//
// A job is a RunOnce over bounded batches until none remain, apart from the
// tick that starts it. It keeps no state between runs that it needs: what is
// left to do is what the order store says is due. So a job can run twice, late,
// on two machines at once, or be killed at any point, and the books come out
// the same. A deadline's event takes effect at the deadline, however late it
// is booked.
//
//	expire-unpaid      pay_by passed      the order expires
//	                   capture_by passed  the authorisation is voided and the order expires
//	cancel-unshipped   ship_by passed     what is held goes back to the buyer; of an order in parts, of those not shipped by it
//	auto-release       confirm_by passed  what is held goes to the seller, less the fee
//	                   confirm_part_by    the same of the parts whose deadline it is
//	move-disputes      a step's deadline  the claim is granted, heard or dropped; a ruling is carried out
//	                   represent_by passed  the chargeback that nobody answered is lost
//	mature             mature_part_at     what was released of the parts whose moment it is becomes available, but for a reserve
//	                   mature_at passed   what was released becomes available, but for a reserve
//	                   reserve_until passed  what is left of the reserve becomes available
//	pay-out            a seller's day, week or month has come: what is available, after what is owed
//	expire-proposals   nobody approved it in time: it ends
//	redrive            an intent is unfinished for too long: to the ledger again
//	close-pages        a page of the journal is full: to its sums, which reports read
//	check-books        do the order store and the ledger agree, and each with itself?
//	mirror             TigerBeetle only: what is new there, to where reports read it
//
// # One leader
//
// Of all processes on one database, one runs the schedule: the leader.
//
//	          lock taken                       lock taken
//	follower ------------> leader    follower ----------> leader
//	   ^                     |          (waits and asks every few seconds)
//	   '---------------------'
//	    connection lost, or stopped
//
// The leader holds a Postgres advisory lock. It is a session's lock, on a
// connection that the leader uses for nothing else: Postgres gives it up in the
// instant that the session ends, be it by a clean stop, a kill -9 or a cut
// cable, so no clock has to be trusted and no lease can be too short. The lock
// is named by the job_runs table, so two installations in two schemas of one
// database have a leader each. A pooler between escrowd and Postgres must give
// each client a session of its own (not one for each transaction).
//
// The leader asks its connection every few seconds whether it still has the
// lock. When it has not, its jobs' contexts are canceled and it becomes a
// follower. Until it asks, there can be two: the one that lost the lock without
// knowing and the one that has it. A process that stood still (a stopped
// container, a machine that swaps) can be the old leader for longer still, and
// whatever it had sent by then arrives. That is allowed for. The lock saves
// work; it gives no safety. Safety is in the write path: the UNIQUE (order,
// seq, attempt) of the intents lets one of two leaders decide an event, and
// the ids of its transfers make the ledger take it once. The other is told that
// the order has moved on, which is no failure.
//
// A new leader first catches up with every job whose moment has passed since
// its last run. Nothing else is known of time lost: that the deadlines of the
// night passed without a leader shows in nothing but the time of booking.
//
// # Rows
//
// A run leaves a row in job_runs. A run by the schedule that found nothing to
// do leaves one only if it is the job's first within an hour (UTC): that it
// looked is worth a row now and then, not every ten seconds. check-books
// always leaves one. The mirror and close-pages, which find something all the
// time, leave one when a run fails and the one before did not, when it works
// again, and once an hour. The row of a long run is written as it goes; a row without
// a finish is a run that is still going on, or whose process died.
//
// # Poison
//
// An order whose event is refused is counted as failed, logged once, and
// passed by: the batch goes on. Later runs of the schedule leave it alone for
// a while, twice as long after each failure, up to a day; a run by hand tries
// it at once. escrowd_orders_overdue says that it is there.
package jobs
