package bench

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "bench-part" {
		os.Exit(play(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// play makes the test binary one of the servers that the benchmark starts: NAME --listen L [--upstream U].
func play(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := fmt.Errorf("unknown part %q", args)
	switch {
	case len(args) == 3 && args[0] == "echo":
		err = ServeEcho(ctx, args[2])
	case len(args) == 3 && args[0] == "raw-echo":
		err = ServeRawEcho(ctx, args[2])
	case len(args) == 5 && args[0] == "raw-relay":
		err = ServeRawRelay(ctx, args[2], args[4])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
