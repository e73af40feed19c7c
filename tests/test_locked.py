"""locked.txt pins, with hashes, all that a service needs: the versions of constraints.txt and nothing left out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVED = ("serve", "plots")  # extras that are locked


def name_of(text: str) -> str:
    """The name of a package as all ways to write it come to one."""
    return re.sub(r"[-_.]+", "-", text).lower()


def pins(file: str) -> dict[str, str]:
    lines = re.findall(r"^([\w.-]+)==([^\s\\]+)", (ROOT / file).read_text(encoding="utf8"), flags=re.MULTILINE)
    return {name_of(name): version for name, version in lines}


def needed(name: str, extras: tuple[str, ...] = ()) -> set[str]:
    """All that an installed package needs on this machine, itself not counted."""
    requirements = pytest.importorskip("packaging.requirements")
    found: set[str] = set()
    todo = [(name, extras)]
    while todo:
        package, chosen = todo.pop()
        for line in distribution(package).requires or []:
            one = requirements.Requirement(line)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *chosen)):
                if name_of(one.name) not in found:
                    todo.append((one.name, tuple(one.extras)))
                found.add(name_of(one.name))
    return found


def test_every_line_has_hashes() -> None:
    text = (ROOT / "locked.txt").read_text(encoding="utf8")
    for entry in re.split(r"\n(?! )", text.strip()):
        assert re.fullmatch(r"[\w.-]+==[\w.]+( \\\n    --hash=sha256:[0-9a-f]{64})+", entry), entry[:80]


def test_versions_are_those_of_the_constraints() -> None:
    locked, constraints = pins("locked.txt"), pins("constraints.txt")
    assert locked == {name: constraints.get(name) for name in locked}


def test_nothing_that_a_service_needs_is_left_out() -> None:
    try:
        wanted = needed("modalhash", SERVED)
    except PackageNotFoundError as error:
        pytest.skip(f"{error} is not installed")
    assert wanted - {"modalhash"} <= set(pins("locked.txt"))


def test_the_bill_of_materials_names_every_package(tmp_path: Path) -> None:
    pytest.importorskip("cyclonedx_py", reason="pip install cyclonedx-bom")
    out = tmp_path / "sbom.json"
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "locked.txt", "--pyproject", "pyproject.toml"]
    subprocess.run([*command, "--output-reproducible", "-o", str(out)], cwd=ROOT, check=True, capture_output=True)
    made = json.loads(out.read_text())
    found = {name_of(one["name"]): one for one in made["components"]}
    assert {name: one["version"] for name, one in found.items()} == pins("locked.txt")
    assert all(one["externalReferences"][0]["hashes"] for one in found.values())
    assert made["metadata"]["component"]["name"] == "modalhash"
