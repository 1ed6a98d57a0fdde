"""Benchmarks of the engine, each against a named peer in the same run on the same work."""
