package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	lockFile    = "escrowd.lock"
	readersFile = "escrowd.readers"
	guestFile   = "escrowd.guest"
)

// What the holder of the owner's lock is there for. A brief holder is a reader
// that starts or stops a server and is gone in a moment: worth waiting for.
const (
	roleOwner = "owner"
	roleBrief = "brief"
)

// flock is a lock that the kernel drops when its process ends, however it ends.
type flock struct{ f *os.File }

// release drops the lock. The file stays: removing it would let two processes
// lock two different files of the same name.
func (l *flock) release() {
	if l != nil && l.f != nil {
		_ = l.f.Close()
		l.f = nil
	}
}

// tryExclusive turns a shared lock into an exclusive one, if nobody else holds
// it. Where it fails the shared lock may be lost too (see flock(2)), so it is
// for the one who leaves.
func (l *flock) tryExclusive() bool {
	return l != nil && l.f != nil &&
		syscall.Flock(int(l.f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// lockOwner takes the owner's lock or answers *InUseError. It waits for a brief
// holder.
func lockOwner(ctx context.Context, dir, role string) (*flock, error) {
	for {
		l, err := tryLockOwner(dir, role)
		var inUse *InUseError
		if !errors.As(err, &inUse) {
			return l, err
		}
		if _, holder := readLock(dir); holder != roleBrief {
			return nil, err
		}
		if ctxErr := pause(ctx); ctxErr != nil {
			return nil, errors.Join(err, ctxErr)
		}
	}
}

// tryLockOwner takes the owner's lock or answers *InUseError at once.
func tryLockOwner(dir, role string) (*flock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		pid, _ := readLock(dir)
		return nil, &InUseError{Dir: dir, PID: pid}
	}
	if err := writeLock(f, role); err != nil {
		_ = f.Close()
		return nil, err
	}
	return &flock{f}, nil
}

// writeLock leaves the holder's process id and role for those who come second.
func writeLock(f *os.File, role string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%d %s\n", os.Getpid(), role), 0)
	return err
}

func readLock(dir string) (pid int, role string) {
	b, err := os.ReadFile(filepath.Join(dir, lockFile))
	if err != nil {
		return 0, ""
	}
	first, rest, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	pid, _ = strconv.Atoi(first)
	return pid, rest
}

// lockReaders marks the caller as a reader.
func lockReaders(dir string) (*flock, error) {
	f, err := os.OpenFile(filepath.Join(dir, readersFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	// The last reader to leave holds it exclusively while it stops the server,
	// for a second at the most: this wait is short.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return &flock{f}, nil
}
