"""The README's example runs as printed."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_the_readme_example_prints_what_it_says():
    example = r"<!-- run -->\n```python\n(.*?)```\n```text\n(.*?)```"
    code, printed = re.search(example, README.read_text(), re.S).groups()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == printed
