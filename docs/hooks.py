"""What the site has beside docs/: the README as its start, the changelog, and the reference of all public names."""

import ast
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
ROOMS = {
    "market": "Markets",
    "endowments": "Endowment laws",
    "optimum": "The optimal mechanism",
    "auctions": "Auctions, fees and payments",
    "derivatives": "How answers move",
    "sweep": "Sweeps",
    "estimation": "Markets from data",
    "explorer": "Pages to look at",
    "": "Settings",
}


def on_files(files, config):
    pages = {
        "index.md": within(ROOT / "README.md"),
        "changelog.md": within(ROOT / "CHANGELOG.md"),
        "contributing.md": within(ROOT / "CONTRIBUTING.md"),
    }
    pages |= {f"reference/{room or 'settings'}.md": page for room, page in reference()}
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def within(path):
    """A page of the repository's root with links that hold in the site."""
    return re.sub(r"\]\(docs/", "](", path.read_text())


def public_names():
    """(module, name) of everything on the package's face, in its order."""
    tree = ast.parse((ROOT / "jaxmech" / "__init__.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("jaxmech."):
            yield from ((node.module, alias.name) for alias in node.names)


def reference():
    """(room, page) with one entry a name."""
    by_room = {room: [] for room in ROOMS}
    for module, name in public_names():
        room = module.split(".")[1]
        by_room[room if room in ROOMS else ""].append(f"::: {module}.{name}")
    for room, title in ROOMS.items():
        yield room, f"# {title}\n\n" + "\n\n".join(by_room[room]) + "\n"
