//go:build soak && linux

package soak

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cardea-dev/cardea/test/process"
)

// A sample is what the process holds at a moment.
type sample struct {
	at         time.Time
	goroutines int
	fds        int
	rss, peak  int64 // bytes; peak since the process began
}

func take(p *process.Process) (sample, error) {
	s := sample{at: time.Now()}
	page, err := p.Get(p.Admin, "/metrics")
	if err != nil {
		return s, err
	}
	s.goroutines = int(metric(page, "go_goroutines"))
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Pid))
	if err != nil {
		return s, err
	}
	s.fds = len(fds)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid))
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			s.rss = kib << 10
		case "VmHWM:":
			s.peak = kib << 10
		}
	}
	return s, nil
}

// metric returns the sum of the series of name whose labels hold every given
// `label="value"`.
func metric(page, name string, labels ...string) (sum float64) {
series:
	for line := range strings.Lines(page) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue series
			}
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err == nil {
			sum += v
		}
	}
	return sum
}

// growth fits a line through what pick sees and returns by how much it rises from
// the first sample to the last, and the mean.
func growth(samples []sample, pick func(sample) float64) (rise, mean float64) {
	if len(samples) < 2 {
		return 0, 0
	}
	first := samples[0].at
	var sx, sy, sxx, sxy float64
	n := float64(len(samples))
	for _, s := range samples {
		x, y := s.at.Sub(first).Seconds(), pick(s)
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	slope := (n*sxy - sx*sy) / (n*sxx - sx*sx)
	return slope * samples[len(samples)-1].at.Sub(first).Seconds(), sy / n
}

func (s sample) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d MiB", s.goroutines, s.fds, s.rss>>20)
}
