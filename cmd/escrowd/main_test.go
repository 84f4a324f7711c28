package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
)

// result is what a run of the program left.
type result struct {
	code           int
	stdout, stderr string
}

// escrowd runs the program in this process, without the user's environment.
func escrowd(t *testing.T, args ...string) result {
	t.Helper()
	for _, name := range []string{"ESCROWD_CONFIG", "ESCROWD_LOG_LEVEL", "ESCROWD_LOG_FORMAT", "ESCROWD_DATA", "ESCROWD_DATABASE_URL"} {
		t.Setenv(name, "")
	}
	return escrowdIn(t, t.Context(), args...)
}

// escrowdIn runs it in the environment as it is.
func escrowdIn(t *testing.T, ctx context.Context, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(ctx, args, strings.NewReader(""), &out, &errs)
	return result{code, out.String(), errs.String()}
}

func (r result) check(t *testing.T, code int, inStdout, inStderr string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.stdout, inStdout) || !strings.Contains(r.stderr, inStderr) {
		t.Errorf("exit %d\nstdout: %s\nstderr: %s\nwant exit %d, stdout with %q, stderr with %q",
			r.code, r.stdout, r.stderr, code, inStdout, inStderr)
	}
}

func TestUsage(t *testing.T) {
	escrowd(t).check(t, exitOK, "Usage: escrowd", "")
	escrowd(t, "--help").check(t, exitOK, "Exit codes:", "")
	escrowd(t, "ledger", "check-trace", "--help").check(t, exitOK, "nanosecond", "")
	escrowd(t, "bogus").check(t, exitUsage, "", "escrowd: error: unexpected argument bogus (see escrowd --help)\n")
	escrowd(t, "migrate", "--no-such").check(t, exitUsage, "", "unknown flag --no-such")
	escrowd(t, "--log-level=loud", "version").check(t, exitUsage, "", "--log-level")
	escrowd(t, "--config=nowhere.yaml", "version").check(t, exitUsage, "", "nowhere.yaml")
}

func TestExitCodes(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		err  error
		code int
	}{
		{t.Context(), nil, 0},
		{t.Context(), checkFailed("the books are off"), 1},
		{t.Context(), errors.Join(checkFailed("off"), errors.New("and more")), 1},
		{t.Context(), fmt.Errorf("while: %w", usageError("no")), 2},
		{t.Context(), errors.New("whatever else"), 3}, // never 1
		{cancelled, fmt.Errorf("while: %w", context.Canceled), 130},
		{cancelled, errors.New("pq: canceling statement due to user request"), 130},
		{cancelled, checkFailed("the books are off"), 1},
		{cancelled, nil, 0},
		{t.Context(), context.Canceled, 3}, // not by a signal
	} {
		if got := exitCode(c.ctx, c.err); got != c.code {
			t.Errorf("%v: exit %d, want %d", c.err, got, c.code)
		}
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	if got := oneLine(errors.Join(errors.New("one"), errors.New("two\r\nthree"))); got != "one; two; three" {
		t.Errorf("%q", got)
	}
}

func TestVersion(t *testing.T) {
	names, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	r := escrowd(t, "version", "--format=json")
	var v versionInfo
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || r.code != 0 {
		t.Fatal(r, err)
	}
	// Each migration has a number of its own, and the last one's is the schema's.
	var last int64
	for _, name := range names {
		n, err := goose.NumericComponent(name)
		if err != nil || n <= last {
			t.Errorf("%s after number %d: %v", name, last, err)
		}
		last = n
	}
	if v.Schema != last || !strings.HasPrefix(v.Go, "go1.") {
		t.Errorf("%+v, the last migration is %d", v, last)
	}
	escrowd(t, "version").check(t, exitOK, fmt.Sprintf("database schema %d\n", v.Schema), "")
}

