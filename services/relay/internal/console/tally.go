package console

import (
	"cmp"
	"slices"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/services/relay/internal/event"
)

const (
	// maxFlows bounds the pairs of server connections between which moves are told apart in one update.
	maxFlows = 256
	// maxNews bounds the events that are told one by one in one update.
	maxNews = 50
)

// pauseBounds are the upper bounds of the classes of the histogram of pauses; one more class is above them.
var pauseBounds = []time.Duration{
	500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
	20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second,
}

// tally is what happened since the update before: counts, however much it was. Its owner is one stream.
type tally struct {
	// Opened, Closed and Parked count logical connections, Missed the events that came faster than they could be counted.
	Opened uint64 `json:"opened"`
	Closed uint64 `json:"closed"`
	Parked uint64 `json:"parked"`
	Missed uint64 `json:"missed"`
	// ClientsResumed counts clients that have come anew, ClientsAway those whose stream has gone, LetGo connections whose client has
	// resumed on another stream, here or elsewhere.
	ClientsResumed uint64 `json:"clients_resumed"`
	ClientsAway    uint64 `json:"clients_away"`
	LetGo          uint64 `json:"let_go"`
	// Moved counts moves that ended well, Resumed those of them that were resumes. Flows has them by where from and to.
	Moved   uint64     `json:"moved"`
	Resumed uint64     `json:"resumed"`
	Flows   []flowView `json:"flows"`
	// Pauses counts moves by the pause; the longest one is in microseconds.
	Pauses  []uint64 `json:"pauses"`
	Longest int64    `json:"longest_us"`
	// News are the events that are not of one logical connection, the last ones of them.
	News []newsView `json:"news"`

	flows map[flow]uint64
}

type flow struct{ from, to string }

type flowView struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Count uint64 `json:"count"`
}

type newsView struct {
	Time             time.Time `json:"time"`
	Kind             string    `json:"kind"`
	Ingress          string    `json:"ingress,omitempty"`
	ServerConnection string    `json:"server_connection_id,omitempty"`
	Detail           string    `json:"detail,omitempty"`
}

func newTally() *tally {
	return &tally{Pauses: make([]uint64, len(pauseBounds)+1), News: []newsView{}, flows: make(map[flow]uint64)}
}

func (t *tally) empty() bool {
	return t.Opened+t.Closed+t.Parked+t.Missed+t.ClientsResumed+t.ClientsAway+t.LetGo+t.Moved == 0 && len(t.News) == 0
}

func (t *tally) add(e *event.Event) {
	switch e.GetKind() {
	case holdfastv1.EventKind_EVENT_KIND_CONNECTION_OPENED:
		t.Opened++
	case holdfastv1.EventKind_EVENT_KIND_CONNECTION_CLOSED:
		t.Closed++
	case holdfastv1.EventKind_EVENT_KIND_CONNECTION_PARKED:
		t.Parked++
	case holdfastv1.EventKind_EVENT_KIND_CLIENT_RESUMED:
		t.ClientsResumed++
	case holdfastv1.EventKind_EVENT_KIND_CLIENT_AWAY:
		t.ClientsAway++
	case holdfastv1.EventKind_EVENT_KIND_CONNECTION_LET_GO:
		t.LetGo++
	case holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED:
		t.move(e)
	case holdfastv1.EventKind_EVENT_KIND_CONNECTION_RESUMED:
		t.Resumed++
		t.move(e)
	case holdfastv1.EventKind_EVENT_KIND_MISSED:
		t.Missed += e.GetMissed()
	default:
		if len(t.News) == maxNews {
			t.News = t.News[1:]
		}
		t.News = append(t.News, newsView{
			e.GetTime().AsTime(), name(e.GetKind().String(), "EVENT_KIND_"), e.GetIngress(), e.GetServerConnectionId(), e.GetDetail(),
		})
	}
}

func (t *tally) move(e *event.Event) {
	t.Moved++
	f := flow{e.GetPreviousServerConnectionId(), e.GetServerConnectionId()}
	if t.flows[f] > 0 || len(t.flows) < maxFlows {
		t.flows[f]++
	}
	pause := e.GetPause().AsDuration()
	class, _ := slices.BinarySearch(pauseBounds, pause)
	t.Pauses[class]++
	t.Longest = max(t.Longest, pause.Microseconds())
}

// finish makes the flows ready to be told, the largest first.
func (t *tally) finish() *tally {
	t.Flows = make([]flowView, 0, len(t.flows))
	for f, n := range t.flows {
		t.Flows = append(t.Flows, flowView{f.from, f.to, n})
	}
	slices.SortFunc(t.Flows, func(a, b flowView) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return t
}
