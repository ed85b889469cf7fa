package client

import "time"

// Event is what happened to a connection: a Reconnecting, Recovered or Lost.
type Event interface{ event() }

// Reconnecting says that the connection moves to another stream. Messages go on both ways by the one that it has, while that lives.
type Reconnecting struct {
	// Why is the error of the stream that broke, or says who asks for the move.
	Why error
}

// Recovered says that another stream carries the connection, and that nothing of it was lost.
type Recovered struct {
	// Took is how long the move took, from its Reconnecting on.
	Took time.Duration
	// Interrupted is for how long no stream carried the connection; 0 when the old one lived until the new one carried it.
	Interrupted time.Duration
	// Address is the one that was dialled; Ingress and Relay are where the stream came in, as its relay says.
	Address, Ingress, Relay string
}

// Lost says that the connection has ended neither by its application nor by Close.
type Lost struct {
	Err *CloseError
}

func (Reconnecting) event() {}
func (Recovered) event()    {}
func (Lost) event()         {}