// A value comes from the command line, else the environment, else the file.
func TestPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "escrowd.yaml")
	// Two flags that show which value they got: a directory that is not there
	// is named in the error.
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	missing := func(name string) string { return filepath.Join(t.TempDir(), name) }
	flag, env, yaml, own := missing("flag"), missing("env"), missing("yaml"), missing("own")
	status := []string{"--config", file, "migrate", "--status"}

	write("data: " + yaml + "\nlog-format: json\n")
	t.Run("the file over the default", func(t *testing.T) {
		escrowd(t, status...).check(t, exitEnvironment, "", yaml)
	})
	t.Run("the environment over the file", func(t *testing.T) {
		t.Setenv("ESCROWD_DATA", env)
		escrowdIn(t, t.Context(), status...).check(t, exitEnvironment, "", env)
	})
	t.Run("an empty variable is none", func(t *testing.T) {
		t.Setenv("ESCROWD_DATA", "")
		escrowdIn(t, t.Context(), status...).check(t, exitEnvironment, "", yaml)
	})
	t.Run("the flag over all", func(t *testing.T) {
		t.Setenv("ESCROWD_DATA", env)
		escrowdIn(t, t.Context(), append(status, "--data", flag)...).check(t, exitEnvironment, "", flag)
	})
	t.Run("the file named by the environment", func(t *testing.T) {
		t.Setenv("ESCROWD_CONFIG", file)
		escrowdIn(t, t.Context(), "migrate", "--status").check(t, exitEnvironment, "", yaml)
	})
	t.Run("below a command's name", func(t *testing.T) {
		write("data: " + yaml + "\nmigrate:\n  data: " + own + "\n  status: true\n")
		escrowd(t, "--config", file, "migrate").check(t, exitEnvironment, "", own)
	})
	for name, text := range map[string]string{
		`no flag is called "dta"`:           "dta: /x\n",
		`no flag is called "migrate.dta"`:   "migrate:\n  dta: /x\n",
		`no flag is called "config"`:        "config: other.yaml\n",
		"configuration":                     "data: [\n",
		"--log-level":                       "log-level: loud\n",
		`no flag is called "ledger.status"`: "ledger:\n  status: true\n",
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			write(text)
			escrowd(t, "--config", file, "version").check(t, exitUsage, "", name)
		})
	}
}

func TestLogFormat(t *testing.T) {
	for format, want := range map[string]string{"text": "level=INFO", "json": `"level":"INFO"`} {
		var b bytes.Buffer
		log := newLogger(&b, "info", format)
		log.Debug("unheard")
		log.Info("heard")
		if got := b.String(); !strings.Contains(got, want) || strings.Contains(got, "unheard") {
			t.Errorf("%s: %s", format, got)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		escrowd(t, "completion", shell).check(t, exitOK, "escrowd __complete -- ", "")
	}
	escrowd(t, "completion", "tcsh").check(t, exitUsage, "", "tcsh")
	for line, want := range map[string]string{
		"le":                             "ledger",
		"ledger ":                        "check-trace",
		"ledger check-trace --eng":       "--engine",
		"ledger check-trace --engine ":   "memory postgres",
		"ledger check-trace --engine p":  "postgres",
		"--log-format json ledger ":      "check-trace",
		"migrate --status --data":        "--data --database-url",
		"completion ":                    "bash zsh fish",
		"policy ":                        "check add propose list show",
		"policy show ":                   "alibaba express inspection",
		"policy check --format ":         "text json",
		"policy check sho":               "", // file names
		"ledger check-trace some-file-n": "",
		"migrate --data ":                "", // file names
	} {
		r := escrowd(t, append([]string{"__complete", "--"}, strings.Split(line, " ")...)...)
		var words []string
		for l := range strings.Lines(r.stdout) {
			word, _, _ := strings.Cut(l, "\t")
			words = append(words, strings.TrimSpace(word))
		}
		if got := strings.Join(words, " "); r.code != 0 || got != want {
			t.Errorf("%q: %q, want %q (%s)", line, got, want, r.stderr)
		}
	}
	if r := escrowd(t, "__complete", "--", ""); strings.Contains(r.stdout, "__complete") || !strings.Contains(r.stdout, "ledger\t") {
		t.Errorf("at the start: %q", r.stdout)
	}
}

func TestDefaultDataDir(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/xdg")
	if got := defaultDataDir(); got != "/xdg/escrowd" {
		t.Error(got)
	}
	t.Setenv("XDG_DATA_HOME", "relative") // to be ignored, says the specification
	want := "/var/lib/escrowd"
	if os.Geteuid() != 0 {
		t.Setenv("HOME", "/home/someone")
		want = "/home/someone/.local/share/escrowd"
	}
	if got := defaultDataDir(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// sharedDir is the folder of material that is not part of the project.
func sharedDir(t *testing.T, name string) string {
	t.Helper()
	shared := os.Getenv("ESCROWD_SHARED")
	if shared == "" {
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for ; !isFile(filepath.Join(dir, "go.mod")); dir = filepath.Dir(dir) {
			if dir == filepath.Dir(dir) {
				t.Fatal("no go.mod above the test")
			}
		}
		shared = filepath.Join(dir, "..", "shared")
	}
	path := filepath.Join(shared, name)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s: needs %s of the shared folder (ESCROWD_SHARED)", t.Name(), name)
	}
	return path
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
