"""Data sets for the benchmarks, each built by a script from a public package."""
