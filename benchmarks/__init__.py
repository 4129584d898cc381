"""The benchmark suite: `python -m benchmarks`, or `make bench` and `make bench-quick`."""
