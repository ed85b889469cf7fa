package client_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast/holdfast/pkg/client"
)

func TestConfigErrors(t *testing.T) {
	dialer, err := client.NewDialer(1)
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*client.Config){
		"no address is configured":      func(c *client.Config) { c.Addresses = nil },
		"address 2 of 2 is empty":       func(c *client.Config) { c.Addresses = []string{"a", ""} },
		"there are dial options beside": func(c *client.Config) { c.Dialer, c.DialOptions = dialer, []grpc.DialOption{grpc.EmptyDialOption{}} },
		"backoff of -1s to 0s":          func(c *client.Config) { c.MinBackoff = -time.Second },
		"backoff of 0s to -1s":          func(c *client.Config) { c.MaxBackoff = -time.Second },
		"backoff of 2s to 1s":           func(c *client.Config) { c.MinBackoff, c.MaxBackoff = 2*time.Second, time.Second },
		"attempt timeout of -1s":        func(c *client.Config) { c.AttemptTimeout = -time.Second },
		"giving up after -1s":           func(c *client.Config) { c.GiveUpAfter = -time.Second },
	} {
		config := client.Config{Addresses: []string{"passthrough:///nowhere"}}
		change(&config)
		if _, err := client.Dial(ended(), config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %s", err, want)
		}
	}
}

func TestAnAddressThatIsNone(t *testing.T) {
	_, err := client.Dial(ended(), client.Config{Addresses: []string{"nothing:///\x00"}})
	if err == nil {
		t.Error("there is no error")
	}
}
