package observe

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// gate is a writer whose Write waits for a word from the test.
type gate struct {
	began  chan string
	answer chan error
}

func newGate() *gate { return &gate{began: make(chan string), answer: make(chan error)} }

func (d *gate) Write(p []byte) (int, error) {
	d.began <- string(p)
	if err := <-d.answer; err != nil {
		return 0, err
	}
	return len(p), nil
}

func newTestLines(w io.Writer, limit int) (*lines, func() float64) {
	dropped := prometheus.NewCounter(prometheus.CounterOpts{Name: "dropped"})
	l := newLines(Config{Buffer: limit, FlushInterval: 50 * time.Millisecond}, w, dropped)
	return l, func() float64 {
		var m dto.Metric
		if err := dropped.Write(&m); err != nil {
			return -1
		}
		return m.GetCounter().GetValue()
	}
}

func TestLinesAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newGate()
		l, _ := newTestLines(d, 100)
		begin := time.Now()
		l.add([]byte("a\n"))
		time.Sleep(20 * time.Millisecond)
		l.add([]byte("b\n"))
		if got := <-d.began; got != "a\nb\n" {
			t.Errorf("written = %q, want both records", got)
		}
		if got := time.Since(begin); got != 50*time.Millisecond {
			t.Errorf("written after %v, want the flush interval", got)
		}
		d.answer <- nil

		begin = time.Now()
		l.add([]byte(strings.Repeat("c", 49) + "\n"))
		if got := <-d.began; len(got) != 50 || time.Since(begin) != 0 {
			t.Errorf("written %d bytes after %v, want a half full buffer to be written at once", len(got), time.Since(begin))
		}
		d.answer <- nil
		l.close(time.Now().Add(time.Second))
	})
}

func TestLinesThatDoNotFitAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newGate()
		l, dropped := newTestLines(d, 10)
		l.add([]byte("1234567\n"))
		<-d.began // the writer is now blocked with the first record
		l.add([]byte("abcdefg\n"))
		l.add([]byte("xyz\n"))
		l.add([]byte("z\n"))
		if got := dropped(); got != 1 {
			t.Errorf("dropped = %v, want the one that did not fit", got)
		}
		d.answer <- nil
		if got, want := <-d.began, "abcdefg\nz\n"; got != want {
			t.Errorf("written = %q, want %q", got, want)
		}
		d.answer <- errors.New("the disk is full")
		synctest.Wait()
		if got := dropped(); got != 3 {
			t.Errorf("dropped = %v, want those too that could not be written", got)
		}
		l.close(time.Now().Add(time.Second))
		l.add([]byte("late\n"))
		if got := dropped(); got != 4 {
			t.Errorf("dropped = %v, want the one that came after close", got)
		}
	})
}

func TestCloseWritesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newGate()
		l, _ := newTestLines(d, 100)
		l.add([]byte("a\n"))
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			l.close(time.Now().Add(time.Second))
			l.close(time.Now().Add(time.Second)) // a second time does nothing
			l.flush()                            // nor does this
		}()
		if got := <-d.began; got != "a\n" {
			t.Errorf("written by close = %q, want the record that waited", got)
		}
		d.answer <- nil
		<-closed
	})
}

func TestCloseDoesNotWaitForeverForAWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newGate()
		l, _ := newTestLines(d, 100)
		l.add([]byte("a\n"))
		<-d.began
		begin := time.Now()
		l.close(begin.Add(3 * time.Second))
		if got := time.Since(begin); got != 3*time.Second {
			t.Errorf("close took %v, want its deadline of 3s", got)
		}
		d.answer <- nil
	})
}

func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &buffer{}
		l, _ := newTestLines(b, 100)
		begin := time.Now()
		l.flush()
		l.add([]byte("a\n"))
		synctest.Wait() // the writer waits for more
		l.flush()
		if got := b.String(); got != "a\n" || time.Since(begin) != 0 {
			t.Errorf("after flush %q is written after %v, want the record at once", got, time.Since(begin))
		}
		l.add([]byte("b\n"))
		l.flush()
		if got := b.String(); got != "a\nb\n" {
			t.Errorf("after flush %q is written, want both records", got)
		}
		l.close(time.Now().Add(time.Second))
	})
}
