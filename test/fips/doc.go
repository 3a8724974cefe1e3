// Package fips tests the FIPS build: its tests build it and run it as a process,
// which takes a minute, so they have the build tag "fips" and run in make test.
package fips
