package snapshot

import (
	"errors"
	"fmt"
	"iter"
	"strings"
)

// Changes ranges over the hosts in which two Specs differ, in order of name, by
// identity: (nil, host) is new, (host, nil) is gone, (old, new) is replaced. A nil
// Spec has no hosts. Both must be Specs that [Compile] accepted.
func Changes(old, new *Spec) iter.Seq2[*Host, *Host] {
	var before, after []*Host
	if old != nil {
		before = old.Hosts
	}
	if new != nil {
		after = new.Hosts
	}
	return func(yield func(*Host, *Host) bool) {
		_ = diff(before, after, hostName, func(o, n *Host) error {
			if !yield(o, n) {
				return errStop
			}
			return nil
		})
	}
}

var errStop = errors.New("stop")

// diff walks two lists that are sorted by key, where old is known to be, and
// calls f for each element that is in one of them only, or that another replaces.
// It ends with the first error of f, or if new is not sorted.
//
// What is in both is compared by pointer and not looked at: two elements that
// follow each other in old cannot be out of order in new.
func diff[T any](old, new []*T, key func(*T) string, f func(old, new *T) error) error {
	i, j := 0, 0
	checked := true // new[i-1] is known to be in order with what may follow it
	for i < len(new) || j < len(old) {
		if i < len(new) && j < len(old) && new[i] == old[j] {
			if !checked {
				if err := ordered(new, i, key); err != nil {
					return err
				}
				checked = true
			}
			i, j = i+1, j+1
			continue
		}
		var o, n *T
		switch {
		case i == len(new):
			o = old[j]
		case new[i] == nil:
			return fmt.Errorf("snapshot: element %d of %T is nil", i, new)
		case j == len(old):
			n = new[i]
		default:
			c := strings.Compare(key(new[i]), key(old[j]))
			if c <= 0 {
				n = new[i]
			}
			if c >= 0 {
				o = old[j]
			}
		}
		if n != nil {
			if err := ordered(new, i, key); err != nil {
				return err
			}
			i, checked = i+1, false
		}
		if o != nil {
			j++
		}
		if err := f(o, n); err != nil {
			return err
		}
	}
	return nil
}

// ordered checks that the key of element i is larger than the one before it.
func ordered[T any](list []*T, i int, key func(*T) string) error {
	if i == 0 {
		return nil
	}
	before, this := key(list[i-1]), key(list[i])
	switch {
	case before == this:
		return fmt.Errorf("snapshot: %q is there twice in %T", this, list)
	case before > this:
		return fmt.Errorf("snapshot: %q after %q: %T is not sorted", this, before, list)
	}
	return nil
}
