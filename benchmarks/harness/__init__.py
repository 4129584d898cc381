"""What every workload shares: contestants, interleaved timing, peak memory, targets, reports."""
