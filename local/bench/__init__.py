"""Benchmarks: each compares two things or more in one run, because machines are noisy."""
