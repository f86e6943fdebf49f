"""The library: parents and benchmarks, what a user chooses from."""
