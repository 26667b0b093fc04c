"""The runtime and the handler of a function, found in its files. Pure.

Not here: what a runtime does with them (`runtimes/`). Where the files leave a choice, it is not
guessed: the message names what was found and the option that decides.
"""

import ast
import re
from collections.abc import Mapping
from typing import NamedTuple

from shared.events import Runtime

_PYTHON_FILES = ("main.py", "lambda_function.py", "app.py", "handler.py", "index.py", "function.py")
_PYTHON_NAMES = ("handler", "lambda_handler")
_NODE_FILES = ("index", "main", "app", "handler")
_NODE_ENDINGS = (".js", ".mjs", ".cjs")
_NODE_HANDLER = re.compile(
    r"(?:module\.)?exports\.handler\s*="
    r"|export\s+(?:const|let|var|(?:async\s+)?function\*?)\s+handler\b"
    r"|export\s*\{[^}]*\bhandler\b"
    r"|module\.exports\s*=\s*\{[^}]*\bhandler\b"
)


class EntryPoint(NamedTuple):
    """What a message must say of a function."""

    runtime: Runtime
    handler: str


class EntryPointError(Exception):
    """Nothing that runs was found, or more than one; the message names the next step."""


def find_entry_point(files: Mapping[str, bytes], executables: frozenset[str]) -> EntryPoint:
    """Of the files at the root of a function: name -> content; `executables` can be run.

    Raises EntryPointError.
    """
    names = set(files)
    if "bootstrap" in executables:
        return EntryPoint(_find_runtime_of_bootstrap(files), "bootstrap")
    if "go.mod" in names or any(name.endswith(".go") for name in names):
        return EntryPoint(Runtime.GO, "bootstrap")
    python = list(_find_in_python(files))
    node = list(_find_in_node(files))
    if python and node:
        _refuse_choice("both Python and Node.js handlers", [*python, *node], "--runtime")
    if python or node:
        return _choose(python or node)
    if "main.py" in names:
        return EntryPoint(Runtime.PYTHON, "main.handler")  # runs as a script
    if "index.js" in names:
        return EntryPoint(Runtime.NODEJS, "index.handler")
    raise EntryPointError(_describe_nothing(names))


def _find_runtime_of_bootstrap(files: Mapping[str, bytes]) -> Runtime:
    """A program runs alone; a script may need the language of what lies beside it."""
    if not files["bootstrap"].startswith(b"\x7fELF"):
        if any(name.endswith(".py") for name in files):
            return Runtime.PYTHON
        if any(name.endswith(_NODE_ENDINGS) for name in files):
            return Runtime.NODEJS
    return Runtime.PROVIDED


def _find_in_python(files: Mapping[str, bytes]) -> list[EntryPoint]:
    found = []
    for name in sorted(name for name in files if name.endswith(".py")):
        try:
            module = ast.parse(files[name])
        except (SyntaxError, ValueError) as error:
            if name in _PYTHON_FILES:
                raise EntryPointError(f"{name} is no Python: {error}") from error
            continue
        defined = set(_list_names(module))
        found += [
            EntryPoint(Runtime.PYTHON, f"{name.removesuffix('.py')}.{function}")
            for function in _PYTHON_NAMES
            if function in defined
        ]
    return found


def _list_names(module: ast.Module) -> list[str]:
    """What a module defines at its top level."""
    names = []
    for statement in module.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.append(name)
            case ast.Assign(targets=targets):
                names += [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.append(name)
            case ast.ImportFrom(names=aliases):
                names += [alias.asname or alias.name for alias in aliases]
            case _:
                pass
    return names


def _find_in_node(files: Mapping[str, bytes]) -> list[EntryPoint]:
    return [
        EntryPoint(Runtime.NODEJS, f"{name.rpartition('.')[0]}.handler")
        for name in sorted(files)
        if name.endswith(_NODE_ENDINGS)
        and _NODE_HANDLER.search(files[name].decode("utf-8", "replace"))
    ]


def _choose(found: list[EntryPoint]) -> EntryPoint:
    """The only one, or the one in the file that is called as such files are."""
    if len(found) == 1:
        return found[0]
    order = [
        *(name.removesuffix(".py") for name in _PYTHON_FILES),
        *_NODE_FILES,
    ]
    for name in order:
        for one in found:
            if one.handler.rpartition(".")[0] == name:
                return one
    return _refuse_choice("several handlers", found, "--handler")


def _refuse_choice(what: str, found: list[EntryPoint], option: str) -> EntryPoint:
    handlers = ", ".join(one.handler for one in found)
    first = found[0].runtime if option == "--runtime" else found[0].handler
    raise EntryPointError(f"{what}: {handlers}. Say which, such as {option} {first}")


def _describe_nothing(names: set[str]) -> str:
    if "bootstrap" in names:
        return "bootstrap is there but cannot be run: chmod +x bootstrap"
    seen = ", ".join(sorted(names)[:5]) or "no file"
    return (
        f"no handler was found at its root ({seen}). Python: `def handler(event, context)` in "
        "main.py; Node.js: `exports.handler = ...` in index.js; Go: go.mod; any other: an "
        "executable bootstrap. Or say it with --runtime and --handler"
    )
