package relay

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// What the console asks for four times a second does not cost more with more connections.
func TestBudgetConsoleWalksNoConnections(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates too")
	}
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		cost := func() float64 {
			return testing.AllocsPerRun(20, func() {
				w := httptest.NewRecorder()
				s.relay.console.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/state", nil))
				if w.Code != http.StatusOK {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
			})
		}
		for range 10 {
			s.guest("a")
		}
		few := cost()
		for range 1000 {
			s.guest("a")
		}
		if many := cost(); many > few+1 { // a walk makes room for what it copies, and for more of it as there are more
			t.Errorf("%v allocations with 1010 connections, %v with 10", many, few)
		}
	})
}
