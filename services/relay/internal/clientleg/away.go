package clientleg

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast/holdfast/services/relay/internal/logical"
)

// waitLocked keeps the connection of a resumable client whose stream is gone, for as long as it may take to come back.
func (s *Service) waitLocked(l *session) {
	l.left = time.Now()
	s.away[l.conn.ID] = append(s.away[l.conn.ID], l)
}

// back says that the client of the connection has come back: whoever it was before is away no more, and counts no more.
func (s *Service) back(id uint64) {
	s.mu.Lock()
	over := s.forgetLocked(id)
	s.mu.Unlock()
	s.letOut(over)
}

// forgetLocked forgets those of the connection that are away and over, and returns them.
func (s *Service) forgetLocked(id uint64) (over []*session) {
	rest := slices.DeleteFunc(s.away[id], func(l *session) bool {
		gone := isOver(l.conn)
		if gone {
			over = append(over, l)
			l.noteMovedLocked()
		}
		return gone
	})
	if s.away[id] = rest; len(rest) == 0 {
		delete(s.away, id)
	}
	return over
}

func (s *Service) letOut(over []*session) {
	for _, l := range over {
		s.config.Gate.Leave(l.guest)
	}
}

// expireAway ends the connections of clients that did not come back in time, and forgets those that are over.
func (s *Service) expireAway(now time.Time) {
	var late, over []*session
	s.mu.Lock()
	for id := range s.away {
		over = append(over, s.forgetLocked(id)...)
		for _, l := range s.away[id] {
			if now.Sub(l.left) >= s.config.Resume.ResumeTime {
				late = append(late, l)
			}
		}
	}
	s.mu.Unlock()
	s.letOut(over)
	for _, l := range late {
		l.conn.ClientGone(fmt.Sprintf("the client did not come back within %v", s.config.Resume.ResumeTime))
	}
}

func isOver(c *logical.Connection) bool {
	select {
	case <-c.Over():
		return true
	default:
		return false
	}
}
