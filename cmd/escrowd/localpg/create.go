package localpg

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	metaFile = "escrowd.json"
	dataDir  = "pgdata"
	tmpData  = "pgdata.tmp-" // a cluster in the making
	logFile  = "postgres.log"
)

// format is the layout that this binary writes and reads.
const format = 1

// meta is escrowd.json.
type meta struct {
	Format        int `json:"format"`
	PostgresMajor int `json:"postgres_major"`
}

// VersionError: the directory was made by a newer escrowd, or needs another
// major version of Postgres.
type VersionError struct{ Dir, Reason string }

func (e *VersionError) Error() string {
	return fmt.Sprintf("data directory %s: %s", e.Dir, e.Reason)
}

// dirState is what a directory turned out to be.
type dirState struct {
	empty      bool // nothing of value: a cluster can be made here
	unfinished bool // the cluster is complete, only escrowd.json lacks its name
	meta       meta
}

// inspectDir tells what dir is, or why it can not be used.
//
// The steps of create, each of them atomic, are: the cluster whole in a
// temporary directory; escrowd.json.tmp; pgdata gets its name; escrowd.json
// gets its name. So a pgdata is always whole, and a crash at any point leaves
// a directory that the next owner can finish or begin again. A directory with
// escrowd.json and no pgdata has lost its data: never make an empty one there.
func inspectDir(dir string) (dirState, error) {
	hasData := exists(filepath.Join(dir, dataDir, "PG_VERSION"))
	name := metaFile
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) && hasData {
		name = metaFile + ".tmp"
		b, err = os.ReadFile(filepath.Join(dir, name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return dirState{empty: true}, onlyLeftovers(dir)
	}
	if err != nil {
		return dirState{}, err
	}
	state := dirState{unfinished: name != metaFile}
	if err := json.Unmarshal(b, &state.meta); err != nil || state.meta.Format < 1 || state.meta.PostgresMajor < 1 {
		return dirState{}, fmt.Errorf("%s: %w: %s is damaged: %q", dir, ErrNotDataDir, name, bytes.TrimSpace(b))
	}
	if state.meta.Format > format {
		return dirState{}, &VersionError{Dir: dir, Reason: fmt.Sprintf(
			"it was made by a newer escrowd (format %d, this one reads up to %d)", state.meta.Format, format)}
	}
	if !hasData {
		return dirState{}, fmt.Errorf("%s has %s, but its %s is gone: restore it from a backup", dir, metaFile, dataDir)
	}
	return state, nil
}

// onlyLeftovers refuses to put a cluster among someone's files. What an
// interrupted create leaves does not count.
func onlyLeftovers(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	ours := []string{lockFile, readersFile, metaFile + ".tmp", socketFile, runDir, logFile, "lost+found"}
	for _, e := range entries {
		if !slices.Contains(ours, e.Name()) && !strings.HasPrefix(e.Name(), tmpData) {
			return fmt.Errorf("%s: %w: it is not empty (%s) and has no %s", dir, ErrNotDataDir, e.Name(), metaFile)
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// create makes the cluster.
func (c *Cluster) create(ctx context.Context) error {
	leftovers, _ := filepath.Glob(filepath.Join(c.dir, tmpData+"*"))
	for _, l := range leftovers {
		// An initdb whose owner was killed may still write here; then the
		// directory does not go away now, but the next time.
		_ = os.RemoveAll(l)
	}
	if err := c.user.own(c.dir); err != nil {
		return err
	}
	if err := c.user.checkReach(ctx, c.bin, c.dir); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(c.dir, tmpData) // mode 0700, as Postgres demands
	if err != nil {
		return err
	}
	if err := c.user.own(tmp); err != nil {
		return err
	}
	cmd := c.user.command(ctx, c.dir, c.bin.path("initdb"),
		"--pgdata="+tmp, "--username="+superuser, "--encoding=UTF8", "--locale=C", "--data-checksums",
		// Trust is for those whom the socket's directory lets in.
		"--auth-local=trust", "--auth-host=reject")
	if c.opts.Throwaway {
		cmd.Args = append(cmd.Args, "--no-sync")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, lastLines(out, 5))
	}
	if err := appendFile(filepath.Join(tmp, "postgresql.conf"), c.tuning(ctx, tmp)); err != nil {
		return err
	}
	b, err := json.Marshal(meta{Format: format, PostgresMajor: c.bin.major})
	if err != nil {
		return err
	}
	if err := writeSynced(c.path(metaFile+".tmp"), append(b, '\n')); err != nil {
		return err
	}
	if err := os.Rename(tmp, c.path(dataDir)); err != nil {
		return err
	}
	if err := syncDir(c.dir); err != nil {
		return err
	}
	if err := os.Rename(c.path(metaFile+".tmp"), c.path(metaFile)); err != nil {
		return err
	}
	return syncDir(c.dir)
}

// tuning is what escrowd adds to a new cluster's postgresql.conf: good values
// for a small machine, the operator's to change. What a promise rests on is not
// here but on the command line (see run), where no file can undo it.
func (c *Cluster) tuning(ctx context.Context, pgdata string) []byte {
	// Full pages are a tenth of the work where pglz compresses them ("on"). lz4
	// came with Postgres 15, and not every build has it.
	walCompression := "on"
	if c.takes(ctx, pgdata, "wal_compression", "lz4") {
		walCompression = "lz4"
	}
	var b strings.Builder
	b.WriteString(`
# ---- written by escrowd when it made this cluster; yours to change ----
shared_buffers = 128MB
effective_cache_size = 1GB
work_mem = 16MB
maintenance_work_mem = 128MB
max_connections = 100
# Fewer, longer checkpoints: a full page goes to the log once after each.
max_wal_size = 2GB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
wal_compression = ` + walCompression + `
# Short statements by the thousand: compiling them costs more than it saves.
jit = off
# Ledgers only grow: tidy up after the newest few percent, not a fifth of all.
# Statistics matter less: what is hot goes by the indexes whatever they say, and
# of a large table they take seconds each time.
autovacuum = on
autovacuum_vacuum_scale_factor = 0.02
autovacuum_analyze_scale_factor = 0.1
autovacuum_vacuum_insert_scale_factor = 0.05
autovacuum_naptime = 30s
log_checkpoints = off
log_line_prefix = '%m [%p] '
log_timezone = 'UTC'
timezone = 'UTC'
`)
	if c.bin.has("pg_stat_statements") {
		b.WriteString("shared_preload_libraries = 'pg_stat_statements'\n")
	}
	return []byte(b.String())
}

// takes reports whether this Postgres knows a setting's value: a server whose
// configuration has one that it does not know refuses to start.
func (c *Cluster) takes(ctx context.Context, pgdata, setting, value string) bool {
	return c.user.command(ctx, c.dir, c.bin.path("postgres"), "-D", pgdata, "-c", setting+"="+value, "-C", setting).Run() == nil
}

func appendFile(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func writeSynced(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
