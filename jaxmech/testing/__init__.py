"""Random and irregular markets, and independent solutions of them: for tests, benchmarks and experiments."""
