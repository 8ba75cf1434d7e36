"""How Sphinx makes the API reference from the docstrings: ``python -m sphinx -W docs/api out/api``."""

import ast
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def imported_packages() -> set[str]:
    """Names of all top-level packages that the sources import, wherever in a file."""
    names = set()
    for package in ("mpvss_model", "mpvss_ros"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    names.add(node.module.split(".")[0])
    return names


project = "mpvss_ros"
author = "mpvss_ros contributors"
copyright = f"{author}, Apache-2.0"
if (ROOT / "package.xml").exists():  # rosdoc2 runs a copy of this file elsewhere, and sets version and path itself
    release = version = ElementTree.parse(ROOT / "package.xml").findtext("version")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
templates_path = ["_templates"]
html_theme = "sphinx_rtd_theme"

# A page for each module, found by walking the two packages: a module that moves needs no change here.
autosummary_generate = True
# What a name is exported under is said on the index page; it is described once, where it is defined.
autosummary_ignore_module_all = True
autodoc_default_options = {"members": True, "show-inheritance": True, "ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
# What is not installed (a message package, an extra) is stood in for.
autodoc_mock_imports = sorted(name for name in imported_packages() if find_spec(name) is None)

napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# A single backtick names something of the code; what cannot be linked is set as code.
default_role = "py:obj"


def link_by_unique_ending(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.reference | None:
    """Link names as the code says them (`StreamConfig`, `Stage.run`) to the one object whose full name ends so."""
    if node.get("refdomain") != "py":
        return None
    objects = env.get_domain("py").objects
    target = node["reftarget"]
    found = {entry.node_id: entry for name, entry in objects.items() if name == target or name.endswith("." + target)}
    if len(found) != 1:
        return None
    ((anchor, entry),) = found.items()
    return make_refnode(app.builder, node["refdoc"], entry.docname, anchor, contnode, entry.node_id)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", link_by_unique_ending)
