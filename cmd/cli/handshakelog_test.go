package cli

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardea-dev/cardea/api/v1alpha1"
	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/observe"
)

// TestHandshakeFieldsAreTheSame holds the fields that parameters may name equal to
// those that the log has: the one list is of the API, the other of the data plane.
func TestHandshakeFieldsAreTheSame(t *testing.T) {
	var api []string
	for _, f := range v1alpha1.HandshakeFields() {
		api = append(api, string(f))
	}
	if diff := cmp.Diff(observe.HandshakeFields(), api); diff != "" {
		t.Errorf("v1alpha1.HandshakeFields() (-observe +v1alpha1):\n%s", diff)
	}
}

// TestHandshakesWith: parameters overrule the flags, one by one.
func TestHandshakesWith(t *testing.T) {
	flags := settings{handshakeLog: "all", handshakeLogSampleOK: 0.5, handshakeLogFields: []string{"sni"}}
	for name, c := range map[string]struct {
		params translate.HandshakeLog
		want   observe.HandshakeLog
	}{
		"nothing set":   {translate.HandshakeLog{}, observe.HandshakeLog{Mode: observe.HandshakeAll, SampleOK: 0.5, Fields: []string{"sni"}}},
		"the mode":      {translate.HandshakeLog{Mode: "off"}, observe.HandshakeLog{Mode: observe.HandshakeOff, SampleOK: 0.5, Fields: []string{"sni"}}},
		"the share":     {translate.HandshakeLog{SuccessOneIn: 100}, observe.HandshakeLog{Mode: observe.HandshakeAll, SampleOK: 0.01, Fields: []string{"sni"}}},
		"every one":     {translate.HandshakeLog{SuccessOneIn: 1}, observe.HandshakeLog{Mode: observe.HandshakeAll, SampleOK: 1, Fields: []string{"sni"}}},
		"other fields":  {translate.HandshakeLog{Fields: []string{"ja4"}}, observe.HandshakeLog{Mode: observe.HandshakeAll, SampleOK: 0.5, Fields: []string{"ja4"}}},
		"failures only": {translate.HandshakeLog{Mode: "failures", SuccessOneIn: 2}, observe.HandshakeLog{Mode: observe.HandshakeFailures, SampleOK: 0.5, Fields: []string{"sni"}}},
	} {
		got, err := flags.handshakesWith(c.params)
		if err != nil || got.Mode != c.want.Mode || got.SampleOK != c.want.SampleOK || !slices.Equal(got.Fields, c.want.Fields) {
			t.Errorf("%s: handshakesWith(%+v) = %+v, %v, want %+v", name, c.params, got, err, c.want)
		}
	}
}
