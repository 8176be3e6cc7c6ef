"""Lists the public names of the installed pyftpdlib, one to a line:

    pip install pyftpdlib==2.2.0
    python3 public_names.py > public_names.txt

The names are read from its source, not from imported modules. So the names of other
platforms are listed too, and attributes that only instances have.

A name is listed where it is defined. The names of a private base class are listed with
each public class that derives from it, those of the private pollers with `IOLoop`. A
class of a submodule of `handlers` is listed under `pyftpdlib.handlers` if that exports it.
"""

import ast
import importlib.util
from pathlib import Path

MODULES = {
    "__main__", "authorizers", "exceptions", "filesystems", "handlers", "ioloop", "log", "prefork",
    "servers", "utils",
}  # fmt: skip
POLLERS = ["_IOLoop", "_BasePollEpoll"]
PACKAGE = Path(importlib.util.find_spec("pyftpdlib").origin).parent


def statements(body):
    """The statements of a body, also those under `if`, `for`, `try` and `with`."""
    for node in body:
        yield node
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            for field in ("body", "orelse", "finalbody"):
                yield from statements(getattr(node, field, []))
            for handler in getattr(node, "handlers", []):
                yield from statements(handler.body)


def assigned(body):
    """The targets of the assignments of a body, each with its statement."""
    for node in statements(body):
        for target in getattr(node, "targets", []):
            for one in target.elts if isinstance(target, ast.Tuple) else [target]:
                yield one, node


def imported(body):
    """Names that a module imports: where it cannot, it may set them to None."""
    for node in statements(body):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)


def defined(body):
    """Names that a module or a class defines, and their nodes."""
    for node in statements(body):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node.name, node
    for target, node in assigned(body):
        if isinstance(target, ast.Name):
            yield target.id, node


def attributes(cls, classes):
    """The names of a class, of its instances, and of its private bases."""
    for name, node in defined(cls.body):
        yield name
        if isinstance(node, ast.FunctionDef):
            for target, _ in assigned(node.body):
                if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                    yield target.attr
    for base in map(ast.unparse, cls.bases):
        if base.startswith("_") and base not in POLLERS:
            yield from attributes(classes[base], classes)


def sources():
    """Each module's dotted name and body."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] in MODULES:
            dotted = ".".join(p for p in ("pyftpdlib", *parts) if p != "__init__")
            yield dotted, ast.parse(path.read_text()).body


def main():
    modules = dict(sources())
    classes = {
        name: node
        for body in modules.values()
        for name, node in defined(body)
        if isinstance(node, ast.ClassDef)
    }
    exported = set(imported(modules["pyftpdlib.handlers"]))
    names = ["__ver__", "__author__", "__web__"]
    for poller in POLLERS:
        names += (f"ioloop.IOLoop.{name}" for name in attributes(classes[poller], classes))
    for module, body in modules.items():
        elsewhere = set(imported(body))
        for name, node in defined(body):
            full = f"{'pyftpdlib.handlers' if name in exported else module}.{name}"
            full = full.removeprefix("pyftpdlib.")
            if name.startswith("_") or name in elsewhere:
                continue
            names.append(full)
            if isinstance(node, ast.ClassDef):
                names += (f"{full}.{attribute}" for attribute in attributes(node, classes))
    public = {name for name in names if "._" not in name}
    print("\n".join(sorted(f"pyftpdlib.{name}" for name in public)))


main()
