// Package anp holds nothing: its import makes `go mod tidy` keep what the tests of apiserver-network-proxy need, too.
package anp

import _ "sigs.k8s.io/apiserver-network-proxy/tests/framework"
