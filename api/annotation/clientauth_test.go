package annotation_test

import (
	"testing"

	"github.com/cardea-dev/cardea/api/annotation"
)

// TestMatchCN: an expression is one by itself and between the anchors that it gets;
// what is one of the two alone would mean something else there, or nothing.
func TestMatchCN(t *testing.T) {
	for value, ok := range map[string]bool{
		"CN=alice":       true,
		"CN=(alice|bob)": true,
		"CN=alice|bob":   true,
		`CN=\Qa.b\E`:     true,
		"CN=":            false,
		"alice":          false,
		"CN=a)|(b":       false,
		"CN=(a":          false,
		`CN=\Qa.b`:       false,
		`CN=a\Q`:         false,
	} {
		s, problems := annotation.Parse(map[string]string{annotation.Own + "auth-tls-match-cn": value})
		if accepted := len(problems) == 0; accepted != ok || accepted != (s.ClientAuth.MatchCN != "") {
			t.Errorf("%.40q: MatchCN = %.40q, problems %v, want accepted %v", value, s.ClientAuth.MatchCN, problems, ok)
		}
	}
}
