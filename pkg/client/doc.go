// Package client is the library for resumable clients of Holdfast. A Connection goes on, in order and with nothing lost or doubled, while
// the ingress that it came in through is reloaded, the network breaks, and relays come and go; its user does not notice.
package client
