"""Reads the project's imports and BUILD files, without running either."""

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

# Under Bazel this file is a link into the checkout.
ROOT = Path(__file__).resolve().parent.parent.parent
NOT_SOURCES = {"build", "dist", "runs"}


@dataclasses.dataclass(frozen=True)
class Target:
    """A rule of a BUILD file: the files it compiles, by path, and the labels it depends on."""

    label: str
    rule: str
    sources: tuple[str, ...]
    dependencies: frozenset[str]


def python_files() -> list[Path]:
    """All Python files of the checkout, relative to its root."""
    return sorted(_walk(ROOT, "*.py"))


def _walk(folder: Path, pattern: str) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith((".", "bazel-")) or path.is_symlink():
            continue
        if path.is_dir() and path.relative_to(ROOT).parts[0] not in NOT_SOURCES:
            yield from _walk(path, pattern)
        elif path.match(pattern):
            yield path.relative_to(ROOT)


def label_of(file: Path) -> str:
    """The label that the target of a Python file has: `//models:registry`, `//models:models`."""
    folder = "" if file.parent == Path() else str(file.parent)
    if file.name == "__init__.py":
        return f"//{folder}:{file.parent.name or 'shimzoo'}"
    return f"//{folder}:{file.stem}"


def imported_modules(file: Path) -> set[str]:
    """Absolute names of all modules that a file imports, wherever in it the statement stands."""
    package = ("shimzoo", *file.parent.parts)
    modules = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*start, *([node.module] if node.module else [])])
            modules.update(_module_or_base(base, alias.name) for alias in node.names)
    return modules


def _module_or_base(base: str, name: str) -> str:
    return f"{base}.{name}" if own_file(f"{base}.{name}") else base


def own_file(module: str) -> Path | None:
    """The file of one of the project's modules, None for a module of somebody else."""
    first, *parts = module.split(".")
    if first != "shimzoo":
        return None
    path = Path(*parts)
    for candidate in (path.with_suffix(".py") if parts else path, path / "__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None


def targets() -> list[Target]:
    """All targets of the checkout's BUILD files."""
    return [target for path in sorted(_walk(ROOT, "BUILD")) for target in _targets_of(path)]


def _targets_of(path: Path) -> Iterator[Target]:
    folder = "" if path.parent == Path() else str(path.parent)
    for statement in ast.parse((ROOT / path).read_text()).body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(call, ast.Call):
            continue
        values = {
            keyword.arg: ast.literal_eval(keyword.value)
            for keyword in call.keywords
            if keyword.arg in ("name", "srcs", "deps")
        }
        if "name" not in values:
            continue
        sources = values.get("srcs", [])
        if call.func.id == "pytest_test":
            sources = [values["name"] + ".py"]
        yield Target(
            label=f"//{folder}:{values['name']}",
            rule=call.func.id,
            sources=tuple(str(path.parent / source) for source in sources),
            dependencies=frozenset(_absolute(dep, folder) for dep in values.get("deps", [])),
        )


def _absolute(label: str, folder: str) -> str:
    if label.startswith(":"):
        return f"//{folder}{label}"
    return label if ":" in label else f"{label}:{label.rsplit('/', 1)[-1]}"
