package snapshot

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// containsOne is what Prefixes.Contain has to equal.
func containsOne(list []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range list {
		if unmapped(p).Contains(addr) {
			return true
		}
	}
	return false
}

// prefixesOf makes a list of prefixes and an address that is often near one of
// them out of any bytes.
func prefixesOf(b []byte) (list []netip.Prefix, near []netip.Addr) {
	for len(b) >= 6 {
		var addr netip.Addr
		bits := int(b[0] & 0x7f)
		if b[0]&0x80 == 0 {
			addr, b = netip.AddrFrom4([4]byte(b[1:5])), b[5:]
			bits %= 33
		} else {
			var a [16]byte
			copy(a[:], b[1:6])
			copy(a[10:], b[1:6])
			if b[1]&1 == 0 {
				// Now and then one that stands for IPv4.
				copy(a[:12], mapped.Addr().AsSlice())
			}
			addr, b = netip.AddrFrom16(a), b[6:]
		}
		p := netip.PrefixFrom(addr, bits)
		list = append(list, p)
		first := p.Masked().Addr()
		near = append(near, addr, first, first.Prev(), last(p), last(p).Next())
	}
	return list, near
}

func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

func checkPrefixes(t *testing.T, b []byte) {
	list, near := prefixesOf(b)
	set := NewPrefixes(list)
	for _, addr := range near {
		for _, a := range []netip.Addr{addr, addr.Unmap(), addr.WithZone("eth0")} {
			if got, want := set.Contain(a), containsOne(list, a); got != want {
				t.Errorf("NewPrefixes(%v).Contain(%v) = %v, want %v", list, a, got, want)
			}
		}
	}
}

func TestRow60Prefixes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		b := make([]byte, r.IntN(200))
		for i := range b {
			b[i] = byte(r.Uint32())
			if r.IntN(3) == 0 {
				b[i] &= 0x81 // many that share their beginning
			}
		}
		checkPrefixes(t, b)
	}
	var none Prefixes
	for _, addr := range []netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::1")} {
		if none.Contain(addr) {
			t.Errorf("the empty set contains %v, want nothing", addr)
		}
	}
	all := NewPrefixes([]netip.Prefix{netip.MustParsePrefix("::/0"), {}})
	if v4 := netip.MustParseAddr("192.0.2.1"); all.Contain(v4) || all.Contain(netip.AddrFrom16(v4.As16())) || !all.Contain(netip.MustParseAddr("::1")) {
		t.Errorf("::/0 = %+v, want IPv6 alone in it", all)
	}
}

func FuzzPrefixes(f *testing.F) {
	f.Add([]byte("\x08\x0a\x00\x00\x00\x10\x0a\x01\x00\x00\x90\x20\x01\x0d\xb8\x00"))
	f.Add([]byte("\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xe0\x00\x01\x02\x03\x04"))
	f.Fuzz(func(t *testing.T, b []byte) { checkPrefixes(t, b) })
}

func TestRow60ConnectionPolicyIsChecked(t *testing.T) {
	good := netip.MustParsePrefix("192.0.2.0/24")
	for _, bad := range []ConnectionPolicy{
		{MaxPerAddress: -1},
		{Burst: -1},
		{Max: -1},
		{ProxyTimeout: -1},
		{NewPerSecondPerAddress: -0.1},
		{NewPerSecondPerAddress: math.NaN()},
		{NewPerSecondPerAddress: math.Inf(1)},
		{Allow: []netip.Prefix{good, {}}},
		{Deny: []netip.Prefix{{}}},
		{ProxyProtocol: []netip.Prefix{{}}},
	} {
		if _, err := Compile(nil, &Spec{Connections: &bad}, nil); err == nil {
			t.Errorf("Compile with %+v = nil, want an error", bad)
		}
	}
	p := &ConnectionPolicy{Deny: []netip.Prefix{good}, NewPerSecondPerAddress: 2}
	s, err := Compile(nil, &Spec{Connections: p}, nil)
	if err != nil {
		t.Fatal(err)
	}
	in, out := netip.MustParseAddr("::ffff:192.0.2.7"), netip.MustParseAddr("192.0.3.7")
	if c := s.Connections; !c.Denied(in) || c.Denied(out) || !c.Allowed(in) || c.Proxied(in) || c.Bucket() != 10 {
		t.Errorf("compiled = %+v: denied %v %v, allowed %v, proxied %v, bucket %v", c, c.Denied(in), c.Denied(out), c.Allowed(in), c.Proxied(in), c.Bucket())
	}
	// What did not change is taken over, what is gone goes.
	next, err := Compile(s, &Spec{Connections: p}, nil)
	if err != nil || next.Connections != s.Connections {
		t.Errorf("Compile(prev) = %p, %v, want the same policy compiled, %p", next.Connections, err, s.Connections)
	}
	if next, err = Compile(next, &Spec{}, nil); err != nil || next.Connections != nil {
		t.Errorf("Compile without a policy = %v, %v, want none", next.Connections, err)
	}
}

func BenchmarkPrefixes(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(3, 4))
			var list []netip.Prefix
			for range n {
				list = append(list, netip.PrefixFrom(addr4(r.Uint32()), 24))
			}
			set := NewPrefixes(list)
			b.ReportAllocs()
			for b.Loop() {
				set.Contain(addr4(r.Uint32()))
			}
		})
	}
}

func addr4(n uint32) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], n)
	return netip.AddrFrom4(a)
}
