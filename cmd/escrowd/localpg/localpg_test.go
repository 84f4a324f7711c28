package localpg

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Two environment variables turn the test binary into a second process.
const (
	envRole = "ESCROWD_LOCALPG_TEST_ROLE" // what to do: "own", "read" or "sleep"
	envDir  = "ESCROWD_LOCALPG_TEST_DIR"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		if err := secondProcess(role, os.Getenv(envDir)); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// secondProcess opens the directory, says so, and stays until its input ends;
// a test either ends the input or kills the process.
func secondProcess(role, dir string) error {
	var c *Cluster
	var err error
	switch role {
	case "own":
		c, err = Open(context.Background(), dir, Options{})
	case "read":
		c, err = Attach(context.Background(), dir, Options{})
	}
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	if c == nil {
		return nil
	}
	return c.Close()
}

type process struct {
	cmd   *exec.Cmd
	leave func() error // asks it to go and waits until it is gone
}

func startProcess(t *testing.T, role, dir string) process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envRole+"="+role, envDir+"="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		t.Fatalf("second process (%s): %q, %v", role, line, err)
	}
	return process{cmd, func() error { _ = in.Close(); return cmd.Wait() }}
}

// kill9 ends the process as no handler can prevent.
func (p process) kill9(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // says "killed"
}

// dataDirOf is a directory that does not exist yet, where the server's user can
// come: t.TempDir lets only ourselves in, which is not enough when we are root.
func dataDirOf(t *testing.T) string {
	t.Helper()
	if _, err := findBinaries("", 0); errors.Is(err, ErrNoPostgres) {
		t.Skip("needs the Postgres server programs: ", err)
	}
	dir := t.TempDir()
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "data")
}

