package localpg

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// pidFile is pgdata/postmaster.pid, which Postgres writes line by line: pid,
// data directory, start time, port, socket directory, listen address, key and
// id of its shared memory, status. Lines not yet written are empty.
type pidFile struct {
	pid           int
	port, socket  string
	shmKey, shmID string
}

// readPidFile answers false if there is none.
func readPidFile(pgdata string) (pidFile, bool, error) {
	b, err := os.ReadFile(filepath.Join(pgdata, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return pidFile{}, false, nil
	}
	if err != nil {
		return pidFile{}, false, err
	}
	lines := append(strings.Split(string(b), "\n"), make([]string, 8)...)
	f := pidFile{port: strings.TrimSpace(lines[3]), socket: strings.TrimSpace(lines[4])}
	f.pid, _ = strconv.Atoi(strings.TrimSpace(lines[0])) // 0, nobody, if unreadable
	if shm := strings.Fields(lines[6]); len(shm) == 2 {
		f.shmKey, f.shmID = shm[0], shm[1]
	}
	return f, true, nil
}

// findServer answers the postmaster of pgdata, or nil if none runs.
func findServer(pgdata string) (*server, error) {
	f, found, err := readPidFile(pgdata)
	if err != nil || !found || !isPostmaster(f.pid, pgdata) {
		return nil, err
	}
	return &server{pid: f.pid, pgdata: pgdata, port: f.port, socket: f.socket}, nil
}

// clearStale is for a postmaster.pid whose postmaster is gone. It reports
// whether sessions of that postmaster still hold its shared memory; they end in
// a moment, and Postgres does not start beside them. The caller holds the
// owner's lock.
//
// A file left by a crash may name a process id that another program has by now.
// Postgres would take that program for its own postmaster and never start
// again, so such a file is removed, but only when it is certain that no session
// is left. All others Postgres clears away itself.
func clearStale(pgdata string) (sessions bool, err error) {
	f, found, err := readPidFile(pgdata)
	if err != nil || !found {
		return false, err
	}
	attached, known := shmAttached(f)
	if attached {
		return true, nil
	}
	if known && alive(f.pid) && !isPostmaster(f.pid, pgdata) {
		return false, os.Remove(filepath.Join(pgdata, "postmaster.pid"))
	}
	return false, nil
}

// alive reports whether the process exists; one that is not ours to signal does.
func alive(pid int) bool {
	if pid <= 0 {
		return false
	}
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// isPostmaster reports whether the process is the postmaster of pgdata, by its
// command line: unlike its working directory everyone may read that, root in a
// container included. Where it is uncertain, because there is no /proc, a live
// process passes; what matters then is whether its socket answers.
func isPostmaster(pid int, pgdata string) bool {
	if !alive(pid) {
		return false
	}
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if errors.Is(err, fs.ErrNotExist) && !exists("/proc/self/cmdline") {
		return true
	}
	if err != nil {
		return false // it ended just now
	}
	// A session's title is "postgres: user database ..."; a zombie has none.
	args := strings.Split(string(b), "\x00")
	if name := filepath.Base(args[0]); name != "postgres" && name != "postmaster" {
		return false
	}
	for i, a := range args[1:] {
		if a == "-D" && i+2 < len(args) {
			return sameFile(args[i+2], pgdata)
		}
	}
	return true
}

// shmAttached reports whether a process is attached to the shared memory that
// the postmaster made. Known is false where the system does not tell.
func shmAttached(f pidFile) (attached, known bool) {
	b, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return false, false
	}
	for line := range strings.Lines(string(b)) {
		// Columns: key shmid perms size cpid lpid nattch ...
		col := strings.Fields(line)
		if len(col) > 6 && col[0] == f.shmKey && col[1] == f.shmID {
			return col[6] != "0", true
		}
	}
	return false, true
}

func sameFile(a, b string) bool {
	ai, err := os.Stat(a)
	if err != nil {
		return false
	}
	bi, err := os.Stat(b)
	return err == nil && os.SameFile(ai, bi)
}
