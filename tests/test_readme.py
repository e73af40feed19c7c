"""The README runs: every Python block, in order, and its command lines parse."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def test_python_blocks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    assert len(blocks("python")) >= 3
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert (tmp_path / "fruit.html").stat().st_size > 5_000


def test_command_lines_name_verbs_and_options_that_exist() -> None:
    from modalhash.cli import app

    verbs = get_command(app)
    lines = [line.split("#")[0] for block in blocks("console") for line in block.splitlines() if "$ modalhash" in line]
    assert len(lines) >= 6
    for line in lines:
        words = shlex.split(line.removeprefix("$ modalhash"))
        verb = verbs.commands[words[0]]  # type: ignore[attr-defined]
        options = {name for parameter in verb.params for name in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options, line
