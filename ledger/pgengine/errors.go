package pgengine

import (
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/lib/pq"
)

// passing reports whether a failure before COMMIT says nothing about the
// request itself, so that beginning it anew may well succeed: the connection
// was lost, the server is restarting, or the transaction was picked to yield
// to another. Postgres's errors are known by their SQLSTATE (Appendix A of its
// manual), never by their text, which depends on its language.
func passing(err error) bool {
	var pg *pq.Error
	if errors.As(err, &pg) {
		switch pg.Code.Class() {
		case "08", // connection exception
			"40": // transaction rollback: deadlock, serialization failure
			return true
		}
		switch pg.Code {
		case "25P03", // idle_in_transaction_session_timeout: we were suspended
			"57P01", // admin_shutdown: this connection was terminated
			"57P02", // crash_shutdown
			"57P03", // cannot_connect_now: the server is starting
			"57P05": // idle_session_timeout
			return true
		}
		return false
	}
	var network net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &network)
}
