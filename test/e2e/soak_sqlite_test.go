package e2e

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// file is where a service keeps its data.
func (s *trial) file(service string) string {
	p := s.members(service)[0]
	return filepath.Join(p.setting("DATA_DIR"), service+".db")
}

// foreignSQL runs statements as another program would.
func (s *trial) foreignSQL(service string, statements ...string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.file(service)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(s.t.Context(), statement); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// foreignOutboxRows: another program writes into the outbox.
func foreignOutboxRows(s *trial, _ *rand.Rand) {
	const into = "INSERT INTO events (keyHash, key, version, subject, occurredAt, isLocked, lockedAt, notBefore, attempts, failures, payload) VALUES "
	s.foreignSQL("tickets",
		into+"(1, 'zzz', 'one', 's', 0, 1, 0, 0, 0, '[]', x'7b7d')",
		into+"(2, x'00', 1, 's', 'now', 7, 'then', 'soon', 'many', 'none', '{}')",
		into+"('x', 'k', 1.5, 's', 0, 0, 0, 0, 0, '', '')",
	)
	s.shows("tickets readyz: outbox", s.saysOf("tickets", "tickets outbox: "))
	s.shows("tickets "+unreadableRows, func() bool { return s.sumOf("tickets", unreadableRows) >= 3 })
	s.discardForeign("tickets")
}

func dropIndexSQLite(s *trial, _ *rand.Rand) {
	id := s.free()
	s.foreignSQL("orders", "DROP INDEX ordersActive")
	s.rush(id)
}

func removeFile(path string) error { return os.Remove(path) }

func replaceFile(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".other", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".other", path)
}

// loseFile: the file is taken away under the service. What was answered is in
// the files that the process holds.
func (s *trial) loseFile(service string, lose func(path string) error) {
	p, path := s.members(service)[0], s.file(service)
	if err := lose(path); err != nil {
		s.t.Fatal(err)
	}
	s.shows(service+" readyz: store", s.saysOf(service, "writing has stopped until the service is started again"))
	s.shows(service+" lockstep_ready 0", func() bool { return s.sumOf(service, "lockstep_ready") == 0 })
	saved := map[string][]byte{}
	for suffix, data := range s.held(p, path) {
		saved[suffix] = data
	}
	if saved[""] == nil || saved["-wal"] == nil {
		s.t.Fatalf("of the files of %s the process holds %d", path, len(saved))
	}
	p.kill(s.t)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.RemoveAll(path + suffix); err != nil {
			s.t.Fatal(err)
		}
		if data := saved[suffix]; data != nil && suffix != "-shm" {
			if err := os.WriteFile(path+suffix, data, 0o600); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	s.begin(p)
}

// held reads the files of a database out of the process that holds them, by what
// their names end with.
func (s *trial) held(p *process, path string) map[string][]byte {
	s.t.Helper()
	saved := map[string][]byte{}
	dir := fmt.Sprintf("/proc/%d/fd", p.PID())
	entries, err := os.ReadDir(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		name, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil || !strings.HasPrefix(name, path) {
			continue
		}
		suffix := strings.TrimPrefix(strings.TrimSuffix(name, " (deleted)"), path)
		if saved[suffix], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			s.t.Fatal(err)
		}
	}
	return saved
}

// overwriteFile: something else is in the file.
func overwriteFile(s *trial, rng *rand.Rand) {
	service := []string{"tickets", "orders"}[rng.IntN(2)]
	kept := s.book.copyOf()
	back := s.members(service)[0].backUp(s.t)
	pause(s.t, time.Duration(1+rng.IntN(10))*time.Second)
	s.book.gate.Lock() // what is answered from here on is lost with the file
	path := s.file(service)
	info, err := os.Stat(path)
	if err == nil {
		err = os.WriteFile(path, bytes.Repeat([]byte("garbage "), int(info.Size()/8)+1), 0o600)
	}
	s.book.gate.Unlock()
	if err != nil {
		s.t.Fatal(err)
	}
	s.shows(service+" readyz: store of garbage", s.saysOf(service, service+" store: "))
	s.putBack(service, kept, back)
	s.trustOwner(service)
}

// lockFile: another program locks the file.
func lockFile(s *trial, _ *rand.Rand) {
	db, err := sql.Open("sqlite", s.file("tickets"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	s.waitFor(time.Minute, func() bool {
		_, err = conn.ExecContext(s.t.Context(), "BEGIN IMMEDIATE")
		return err == nil
	}, func() string { return fmt.Sprint("the file can be locked: ", err) })
	s.shows("tickets readyz: store locked", s.saysOf("tickets", "tickets store: "))
	if _, err := conn.ExecContext(s.t.Context(), "ROLLBACK"); err != nil {
		s.t.Error(err)
	}
}

// refuseRows: another program gives tables triggers that refuse what is written
// to them.
func refuseRows(s *trial, rng *rand.Rand) {
	s.foreignSQL("tickets", "CREATE TRIGGER stranger BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END")
	s.foreignSQL("orders", "CREATE TRIGGER stranger BEFORE INSERT ON replica BEGIN SELECT RAISE(ABORT, 'no'); END")
	s.showRefusals("does not take what the service writes to it", rng)
	s.foreignSQL("tickets", "DROP TRIGGER stranger")
	s.foreignSQL("orders", "DROP TRIGGER stranger")
}

// showRefusals waits until both services say why they cannot write, and a while.
func (s *trial) showRefusals(words string, rng *rand.Rand) {
	for _, service := range []string{"tickets", "orders"} {
		s.shows(service+" readyz: refused writes", s.saysOf(service, words))
		s.shows(service+" lockstep_ready 0", func() bool { return s.sumOf(service, "lockstep_ready") == 0 })
	}
	pause(s.t, time.Duration(rng.IntN(10))*time.Second)
}
