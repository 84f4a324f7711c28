package bench

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc: 1/100 s, which the kernel shows
// to programs whatever its own clock (proc(5), USER_HZ).
const tick = 10 * time.Millisecond

// procStat is what /proc/PID/stat says of a process.
type procStat struct {
	comm     string
	parent   int
	own      time.Duration // processor time in user and kernel mode
	children time.Duration // the same of children that ended and were waited for
}

func readStat(pid int) (s procStat, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, false
	}
	// The name is in parentheses and may itself have any character.
	text := string(b)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return s, false
	}
	f := strings.Fields(text[end+1:])
	if len(f) < 15 {
		return s, false
	}
	n := func(i int) time.Duration {
		v, err := strconv.ParseInt(f[i], 10, 64)
		ok = ok && err == nil
		return time.Duration(v)
	}
	ok = true
	s = procStat{comm: text[open+1 : end], parent: int(n(1)), own: (n(11) + n(12)) * tick, children: (n(13) + n(14)) * tick}
	return s, ok
}

// cpuOf is the processor time of a process.
func cpuOf(pid int) (time.Duration, bool) {
	s, ok := readStat(pid)
	return s.own, ok
}

// cpuOfTree is the processor time of a process with all its children, living
// and gone: what a child used moves to its parent when it ends, so the sum
// never falls.
func cpuOfTree(pid int) (time.Duration, bool) {
	root, ok := readStat(pid)
	if !ok {
		return 0, false
	}
	sum := root.own + root.children
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, false
	}
	for _, name := range names {
		child, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		if s, ok := readStat(child); ok && s.parent == pid {
			sum += s.own + s.children
		}
	}
	return sum, true
}

// resetPeak lets the kernel measure this process's peak of memory anew. Where
// it does not, the peak is that since the process started.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// peakMemory is the most resident memory that this process had since
// resetPeak, in bytes; 0 if the system does not tell.
func peakMemory() int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if v, ok := strings.CutPrefix(sc.Text(), "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}

// listenerOf is the process on this machine that listens on a TCP address; 0
// if there is none, or if we may not know.
func listenerOf(address string) int {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return 0
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0
	}
	var inode string
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			const listening = "0A"
			if len(f) > 9 && f[3] == listening && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", p)) {
				inode = f[9]
			}
		}
	}
	if inode == "" {
		return 0
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0
	}
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && to == "socket:["+inode+"]" {
			pid, _ := strconv.Atoi(strings.Split(l, "/")[2]) // the pattern says that it is a number
			return pid
		}
	}
	return 0
}
