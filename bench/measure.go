package main

import (
	"slices"
	"time"
)

// alternate runs raw and terrace in turns, who is first changing from round to round,
// after a round that does not count. Each gets the round's number and says how long
// its work took.
func alternate(rounds int, raw, terrace func(round int) (time.Duration, error)) (rawTimes, terraceTimes []float64, err error) {
	for round := range rounds + 1 {
		sides := []struct {
			run  func(int) (time.Duration, error)
			into *[]float64
		}{{raw, &rawTimes}, {terrace, &terraceTimes}}
		if round%2 == 1 {
			slices.Reverse(sides)
		}
		for _, side := range sides {
			took, err := side.run(round)
			if err != nil {
				return nil, nil, err
			}
			if round > 0 {
				*side.into = append(*side.into, took.Seconds())
			}
		}
	}
	return rawTimes, terraceTimes, nil
}

// compared is a result whose value is a ratio, which should be at most target.
func compared(name, what string, raw, terrace []float64, target float64) result {
	ratio := median(terrace) / median(raw)
	return result{Name: name, What: what, Unit: "s", Raw: raw, Terrace: terrace, Value: ratio, Target: target, Reached: ratio <= target}
}

// absolute is a result whose value is the median itself, which should be below target.
func absolute(name, what, unit string, values []float64, target float64) result {
	m := median(values)
	return result{Name: name, What: what, Unit: unit, Terrace: values, Value: m, Target: target, Reached: m <= target}
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}
