// Package prometheus_test holds the alert rules to what they refer to: the
// metrics that the program exports and the runbook. What the rules do is
// tested by promtool, see escrowd_rules.yml.
package prometheus_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// matches are the first groups of all matches, sorted, each once.
func matches(pattern, text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestEveryAlertHasARunbook(t *testing.T) {
	rules := read(t, "escrowd_rules.yml")
	alerts := matches(`- alert: (\w+)`, rules)
	if len(alerts) == 0 {
		t.Fatal("no alerts")
	}
	runbook := read(t, "../../docs/RUNBOOK.md")
	if sections := matches(`(?m)^## (Escrowd\w+)$`, runbook); !slices.Equal(sections, alerts) {
		t.Errorf("the runbook has\n%v, the rules have\n%v", sections, alerts)
	}
	for _, a := range alerts {
		if !strings.Contains(rules, "runbook: docs/RUNBOOK.md#"+strings.ToLower(a)+"\n") {
			t.Errorf("%s does not point to its section of the runbook", a)
		}
	}
	if tested := matches(`alertname: (\w+)`, read(t, "escrowd_rules_test.yml")); !slices.Equal(tested, alerts) {
		t.Errorf("the tests know\n%v, the rules have\n%v", tested, alerts)
	}
}

// A rule on a metric that nobody exports is silent for ever.
func TestEveryMetricIsExported(t *testing.T) {
	var source strings.Builder
	err := fs.WalkDir(os.DirFS("../.."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source.WriteString(read(t, filepath.Join("../..", path)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	exported := matches(`"(escrowd_[a-z0-9_]+)"`, source.String())
	for _, text := range []string{read(t, "escrowd_rules.yml"), read(t, "../../docs/RUNBOOK.md")} {
		for _, name := range matches(`\b(escrowd_[a-z0-9_]+)`, text) {
			if strings.HasPrefix(name, "escrowd_rules") {
				continue // the files themselves
			}
			if !slices.Contains(exported, strings.TrimSuffix(name, "_bucket")) {
				t.Errorf("nothing exports %s", name)
			}
		}
	}
}
