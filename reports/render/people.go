package render

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"escrowd/reports"
	"escrowd/settlement/people"
)

// Feedback writes what was said of an order, as text (Table) or as JSON.
func Feedback(w io.Writer, f Format, said []reports.FeedbackLine) error {
	switch f {
	case Table:
		text := feedbackText(said)
		if text == "" {
			text = "(no feedback)\n"
		}
		_, err := io.WriteString(w, text)
		return err
	case JSON:
		return indented(w, said)
	}
	return fmt.Errorf("render: feedback is written as %s or %s, not as %q", Table, JSON, f)
}

// note is a note as JSON.
type note struct {
	Number int32  `json:"number"`
	Author string `json:"author"`
	Text   string `json:"text"`
	At     string `json:"at"` // RFC 3339, UTC
}

// Notes writes an order's notes, as text (Table) or as JSON.
func Notes(w io.Writer, f Format, list []people.Note) error {
	switch f {
	case Table:
		var b strings.Builder
		for _, n := range list {
			fmt.Fprintf(&b, "%d  %s  %s\n", n.Number, moment(n.At), printable(n.Author))
			for line := range strings.SplitSeq(n.Text, "\n") {
				fmt.Fprintf(&b, "    %s\n", printable(line))
			}
		}
		if len(list) == 0 {
			b.WriteString("(no notes)\n")
		}
		_, err := io.WriteString(w, b.String())
		return err
	case JSON:
		rows := make([]note, len(list))
		for i, n := range list {
			rows[i] = note{n.Number, n.Author, n.Text, moment(n.At)}
		}
		return indented(w, rows)
	}
	return fmt.Errorf("render: notes are written as %s or %s, not as %q", Table, JSON, f)
}

// Printable is a text of somebody else's as it can be shown on a terminal: what
// could move the cursor or fake a line is written as in a Go string.
func Printable(s string) string { return printable(s) }

// indented writes JSON for people and programs.
func indented(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(v)
}
