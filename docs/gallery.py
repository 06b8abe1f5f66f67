"""Writes docs/gallery.md and its pictures by running every script of examples/."""

import ast
import os
import runpy
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

EXAMPLES = Path(__file__).parents[1] / "examples"
PAGE = Path(__file__).with_name("gallery.md")
PICTURES = PAGE.parent / "images" / "gallery"
ASKERS = ("designer", "regulator", "researcher")
START = """# Gallery

Fifteen questions of those who design, supervise and study exchanges, each answered by one script of `examples/`, at
most forty lines long, that ends by asserting one number. `python examples/NAME.py` runs one and draws its picture,
`make gallery` all of them, and writes this page. Money is in units of asset² per risk capacity.
"""


class Example(NamedTuple):
    """A script as its docstring has it."""

    name: str
    question: str
    asker: str
    reason: str  # what is done, and why the number asserted is right
    code: str


def examples():
    """Every script, by who asks and by name."""
    scripts = [example_of(path) for path in sorted(EXAMPLES.glob("*.py"))]
    return sorted(scripts, key=lambda example: ASKERS.index(example.asker))


def example_of(path):
    code = path.read_text()
    question, reason = ast.get_docstring(ast.parse(code)).split("\n\n")
    return Example(path.stem, question, reason.split()[1], " ".join(reason.split()), code)


def run(example, picture):
    """What a script prints; it draws its picture there."""
    printed, arguments = StringIO(), sys.argv
    sys.argv = [example.name, str(picture)]
    try:
        with redirect_stdout(printed):
            runpy.run_path(str(EXAMPLES / f"{example.name}.py"), run_name="__main__")
    finally:
        sys.argv = arguments
    return printed.getvalue()


def section(example, printed):
    """The part of the page that one script has."""
    return f"""### {example.question}

![{example.question}](images/gallery/{example.name}.svg)

```text
{printed}```

{example.reason.removeprefix(f"A {example.asker} asks. ")}

<details markdown="1"><summary><code>examples/{example.name}.py</code></summary>

```python
{example.code}```

</details>
"""


def main():
    import matplotlib

    os.environ["SOURCE_DATE_EPOCH"] = "0"  # the same picture has the same bytes
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "jaxmech", "savefig.dpi": 72})
    PICTURES.mkdir(parents=True, exist_ok=True)
    parts = [START]
    for asker in ASKERS:
        parts.append(f"## A {asker} asks\n")
        chosen = [example for example in examples() if example.asker == asker]
        parts += [section(example, run(example, PICTURES / f"{example.name}.svg")) for example in chosen]
    PAGE.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
