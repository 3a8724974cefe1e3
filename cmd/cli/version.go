package cli

import (
	"crypto/fips140"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// buildVersion is set by the linker for a release; otherwise the build information
// tells it.
var buildVersion string

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the Go release and whether FIPS 140-3 mode is on.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "cardea %s %s %s/%s fips140=%s\n",
				Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, fipsMode())
			return err
		},
	}
}

// Version returns the release ("v1.2.3"), else the commit it was built from, else
// "devel".
func Version() string {
	if buildVersion != "" {
		return buildVersion
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	if r := revision(); r != "" {
		return "devel-" + r[:min(12, len(r))]
	}
	return "devel"
}

// fipsMode returns "off", or the version of the module in force.
func fipsMode() string {
	if !fips140.Enabled() {
		return "off"
	}
	return fips140.Version()
}
