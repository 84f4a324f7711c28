package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// printTable prints rows of cells in aligned columns; the first row is the
// header. Columns are apart by two spaces and have no frame: as easy to cut as
// to read.
func printTable(w io.Writer, rows [][]string) error {
	var width []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, r := range rows {
		var line strings.Builder
		for i, cell := range r {
			fmt.Fprintf(&line, "%-*s  ", width[i], cell)
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// closeInto closes c and adds its error to *err: what was started must not
// fail to stop unnoticed.
func closeInto(c io.Closer, err *error) {
	*err = errors.Join(*err, c.Close())
}
