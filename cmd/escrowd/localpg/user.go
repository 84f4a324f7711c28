package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// serverUser is whom the server runs as.
type serverUser struct {
	drop     bool // we are root and run the server as another user
	uid, gid uint32
	name     string
}

// chooseUser decides whom the server of pgdata runs as: ourselves; but where we
// are root, the owner of an existing cluster, or "postgres", or "nobody".
func chooseUser(pgdata string) (serverUser, error) {
	if uid := os.Geteuid(); uid != 0 {
		// The user running this always exists by number, if not by name.
		return serverUser{uid: uint32(uid), gid: uint32(os.Getegid()), name: fmt.Sprintf("uid %d", uid)}, nil
	}
	info, err := os.Stat(pgdata)
	switch {
	case err == nil:
		st := info.Sys().(*syscall.Stat_t)
		if st.Uid == 0 {
			return serverUser{}, fmt.Errorf("%s belongs to root, but Postgres refuses to run as root: chown -R it to another user", pgdata)
		}
		return serverUser{drop: true, uid: st.Uid, gid: st.Gid, name: fmt.Sprintf("uid %d", st.Uid)}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return serverUser{}, err
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 != nil || err2 != nil || uid == 0 {
			continue
		}
		return serverUser{drop: true, uid: uint32(uid), gid: uint32(gid), name: name}, nil
	}
	return serverUser{}, errors.New("the Postgres server refuses to run as root, and there is no user postgres or nobody to run it as")
}

// own gives a file or directory to the server's user.
func (u serverUser) own(path string) error {
	if !u.drop {
		return nil
	}
	return os.Lchown(path, int(u.uid), int(u.gid))
}

// command prepares a Postgres program to run as the server's user, in a session
// of its own: a ^C in our terminal is for us, and we end the server in order.
func (u serverUser) command(ctx context.Context, dir, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	// PGDATA, PGPORT and the like are meant for clients of other servers.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if u.drop {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: u.uid, Gid: u.gid}
	}
	return cmd
}

// checkReach makes sure that the server's user can enter dir, which root can
// and others may not: below /root, for example.
func (u serverUser) checkReach(ctx context.Context, bin binaries, dir string) error {
	if !u.drop {
		return nil
	}
	// The kernel is asked, since mode bits are not the whole truth (ACLs,
	// mounts): a program that starts in dir with the user's rights.
	err := u.command(ctx, dir, bin.path("postgres"), "--version").Run()
	if err == nil {
		return nil
	}
	for p := filepath.Dir(dir); ; p = filepath.Dir(p) {
		if info, statErr := os.Stat(p); statErr == nil && !u.mayEnter(info) {
			return fmt.Errorf("as root the Postgres server runs as %s, who may not enter %s (mode %s), on the way to %s: "+
				"choose another data directory, or chmod o+x %s", u.name, p, info.Mode().Perm(), dir, p)
		}
		if p == filepath.Dir(p) {
			break
		}
	}
	return fmt.Errorf("%s cannot run %s in %s: %w", u.name, bin.path("postgres"), dir, err)
}

func (u serverUser) mayEnter(info fs.FileInfo) bool {
	st := info.Sys().(*syscall.Stat_t)
	switch mode := info.Mode().Perm(); {
	case st.Uid == u.uid:
		return mode&0o100 != 0
	case st.Gid == u.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}
