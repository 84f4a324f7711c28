package localpg

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// minMajor is the oldest Postgres that escrowd runs on.
const minMajor = 14

// ErrNoPostgres: no Postgres server programs are on this machine.
var ErrNoPostgres = errors.New("no Postgres server found on PATH, in /usr/lib/postgresql or by pg_config; " +
	"on Debian or Ubuntu: apt-get install postgresql")

var errWrongMajor = errors.New("no Postgres of the version it was made with")

// binaries is one installation of Postgres.
type binaries struct {
	dir   string
	major int
}

func (b binaries) path(name string) string { return filepath.Join(b.dir, name) }

// has reports whether the installation brings a loadable module. Debian keeps
// modules in ../lib, a build from source in ../lib or ../lib/postgresql.
func (b binaries) has(module string) bool {
	for _, lib := range []string{"../lib", "../lib/postgresql"} {
		if _, err := os.Stat(filepath.Join(b.dir, lib, module+".so")); err == nil {
			return true
		}
	}
	return false
}

// findBinaries finds an installation with initdb and postgres: in dir if it is
// given, else on PATH, in the places where distributions put them (newest
// first: Debian keeps them off PATH), and where pg_config points. With major
// other than 0 only that major version will do, since a cluster can be read by
// no other.
func findBinaries(dir string, major int) (binaries, error) {
	var found []binaries
	for _, d := range candidateDirs(dir) {
		b, err := inspectBinaries(d)
		if err != nil {
			continue
		}
		if b.major == major || major == 0 && b.major >= minMajor {
			return b, nil
		}
		found = append(found, b)
	}
	if len(found) == 0 {
		if dir != "" {
			return binaries{}, fmt.Errorf("no initdb and postgres in %s", dir)
		}
		return binaries{}, ErrNoPostgres
	}
	have := make([]string, len(found))
	for i, b := range found {
		have[i] = fmt.Sprintf("%d (%s)", b.major, b.dir)
	}
	if major == 0 {
		return binaries{}, fmt.Errorf("escrowd needs Postgres %d or newer, here is %s", minMajor, strings.Join(have, ", "))
	}
	return binaries{}, fmt.Errorf("%w: it needs Postgres %d, here is %s", errWrongMajor, major, strings.Join(have, ", "))
}

func candidateDirs(dir string) []string {
	if dir != "" {
		return []string{dir}
	}
	var dirs []string
	if p, err := exec.LookPath("initdb"); err == nil {
		// The programs find their library beside where they really are.
		if p, err = filepath.EvalSymlinks(p); err == nil {
			dirs = append(dirs, filepath.Dir(p))
		}
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"} {
		installed, _ := filepath.Glob(pattern) // the pattern is well-formed
		slices.SortFunc(installed, func(a, b string) int { return cmp.Compare(numberIn(b), numberIn(a)) })
		dirs = append(dirs, installed...)
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	return dirs
}

var number = regexp.MustCompile(`[0-9]+`)

func numberIn(path string) int {
	n, _ := strconv.Atoi(number.FindString(path))
	return n
}

// inspectBinaries asks the programs in dir for their version, as in
// "postgres (PostgreSQL) 15.12 (Debian 15.12-0+deb12u2)".
func inspectBinaries(dir string) (binaries, error) {
	b := binaries{dir: dir}
	if _, err := os.Stat(b.path("initdb")); err != nil {
		return binaries{}, err
	}
	out, err := exec.Command(b.path("postgres"), "--version").Output()
	if err != nil {
		return binaries{}, err
	}
	if b.major = numberIn(string(out)); b.major == 0 {
		return binaries{}, fmt.Errorf("%s: version not understood: %q", dir, out)
	}
	return b, nil
}
