package cli

import (
	"runtime"
	"testing"
)

func TestTrimmer(t *testing.T) {
	const mib = 1 << 20
	cases := []struct {
		name string
		// allocs are the bytes allocated in each interval, in MiB; trims, in which
		// intervals memory is to be given back.
		allocs []uint64
		trims  []int
	}{
		{"never busy", []uint64{1, 1, 1, 1}, nil},
		{"after a burst", []uint64{40, 40, 0, 0, 0, 0}, []int{3}},
		{"not in a short pause", []uint64{40, 0, 40, 0, 40}, nil},
		{"not while busy", []uint64{40, 5, 5, 5, 5, 5, 5}, nil},
		{"once per burst", []uint64{40, 0, 0, 0, 0, 40, 0, 0, 0}, []int{2, 7}},
		{"not for little", []uint64{40, 0, 0, 8, 0, 0, 0}, []int{2}},
		{"for little after little", []uint64{40, 0, 0, 9, 0, 0, 9, 0, 0}, []int{2, 8}},
		{"in steady light load now and then", []uint64{20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []int{2, 18}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var sum uint64
			var got []int
			at := 0
			tr := trimmer{allocated: func() uint64 { return sum }, trim: func() { got = append(got, at) }}
			for i, n := range c.allocs {
				at = i
				sum += n * mib
				tr.look()
			}
			if len(got) != len(c.trims) {
				t.Fatalf("trims after %v, want %v", got, c.trims)
			}
			for i := range got {
				if got[i] != c.trims[i] {
					t.Errorf("trims after %v, want %v", got, c.trims)
				}
			}
		})
	}
}

func TestAllocatedBytes(t *testing.T) {
	before := allocatedBytes()
	p := make([]byte, 8<<20)
	runtime.KeepAlive(p)
	if n := allocatedBytes() - before; n < 8<<20 || n > 64<<20 {
		t.Errorf("allocatedBytes grew by %d for 8 MiB", n)
	}
}
