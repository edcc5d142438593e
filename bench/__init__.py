"""Benchmarks: figures of this machine and this run, each beside a peer measured in the same run."""
