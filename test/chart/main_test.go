// Package chart_test reads the manifests of deploy/kubernetes, the configuration of deploy/envoy, and what the Helm chart
// renders to: every document strictly, and that what they name is there.
package chart_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