func mustOpen(t *testing.T, dir string) *Cluster {
	t.Helper()
	c, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func mustClose(t *testing.T, c *Cluster) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func query(t *testing.T, c *Cluster, sqlText string) string {
	t.Helper()
	var answer string
	if err := withDB(t, c, func(db *sql.DB) error { return db.QueryRow(sqlText).Scan(&answer) }); err != nil {
		t.Fatalf("%s: %v", sqlText, err)
	}
	return answer
}

func execSQL(t *testing.T, c *Cluster, sqlText string) {
	t.Helper()
	if err := withDB(t, c, func(db *sql.DB) error { _, err := db.Exec(sqlText); return err }); err != nil {
		t.Fatalf("%s: %v", sqlText, err)
	}
}

func withDB(t *testing.T, c *Cluster, f func(*sql.DB) error) error {
	t.Helper()
	db, err := sql.Open("postgres", c.DSN())
	if err != nil {
		t.Fatal(err)
	}
	return errors.Join(f(db), db.Close())
}

func running(t *testing.T, dir string) bool {
	t.Helper()
	srv, err := findServer(filepath.Join(dir, dataDir))
	if err != nil {
		t.Fatal(err)
	}
	return srv != nil
}

func TestOpenCreatesAndReopens(t *testing.T) {
	dir := dataDirOf(t)
	c := mustOpen(t, dir)
	if !c.Started() || c.Dir() != dir {
		t.Errorf("started %v in %s, want true in %s", c.Started(), c.Dir(), dir)
	}
	execSQL(t, c, `CREATE TABLE kept (what text); INSERT INTO kept VALUES ('the money')`)
	for setting, want := range map[string]string{
		// What the promises rest on.
		"listen_addresses": "", "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
		"data_checksums": "on", "server_encoding": "UTF8", "jit": "off", "max_connections": "100",
	} {
		if got := query(t, c, `SHOW `+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	if got := query(t, c, `SELECT current_database() || ' ' || datcollate FROM pg_database WHERE datname = 'escrowd'`); got != "escrowd C" {
		t.Errorf("database and collation: %q", got)
	}
	info, err := os.Stat(filepath.Dir(c.server.socket + "/x"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the socket's directory has mode %v (%v), want 0700: all who enter it are trusted", info.Mode(), err)
	}
	mustClose(t, c)
	if running(t, dir) {
		t.Error("Close left the server running")
	}
	b, err := os.ReadFile(filepath.Join(dir, metaFile))
	var m meta
	if err != nil || json.Unmarshal(b, &m) != nil || m.Format != 1 || m.PostgresMajor < minMajor {
		t.Errorf("%s: %s (%v)", metaFile, b, err)
	}

	c = mustOpen(t, dir)
	if got := query(t, c, `SELECT what FROM kept`); got != "the money" {
		t.Errorf("after reopening: %q", got)
	}
	mustClose(t, c)
	if err := c.Close(); err != nil {
		t.Error("a second Close:", err)
	}
}

func TestOpenInUse(t *testing.T) {
	dir := dataDirOf(t)
	p := startProcess(t, "own", dir)
	_, err := Open(t.Context(), dir, Options{})
	inUse, ok := errors.AsType[*InUseError](err)
	if !ok || inUse.PID != p.cmd.Process.Pid {
		t.Fatalf("got %v, want that pid %d uses it", err, p.cmd.Process.Pid)
	}
	if want := fmt.Sprintf("data directory %s is in use by pid %d", dir, inUse.PID); !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
	if err := p.leave(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir)
}

func TestOpenAfterOwnerWasKilled(t *testing.T) {
	dir := dataDirOf(t)
	p := startProcess(t, "own", dir)
	r, err := Attach(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	execSQL(t, r, `CREATE TABLE kept (what text); INSERT INTO kept VALUES ('the money')`)
	if sid, err := sessionOf(r.server.pid); err != nil || sid == ourSession(t) {
		t.Errorf("the server is in session %d (%v), the owner's: a ^C would reach it", sid, err)
	}
	mustClose(t, r)
	p.kill9(t)
	if !running(t, dir) {
		t.Fatal("the server died with its owner")
	}

	c := mustOpen(t, dir)
	if c.Started() {
		t.Error("a second server was started beside the orphan")
	}
	if got := query(t, c, `SELECT what FROM kept`); got != "the money" {
		t.Errorf("after taking over: %q", got)
	}
	mustClose(t, c)
	if running(t, dir) {
		t.Error("the owner left the server it took over running")
	}
}

// The session is the sixth field of /proc/PID/stat, after the command's name in
// parentheses.
func sessionOf(pid int) (int, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	return strconv.Atoi(f[3])
}

func ourSession(t *testing.T) int {
	t.Helper()
	sid, err := sessionOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return sid
}

func TestOpenAfterServerWasKilledToo(t *testing.T) {
	dir := dataDirOf(t)
	p := startProcess(t, "own", dir)
	r, err := Attach(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	execSQL(t, r, `CREATE TABLE kept (what text); INSERT INTO kept VALUES ('the money')`)
	if err := syscall.Kill(r.server.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	mustClose(t, r)
	p.kill9(t)

	c := mustOpen(t, dir)
	if !c.Started() {
		t.Error("a dead server was taken over")
	}
	if got := query(t, c, `SELECT what FROM kept`); got != "the money" {
		t.Errorf("after crash recovery: %q", got)
	}
}

// After a power failure the process id in postmaster.pid may be anyone's.
func TestOpenWithReusedProcessID(t *testing.T) {
	dir := dataDirOf(t)
	mustClose(t, mustOpen(t, dir))
	other := startProcess(t, "sleep", dir)
	pidFile := filepath.Join(dir, dataDir, "postmaster.pid")
	text := fmt.Sprintf("%d\n%s\n1700000000\n5432\n%s\n\n  123456789   4294967295\nready   \n",
		other.cmd.Process.Pid, filepath.Dir(pidFile), filepath.Join(dir, runDir))
	if err := os.WriteFile(pidFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := mustOpen(t, dir); !c.Started() {
		t.Error("took a stranger for the server")
	}
}

func TestAttach(t *testing.T) {
	dir := dataDirOf(t)
	if _, err := Attach(t.Context(), dir, Options{}); !errors.Is(err, ErrNotDataDir) {
		t.Fatalf("no directory: %v, want ErrNotDataDir", err)
	}
	if exists(dir) {
		t.Fatal("Attach created the directory")
	}
	c := mustOpen(t, dir)
	execSQL(t, c, `CREATE TABLE kept (what text); INSERT INTO kept VALUES ('the money')`)

	attach := func(wantStarted bool) *Cluster {
		t.Helper()
		r, err := Attach(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		if got := query(t, r, `SELECT what FROM kept`); got != "the money" {
			t.Errorf("a reader sees %q", got)
		}
		if r.Started() != wantStarted {
			t.Errorf("started %v, want %v", r.Started(), wantStarted)
		}
		return r
	}
	mustClose(t, attach(false)) // beside the owner
	if !running(t, dir) {
		t.Fatal("a reader stopped the owner's server")
	}
	mustClose(t, c)

	first := attach(true)
	second := attach(false)
	mustClose(t, first)
	if !running(t, dir) {
		t.Fatal("the first reader to leave stopped the server under the second")
	}
	mustClose(t, second)
	if running(t, dir) {
		t.Fatal("the last reader to leave left the server running")
	}

	// An owner who comes while a reader's server runs takes it over.
	r := attach(true)
	c = mustOpen(t, dir)
	if c.Started() {
		t.Error("a second server was started")
	}
	mustClose(t, r)
	if got := query(t, c, `SELECT what FROM kept`); got != "the money" {
		t.Errorf("after the reader left: %q", got)
	}
}

// A reader's server outlives the reader's kill -9 and is the next reader's.
func TestAttachAfterReaderWasKilled(t *testing.T) {
	dir := dataDirOf(t)
	mustClose(t, mustOpen(t, dir))
	p := startProcess(t, "read", dir)
	p.kill9(t)
	if !running(t, dir) {
		t.Fatal("the server died with the reader")
	}
	r, err := Attach(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, r)
	if running(t, dir) {
		t.Error("the killed reader's server still runs")
	}
}

func TestRefusals(t *testing.T) {
	dir := dataDirOf(t)
	mustClose(t, mustOpen(t, dir))
	good, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, metaFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ meta, want string }{
		"newer format":     {`{"format":2,"postgres_major":15}`, "made by a newer escrowd"},
		"another Postgres": {`{"format":1,"postgres_major":99}`, "needs Postgres 99"},
		"damaged":          {`{"format":`, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			write(c.meta)
			for door, open := range map[string]func(context.Context, string, Options) (*Cluster, error){"Open": Open, "Attach": Attach} {
				cl, err := open(t.Context(), dir, Options{})
				if err == nil {
					_ = cl.Close()
				}
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
					t.Errorf("%s: %v, want the directory and %q", door, err, c.want)
				}
			}
		})
	}
	write(string(good))

	t.Run("the data is gone", func(t *testing.T) {
		aside := filepath.Join(dir, "aside")
		if err := os.Rename(filepath.Join(dir, dataDir), aside); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), "is gone") {
			t.Errorf("got %v; an empty cluster in place of a lost one would hide the loss", err)
		}
		if err := os.Rename(aside, filepath.Join(dir, dataDir)); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("someone's files", func(t *testing.T) {
		other := filepath.Join(filepath.Dir(dir), "photos")
		if err := os.Mkdir(other, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(other, "cat.jpg"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), other, Options{}); !errors.Is(err, ErrNotDataDir) || !strings.Contains(err.Error(), "cat.jpg") {
			t.Errorf("Open: %v", err)
		}
		if _, err := Attach(t.Context(), other, Options{}); !errors.Is(err, ErrNotDataDir) {
			t.Errorf("Attach: %v", err)
		}
		entries, err := os.ReadDir(other)
		if err != nil || len(entries) != 1 {
			t.Errorf("the refused directory was written to: %v %v", entries, err)
		}
	})
	t.Run("no Postgres there", func(t *testing.T) {
		if _, err := Open(t.Context(), dir, Options{BinDir: filepath.Dir(dir)}); err == nil || !strings.Contains(err.Error(), "no initdb") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("does not start", func(t *testing.T) {
		conf := filepath.Join(dir, dataDir, "postgresql.conf")
		b, err := os.ReadFile(conf)
		if err != nil {
			t.Fatal(err)
		}
		if err := appendFile(conf, []byte("no_such_setting = 1\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), "no_such_setting") {
			t.Errorf("got %v, want what the server's log says", err)
		}
		if err := os.WriteFile(conf, b, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	mustOpen(t, dir) // none of the refusals did any harm
}

// A socket's address holds 107 bytes; a data directory may be longer.
func TestVeryLongPath(t *testing.T) {
	dir := filepath.Join(filepath.Dir(dataDirOf(t)), strings.Repeat("a long name with 'quotes', ", 5), "data")
	c := mustOpen(t, dir)
	socket := c.server.socket
	if strings.HasPrefix(socket, dir) {
		t.Fatalf("the socket is in %s; is the path not long?", socket)
	}
	r, err := Attach(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := query(t, r, `SELECT 'here'`); got != "here" {
		t.Error(got)
	}
	mustClose(t, r)
	mustClose(t, c)
	if exists(socket) {
		t.Errorf("%s is left behind", socket)
	}
	mustClose(t, mustOpen(t, dir))
}

// A path of legal length, but with everything that could break quoting.
func TestOddPath(t *testing.T) {
	for name, odd := range map[string]string{"quotes": `a "b" c'\d`, "comma": "a,b"} {
		t.Run(name, func(t *testing.T) {
			c := mustOpen(t, filepath.Join(filepath.Dir(dataDirOf(t)), odd))
			if got := query(t, c, `SELECT 'here'`); got != "here" {
				t.Error(got)
			}
		})
	}
}

// An owner killed while it makes the cluster leaves pieces; the next begins again.
func TestOpenFinishesInterruptedCreate(t *testing.T) {
	dir := dataDirOf(t)
	mustClose(t, mustOpen(t, dir))

	t.Run("before the last rename", func(t *testing.T) {
		if err := os.Rename(filepath.Join(dir, metaFile), filepath.Join(dir, metaFile+".tmp")); err != nil {
			t.Fatal(err)
		}
		if _, err := Attach(t.Context(), dir, Options{}); !errors.Is(err, ErrNotDataDir) {
			t.Errorf("Attach: %v, want that it is not a data directory yet", err)
		}
		mustClose(t, mustOpen(t, dir))
		if !exists(filepath.Join(dir, metaFile)) {
			t.Error("not finished")
		}
	})
	t.Run("before the cluster had its name", func(t *testing.T) {
		for from, to := range map[string]string{metaFile: metaFile + ".tmp", dataDir: tmpData + "123"} {
			if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, mustOpen(t, dir))
		if exists(filepath.Join(dir, tmpData+"123")) {
			t.Error("the piece is still there")
		}
	})
}

// Below a directory like /root (mode 0700) the server's user cannot come.
func TestUnreachableAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, who runs the server as another user")
	}
	locked := filepath.Dir(dataDirOf(t))
	if err := os.Chmod(locked, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), filepath.Join(locked, "data"), Options{})
	if err == nil || !strings.Contains(err.Error(), "may not enter "+locked+" ") {
		t.Errorf("got %v, want that %s bars the way", err, locked)
	}
}

func TestOpenHonoursContext(t *testing.T) {
	dir := dataDirOf(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, dir, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	mustOpen(t, dir)
}

func TestThrowaway(t *testing.T) {
	dir := dataDirOf(t)
	start := time.Now()
	c, err := Open(t.Context(), dir, Options{Throwaway: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("made and started in %v", time.Since(start).Round(time.Millisecond))
	if got := query(t, c, `SHOW fsync`); got != "off" {
		t.Errorf("fsync is %s", got)
	}
	// Full pages are compressed by the best that this Postgres knows, and what it
	// does not know is seen before it is written down.
	want := "pglz"
	if query(t, c, `SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'wal_compression'`) == "true" {
		want = "lz4"
	}
	if got := query(t, c, `SHOW wal_compression`); got != want && !(want == "pglz" && got == "on") {
		t.Errorf("wal_compression is %s, want %s", got, want)
	}
	if pgdata := query(t, c, `SHOW data_directory`); !c.takes(t.Context(), pgdata, "wal_compression", "off") || c.takes(t.Context(), pgdata, "wal_compression", "nonsense") {
		t.Error("what Postgres takes is not told from what it does not")
	}
	mustClose(t, c)
}
