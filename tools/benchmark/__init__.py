"""Benchmarks: what the shim and the models cost."""
