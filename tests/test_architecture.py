"""The flow has one direction, imports stay light, nothing is pickled, names and docstrings are whole."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import modalhash as mh
from modalhash.catalog import SYSTEMS, module_of, system
from modalhash.hasher import Hasher

ROOT = Path(mh.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
SYSTEM_FOLDERS = ("crossmodal", "social", "composite", "recommend", "baselines")
STEPS = ("solvers", "anchors", "moments", "graphs", "quantizers", "networks", "training")
AFTER_SYSTEMS = ("index", "metrics", "evaluation", "catalog", "collection", "cli", "service", "datasets", "demo")
FORBIDDEN: dict[str, tuple[str, ...]] = {  # part -> what comes after it in the flow
    "views": ("codes", "hasher", *STEPS, *SYSTEM_FOLDERS, "features", *AFTER_SYSTEMS),
    "codes": ("hasher", *STEPS, *SYSTEM_FOLDERS, "features", *AFTER_SYSTEMS),
    "folders": ("hasher", *STEPS, *SYSTEM_FOLDERS, "features", *AFTER_SYSTEMS),
    "model": ("hasher", *STEPS, *SYSTEM_FOLDERS, "features", *AFTER_SYSTEMS),
    "hasher": (*SYSTEM_FOLDERS, "features", *AFTER_SYSTEMS),
    "features": (*SYSTEM_FOLDERS, *AFTER_SYSTEMS),
    **{name: ("hasher", *SYSTEM_FOLDERS, "features", *AFTER_SYSTEMS) for name in STEPS if name != "training"},
    "training": (*SYSTEM_FOLDERS, "features", *AFTER_SYSTEMS),
    "fusion": (*SYSTEM_FOLDERS, "features", *AFTER_SYSTEMS),
    **dict.fromkeys(SYSTEM_FOLDERS, ("features", *AFTER_SYSTEMS)),
    "recommend": ("features", *(part for part in AFTER_SYSTEMS if part != "index")),  # it searches, and returns Hits
    "index": (*SYSTEM_FOLDERS, "features", "metrics", "evaluation", "catalog", "collection", "cli", "service"),
    "metrics": (*SYSTEM_FOLDERS, "features", "evaluation", "catalog", "collection", "cli", "service"),
    "datasets": (*SYSTEM_FOLDERS, "metrics", "evaluation", "catalog", "collection", "cli", "service"),
    "evaluation": ("collection", "cli", "service"),
    "catalog": ("index", "metrics", "evaluation", "collection", "cli", "service"),
}


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """All modules that a file imports anywhere in it, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_stage_knows_only_the_stages_before_it(path: Path) -> None:
    parts = {name.split(".")[1] for name in imported(path) if name.startswith("modalhash.")}
    assert not parts & set(FORBIDDEN.get(part_of(path), ()))


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_nothing_is_pickled(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    text = path.read_text(encoding="utf8")
    for word in ("allow_pickle=True", "torch.save", "weights_only=False", "eval("):
        found = re.findall(rf"(?<![\w.]){re.escape(word)}", text)
        assert not found, f"{relative(path)}: {word}"
    unsafe = [line for line in text.splitlines() if "torch.load" in line and "weights_only=True" not in line]
    assert not unsafe, f"{relative(path)}: {unsafe[0]}"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_files_are_short_and_say_what_they_hold(path: Path) -> None:
    text = path.read_text(encoding="utf8")
    assert len(text.splitlines()) <= 400
    assert path.stem not in ("utils", "core", "common", "helpers")
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_functions_take_at_most_eight_arguments(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.FunctionDef):
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            assert len([name for name in names if name not in ("self", "cls")]) <= 8, f"{relative(path)}: {node.name}"


HEAVY = "{'torch', 'sklearn', 'scipy.stats', 'matplotlib', 'numba', 'pandas', 'rich', 'typer', 'fastapi', 'pyarrow'}"


def test_the_import_is_light() -> None:
    program = f"import sys, modalhash; print(sorted({HEAVY} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_public_names_resolve_and_are_documented() -> None:
    assert len(set(mh.__all__)) == len(mh.__all__) and set(dir(mh)) == set(mh.__all__)
    for name in mh.__all__:
        found = getattr(mh, name)
        assert name == "__version__" or (found.__doc__ or "").strip(), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mh.nothing  # noqa: B018


def test_what_the_type_checker_sees_is_what_is_loaded() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {}
    for node in ast.walk(blocks[0]):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name
                seen[alias.name] = str(node.module).removeprefix("modalhash").removeprefix(".")
    names = vars(mh)["_NAMES"]
    assert seen == {**names, **dict.fromkeys(vars(mh)["_MODULES"], "")}
    assert list(names) == sorted(names)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_has_variants_or_is_a_baseline(name: str) -> None:
    module, path = module_of(name), SYSTEMS[name]
    assert path.startswith("baselines.") or name in module.VARIANTS
    if hasattr(module, "VARIANTS"):
        for params in module.VARIANTS.values():
            system(name)(**params)
    assert issubclass(system(name), Hasher) and name in mh.__all__
    assert (system(name).__doc__ or "").splitlines()[0].endswith((".", "…", "cube", "Minimises,"))
