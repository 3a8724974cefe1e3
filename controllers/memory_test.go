//go:build envtest

package controllers

func runChild() (bool, int) { return false, 0 }
