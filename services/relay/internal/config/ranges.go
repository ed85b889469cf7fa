package config

import (
	"errors"
	"fmt"
	"time"
)

// setting is one value with what is allowed for it.
type setting struct {
	name string
	err  error
}

// number checks a whole number.
func number[N int | int64](name string, value, least, most N) setting {
	if value >= least && value <= most {
		return setting{}
	}
	return setting{name, fmt.Errorf("--%s=%d: want %d to %d", name, value, least, most)}
}

// duration checks a duration.
func duration(name string, value, least, most time.Duration) setting {
	if value >= least && value <= most {
		return setting{}
	}
	return setting{name, fmt.Errorf("--%s=%v: want %v to %v", name, value, least, most)}
}

// orZero allows 0 as well, which turns the setting off.
func orZero[N comparable](value N, s setting) setting {
	var zero N
	if s.err == nil || value == zero {
		return setting{}
	}
	return setting{s.name, fmt.Errorf("%w, or 0 for none", s.err)}
}

func checkRanges(all ...setting) error {
	var errs []error
	for _, s := range all {
		errs = append(errs, s.err)
	}
	return errors.Join(errs...)
}
