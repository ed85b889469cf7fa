package relay

import "testing"

func TestMeasuredCalls(t *testing.T) {
	for method, want := range map[string]bool{
		"/holdfast.v1.AdminService/ListIngresses":  true,
		"/holdfast.v1.AdminService/ReloadIngress":  true,
		"/holdfast.v1.AdminService/WatchEvents":    false,
		"/holdfast.v1.AdminService/NoSuchMethod":   false,
		"/holdfast.v1.AdminServices/ListIngresses": false,
		"/grpc.health.v1.Health/Check":             false,
		"":                                         false,
	} {
		if got := isMeasured(method); got != want {
			t.Errorf("%q is measured: %v, want %v", method, got, want)
		}
	}
}
