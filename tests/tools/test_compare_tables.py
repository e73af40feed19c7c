"""Tables of comparisons come from a stored comparison and from nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from modalhash.datasets import planted
from modalhash.evaluation.compare import compare
from modalhash.evaluation.results import write_result

TOOLS = Path(__file__).parents[2] / "tools"


def test_a_stored_comparison_becomes_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    from compare_tables import COMPARE

    found = compare(planted("nuisance", 100, 0), (8,), ("A2LH", "sign", "RaBitQ"), seeds=2)
    (tmp_path / "compare").mkdir()
    write_result(tmp_path / "compare" / "emoji.json", found.as_dict())
    text = COMPARE["compare/emoji"](tmp_path)
    assert text.startswith(f"> {found.verdict}\n")
    for row in (row for row in found.rows if not row.refused and row.system == "A2LH"):
        assert f"{row.mean['AP']:.3f} ± {row.sd['AP']:.3f}" in text
    assert text.count("| A2LH + rescoring |") == 2 and "— RaBitQ at 8: 8 bits leave -56" in text
    assert found.facts["checksum"][:12] in text and sys.path[0] == str(TOOLS)
