package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
)

// Service is whose file it is.
type Service string

// The services. A file opened for Both serves every port.
const (
	Both          Service = ""
	TicketService Service = "tickets"
	OrderService  Service = "orders"
)

// empty reports whether the database at path is still to be made. It is an error
// if its log is there: the engine would delete that, with what was committed last.
func empty(path string) (bool, error) {
	const none = 1 // a file of so many bytes is an empty one to the engine
	if info, err := os.Stat(path); err == nil && info.Size() > none {
		return false, nil
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return false, errors.New("the file is not there, or empty, but its -wal is, with what was committed last: put the file back beside it," +
			" or move the -wal away to begin with nothing")
	}
	return true, nil
}

// recognize refuses the file of the other service, by what is in it. A foreign
// row among others says nothing.
func recognize(ctx context.Context, conn *sql.Conn, s Service) error {
	var canonical, copies bool
	err := conn.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM tickets) OR EXISTS (SELECT 1 FROM locks),"+
		" EXISTS (SELECT 1 FROM orders) OR EXISTS (SELECT 1 FROM replica)").Scan(&canonical, &copies)
	switch {
	case err != nil:
		return err
	case s == TicketService && copies && !canonical:
		return errors.New("the file belongs to an orders service, for it has orders or a replica and no tickets: put that of the tickets service in its place")
	case s == OrderService && canonical && !copies:
		return errors.New("the file belongs to a tickets service, for it has tickets and no orders: put that of the orders service in its place")
	}
	return nil
}
