package localpg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	runDir     = "run"
	socketFile = "escrowd.socket" // names the socket's directory where it is not DIR/run

	// No TCP port is opened; Postgres names its socket after the number.
	port       = "5432"
	socketName = ".s.PGSQL." + port

	// maxSocketPath is sizeof(sockaddr_un.sun_path) less the closing zero, on
	// Linux; the BSDs have 103.
	maxSocketPath = 107
)

// socketDir answers the directory of the server's socket, and makes it: DIR/run,
// or a short private one under the system's temporary directory, recorded in
// DIR/escrowd.socket, when DIR/run cannot be a socket's address.
func (c *Cluster) socketDir() (string, error) {
	dir := c.path(runDir)
	if usable(dir) {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		return dir, c.user.own(dir)
	}
	if b, err := os.ReadFile(c.path(socketFile)); err == nil {
		if dir = strings.TrimSpace(string(b)); c.ours(dir) {
			return dir, nil
		}
	}
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		dir, err := os.MkdirTemp(parent, "escrowd-") // mode 0700
		if err != nil {
			return "", err
		}
		if !usable(dir) {
			_ = os.Remove(dir)
			continue
		}
		if err := c.user.own(dir); err != nil {
			return "", err
		}
		return dir, writeSynced(c.path(socketFile), []byte(dir+"\n"))
	}
	return "", fmt.Errorf("no directory for a Unix socket: the paths of %s and %s are too long or have a comma", c.path(runDir), os.TempDir())
}

// usable reports whether a socket in dir can be named: its path fits an address,
// and has no comma, which in a connection string separates several hosts.
func usable(dir string) bool {
	return len(filepath.Join(dir, socketName)) <= maxSocketPath && !strings.Contains(dir, ",")
}

// ours reports whether dir is still the private directory that was recorded:
// in a temporary directory, where everyone may write, another may have taken
// the name since.
func (c *Cluster) ours(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		return false
	}
	return info.Sys().(*syscall.Stat_t).Uid == c.user.uid
}

// removeSocketDir removes a socket directory outside of the data directory.
func (c *Cluster) removeSocketDir() error {
	b, err := os.ReadFile(c.path(socketFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if dir := strings.TrimSpace(string(b)); c.ours(dir) {
		if err := os.Remove(dir); err != nil {
			return err
		}
	}
	return os.Remove(c.path(socketFile))
}
