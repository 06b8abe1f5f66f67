"""Turn the knobs of a market and see its mechanism: what is behind the live page and the report in one file."""
