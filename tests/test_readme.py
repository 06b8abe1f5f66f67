"""The examples of the README and of the guides run as printed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", *(f"docs/{page}.md" for page in ("data", "fees", "laws", "questions", "sweeps", "tables"))]
EXAMPLE = r"<!-- run -->\n```python\n(.*?)```\n```text\n(.*?)```"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_examples_print_what_the_page_says(page):
    """The blocks of one page run in order in one interpreter."""
    blocks = re.findall(EXAMPLE, (ROOT / page).read_text(), re.S)
    assert blocks
    mark = "=== next block ==="
    code = f"print({mark!r})\n".join(code for code, _ in blocks)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(mark + "\n") == [printed for _, printed in blocks]
