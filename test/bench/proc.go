//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// tree returns pid and its descendants.
func tree(pid int) []int {
	pids := []int{pid}
	for i := 0; i < len(pids); i++ {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pids[i]))
		if err != nil {
			continue
		}
		for _, task := range tasks {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pids[i], task.Name()))
			for _, f := range bytes.Fields(b) {
				if child, err := strconv.Atoi(string(f)); err == nil {
					pids = append(pids, child)
				}
			}
		}
	}
	return pids
}

// cpuTime returns the user and system time of all threads of pids, ended ones
// included. It reads the processes' CPU clocks (clock_getcpuclockid(3)): the same
// sum as in /proc/PID/stat, but in nanoseconds instead of ticks of 10 ms.
func cpuTime(pids []int) (time.Duration, error) {
	const cpuClockSched = 2
	var sum time.Duration
	for _, pid := range pids {
		clock := uintptr(^pid)<<3 | cpuClockSched
		var ts syscall.Timespec
		if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
			return 0, fmt.Errorf("CPU clock of process %d: %w", pid, errno)
		}
		sum += time.Duration(ts.Nano())
	}
	return sum, nil
}

// coreTime returns how long the core has worked for anybody, time that the
// hypervisor took away included.
func coreTime(core string) (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 9 || f[0] != "cpu"+core {
			continue
		}
		var ticks int64
		for i, column := range f[1:9] { // user nice system idle iowait irq softirq steal
			if i == 3 || i == 4 {
				continue
			}
			n, err := strconv.ParseInt(column, 10, 64)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
		return time.Duration(ticks) * 10 * time.Millisecond, nil // USER_HZ is 100 on every Linux
	}
	return 0, fmt.Errorf("no core %q in /proc/stat", core)
}

// memory is that of a process tree, in KiB. PSS shares out what several processes
// have mapped, so that its sum over a tree is right.
type memory struct{ rss, pss int64 }

func memoryOf(pids []int) (memory, error) {
	var m memory
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return memory{}, err
		}
		for line := range bytes.Lines(b) {
			f := bytes.Fields(line)
			if len(f) < 2 {
				continue
			}
			n, _ := strconv.ParseInt(string(f[1]), 10, 64)
			switch string(f[0]) {
			case "Rss:":
				m.rss += n
			case "Pss:":
				m.pss += n
			}
		}
	}
	return m, nil
}

// cpuModel returns the processor's name.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// memTotal returns the machine's memory in MiB.
func memTotal() int64 {
	b, _ := os.ReadFile("/proc/meminfo")
	if f := bytes.Fields(b); len(f) > 1 {
		n, _ := strconv.ParseInt(string(f[1]), 10, 64)
		return n / 1024
	}
	return 0
}

func kernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}
