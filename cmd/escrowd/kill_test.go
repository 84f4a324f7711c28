package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"escrowd/cmd/escrowd/localpg"
	"escrowd/cmd/escrowd/replay/replaytest"
)

// envArgs makes the test binary the program itself, with these arguments, one
// a line: TestMainProgram then is escrowd.
const envArgs = "ESCROWD_TEST_ARGS"

func TestMainProgram(t *testing.T) {
	args := os.Getenv(envArgs)
	if args == "" {
		t.Skip("is the second process of other tests")
	}
	os.Exit(run(context.Background(), strings.Split(args, "\n"), strings.NewReader(""), os.Stdout, os.Stderr))
}

// program is escrowd as a process group of its own.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestMainProgram$")
	cmd.Env = append(os.Environ(), envArgs+"="+strings.Join(args, "\n"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// dataDir is a data directory for a private Postgres, which is stopped when
// the test ends, however it ends. The server's user must be able to come
// there, which t.TempDir prevents where we are root.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir = filepath.Join(dir, "data")
	t.Cleanup(func() {
		if c, err := localpg.Open(context.Background(), dir, localpg.Options{}); err != nil {
			t.Error(err)
		} else if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestReplayKilled: a replay that is killed ten times, at whatever
// instruction, and begun again, ends with the books of one that never was.
//
// The moments are random: each run is killed some while after it said that it
// is past a share of its events, the first while it starts. Which instruction
// that hits is the machine's choice; the verdict depends on none.
func TestReplayKilled(t *testing.T) {
	dir, data := t.TempDir(), dataDir(t)
	if c, err := localpg.Open(t.Context(), data, localpg.Options{}); errors.Is(err, localpg.ErrNoPostgres) {
		t.Skip(t.Name()+": needs the Postgres server programs: ", err)
	} else if err != nil {
		t.Fatal(err)
	} else if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	replaytest.Write(t, dir, seed, 60*replaytest.Kinds)
	replaying := []string{"replay", "olist", dir, "--data", data}

	const kills = 10
	killed := 0
	for i := range kills {
		share := (float64(i) - rng.Float64()) / kills // below 0: while it starts
		if runAndKill(t, program(t, replaying...), share, time.Duration(rng.Int64N(int64(300*time.Millisecond)))) {
			killed++
		}
	}
	t.Logf("%d of %d runs were killed before their end", killed, kills)
	if killed == 0 {
		t.Error("no run was killed: this test has shown nothing")
	}
	if out, err := program(t, replaying...).CombinedOutput(); err != nil {
		t.Fatalf("the run after the last kill: %v\n%s", err, out)
	}

	books := replaytest.Read(t, dir)
	look := func() string {
		t.Helper()
		g := &Globals{Log: slog.New(slog.DiscardHandler), Stdout: io.Discard, Stderr: io.Discard}
		s, err := StoreFlags{Data: data}.Open(t.Context(), g, ReadStore)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		books.Compare(t, s.DB, 20)
		return replaytest.Fingerprint(t, s.DB)
	}
	before := look()
	escrowd(t, "job", "run", "check-books", "--data", data).check(t, exitOK, "", "")
	escrowd(t, replaying...).check(t, exitOK, "nothing was left to do", "")
	if after := look(); after != before {
		t.Errorf("a replay of what had been replayed changed the database:\n%s\n%s", before, after)
	}
}

// runAndKill kills a replay and its process group some while after it has said
// that it is past a share of its events. It answers false where the run came to
// its end before.
func runAndKill(t *testing.T, cmd *exec.Cmd, share float64, after time.Duration) bool {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // fails where it is gone
	timer := time.AfterFunc(after, kill)
	if share > 0 {
		timer.Stop()
	}
	var said strings.Builder
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		var through string
		var done, total int
		if _, err := fmt.Sscanf(lines.Text(), "escrowd: replaying: up to %s %d of %d events", &through, &done, &total); err == nil &&
			share > 0 && float64(done) >= share*float64(total) {
			timer.Reset(after)
			share = 2 // once
		}
	}
	err = cmd.Wait()
	timer.Stop()
	if err == nil {
		return false
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			return true
		}
	}
	t.Fatalf("a run ended by itself: %v\n%s", err, said.String())
	return false
}
