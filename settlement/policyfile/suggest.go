package policyfile

import (
	"fmt"
	"slices"
	"strings"
)

// suggest is what somebody may have meant by a name that is not known: the
// nearest field, if it is near, else all of them.
func suggest(name string, fields []field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	// Case, and - for _, are not what makes two names differ.
	plain := strings.ReplaceAll(strings.ToLower(name), "-", "_")
	best, nearest := "", 1+max(1, len(plain)/4)
	for _, n := range names {
		if d := distance(plain, n); d < nearest {
			best, nearest = n, d
		}
	}
	if best != "" {
		return fmt.Sprintf(": did you mean %s?", best)
	}
	slices.Sort(names)
	return ": known are " + strings.Join(names, ", ")
}

// distance is how many letters have to be put in, left out or changed to make
// one word of the other (Levenshtein's).
func distance(a, b string) int {
	if len(a) > 100 { // no field's name is near that
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
