"""The sections of docs/performance.md, one a module: its docstring is the section's text, `measured(quick)` its content.

The first line of a docstring is the heading. `quick` asks for a check that it runs.
"""
