"""The sections of docs/performance.md, one a module: the docstring is its heading and text, `measured(quick)` the rest.

`quick` asks for a check that it runs.
"""
