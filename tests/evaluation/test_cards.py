"""Cards: result files of one seed are cards, seeds come together, other protocols and other data stay apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash.evaluation.cards import Card, make_cards, read_cards, tables_of, write_card
from modalhash.evaluation.compare import Comparison, compare
from modalhash.evaluation.protocol import Protocol
from modalhash.evaluation.results import read_results
from modalhash.evaluation.run import run_table
from modalhash.evaluation.tables import Source, Table, both_ways

TABLE = Table(
    title="Small",
    sources=(Source(name="clusters", label="Clusters"),),
    systems=("PCASign", "LSH", "CCAITQ"),
    bits=(8, 36),
    seeds=3,
    protocols=both_ways(cuts=(5,)),
)
OLD = Path(__file__).parents[2] / "benchmarks/results/emoji"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cards")
    run_table(TABLE, folder, load=lambda name: mh.datasets.planted(name, 80, 0))
    return folder


@pytest.fixture
def place(cells: Path, tmp_path: Path) -> Path:
    for path in cells.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text(encoding="utf8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf8")


def found(cards: list[Card], system: str, bits: int = 8, way: str = "image → text") -> Card:
    return next(c for c in cards if (c.system, c.n_bits, c.protocol.direction) == (system, bits, way))


def test_seeds_come_together(cells: Path) -> None:
    cards = read_cards([cells])
    assert len(cards) == 3 * 2 * 2
    card = found(cards, "LSH")
    values = [r["mean"]["AP"] for r in read_results(cells) if r["cell"]["system"] == "LSH"
              and r["cell"]["n_bits"] == 8 and r["protocol"]["query_views"] == ["image"]]  # fmt: skip
    assert card.seeds == (0, 1, 2) and card.measures["AP"] == values
    assert card.mean("AP") == pytest.approx(np.mean(values)) and card.sd("AP") == pytest.approx(np.std(values, ddof=1))
    assert card.title == "Clusters" and card.bytes_per_item == 1 and card.facts["n_queries"] == 20
    assert "random_state" not in card.parameters and card.parameters["n_bits"] == 8
    assert len(card.machines) == len(card.versions) == len(card.seconds) == 3
    ranks, radius = card.curve("rank"), card.curve("radius")
    assert ranks is not None and radius is not None and ranks[-1] == 60 and len(radius) == 9
    assert card.health_of("distances", "overlap") and card.health_of("nothing") is None and card.curve("no") is None
    assert card.took("none", "fit") is not None and card.took("none") is None
    assert np.isnan(card.mean("none")) and card.sd("none") == 0


def test_refusals_are_cards_without_figures(cells: Path) -> None:
    card = found(read_cards([cells]), "CCAITQ", 36)
    assert card.refused.startswith("CCAITQ") and not card.measures and card.seeds == (0, 1, 2)


def test_a_written_card_comes_back_and_joins_other_seeds(cells: Path, tmp_path: Path) -> None:
    for card in read_cards([cells]):
        path = tmp_path / "one" / "card.json"
        write_card(path, card)
        (again,) = read_cards([path])
        assert again.as_dict() == card.as_dict()
    card = found(read_cards([cells]), "LSH")
    write_card(path, card)
    told = json.loads(path.read_text(encoding="utf8"))["measures"]["AP"]
    assert told == {"mean": card.mean("AP"), "sd": card.sd("AP"), "per_seed": card.measures["AP"]}
    both = read_cards([path, *sorted(cells.glob("*LSH-8-*"))])
    assert found(both, "LSH").measures == card.measures and len(both) == 2


def test_old_result_files_are_cards(tmp_path: Path) -> None:
    old = json.loads(sorted(OLD.glob("emoji-*"))[0].read_text(encoding="utf8"))
    for name in ("curves", "health"):
        old.pop(name, None)
    (tmp_path / "old.json").write_text(json.dumps(old), encoding="utf8")
    (card,) = read_cards([tmp_path])
    assert card.mean("AP") == old["mean"]["AP"] and card.curves == [] and card.curve("rank") is None


def test_two_protocols_in_one_table_are_refused_by_name(place: Path) -> None:
    tables_of(read_cards([place]))
    path = sorted(place.glob("*LSH-8-seed0*"))[0]
    other = Protocol.from_dict(json.loads(path.read_text(encoding="utf8"))["protocol"] | {"gain": "linear"})
    change(path, lambda c: c.update(protocol=other.as_dict() | {"hash": other.hash}))
    hashes = {card.protocol.hash for card in read_cards([place]) if card.protocol.direction == other.direction}
    assert len(hashes) == 2
    with pytest.raises(ValueError, match="cells of 2 protocol hashes in one table") as error:
        tables_of(read_cards([place]))
    assert all(name in str(error.value) for name in hashes) and "differ in gain" in str(error.value)


def test_two_data_sets_of_one_title_are_refused_by_checksum(place: Path) -> None:
    path = sorted(place.glob("*LSH-8-seed0*"))[0]
    change(path, lambda c: c["data"].update(checksum="f" * 64))
    with pytest.raises(ValueError, match="2 data checksums.*" + "f" * 64):
        tables_of(read_cards([place]))


def test_a_hash_that_is_not_its_protocols_is_refused(place: Path) -> None:
    path = sorted(place.glob("*LSH-8-seed0*"))[0]
    change(path, lambda c: c["protocol"].update(gain="linear"))
    with pytest.raises(ValueError, match=rf"{path.name}: the hash .* is not that of its protocol"):
        read_cards([place])


def test_one_seed_with_two_figures_is_refused(place: Path) -> None:
    path = sorted(place.glob("*LSH-8-seed0*"))[0]
    copy = place / "copy.json"
    copy.write_bytes(path.read_bytes())
    assert found(read_cards([place]), "LSH").seeds == (0, 1, 2)
    change(copy, lambda c: c["mean"].update(AP=0.5))
    with pytest.raises(ValueError, match=r"LSH, 8 bits, seed 0: two files with other figures.*copy\.json"):
        read_cards([place])


def test_a_parameter_of_a_later_version_does_not_tell_cards_apart(place: Path) -> None:
    path = sorted(place.glob("*LSH-8-seed0*"))[0]
    change(path, lambda c: c["parameters"].update(later=1))
    assert found(read_cards([place]), "LSH").seeds == (0, 1, 2)
    change(path, lambda c: c["parameters"].update(verbose=True))
    assert [c.seeds for c in read_cards(sorted(place.glob(f"*LSH-8-*{path.stem[-12:]}*")))] == [(0,), (1, 2)]


def test_what_is_no_card_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no result cards in"):
        read_cards([tmp_path])
    (tmp_path / "x.json").write_text('{"format": 1, "machine": {}}', encoding="utf8")
    with pytest.raises(ValueError, match=r"x\.json: is no result card"):
        read_cards([tmp_path])
    (tmp_path / "x.json").write_text('{"format": 1, "measures": {"AP": 3}}', encoding="utf8")
    with pytest.raises(ValueError, match=r"x\.json: is no result card"):
        read_cards([tmp_path / "x.json"])


def test_a_fitted_system_makes_cards_with_the_curve_of_lost_views(tmp_path: Path) -> None:
    data = mh.datasets.planted("clusters", 80, 0)
    hasher = mh.ITQ(n_bits=8, random_state=4).fit(data.part("train"))
    ways = [Protocol(query_views=("image",), database_views=("text",)), Protocol()]
    paths = make_cards(hasher, data, tmp_path, ways)
    first, second = (read_cards([path])[0] for path in paths)
    assert first.seeds == (4,) and first.missing_views == [] and first.n_bits == 8
    assert [point["lost"] for point in second.missing_views[0]] == [0, 1]
    assert second.missing_views[0][0]["mean"] == pytest.approx(second.mean("AP"))


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    folder = tmp_path_factory.mktemp("compared")
    data = mh.datasets.planted("nuisance", 100, 0)
    return folder, compare(data, (8,), ("A2LH", "rotation", "RaBitQ"), seeds=2, out=folder)


def test_the_rows_of_a_comparison_are_cards(compared: tuple[Path, Comparison]) -> None:
    folder, comparison = compared
    cards = read_cards([folder])
    assert len(cards) == len(comparison.rows) and len(tables_of(cards)) == 2
    for row, card in zip(comparison.rows, cards, strict=True):
        assert (card.system, card.n_bits, card.refused) == (row.title, row.bits or 0, row.refused)
        assert card.protocol.direction == row.direction and card.data["checksum"] == comparison.facts["checksum"]
        if row.refused:
            assert not card.measures
            continue
        assert card.protocol.hash == row.protocol and card.bytes_per_item == row.total_bytes
        assert card.facts["bytes_of_code"] == row.bytes and card.facts["contender"] == row.system
        assert card.seeds == tuple(range(row.seeds)) and card.took("search") == pytest.approx(row.seconds["search"])
        for name, mean in row.mean.items():
            assert card.mean(name) == pytest.approx(mean, abs=2e-6) and len(card.values(name)) == row.seeds
            assert card.sd(name) == pytest.approx(row.sd[name], abs=2e-6)
    learned = found(cards, "A2LH")
    cells = [
        json.loads(path.read_text(encoding="utf8")) for path in sorted(folder.glob(f"*A2LH-8*{learned.protocol.hash}*"))
    ]
    assert learned.measures["AP"] == [pytest.approx(cell["codes"]["mean"]["AP"], abs=1e-6) for cell in cells]
    assert learned.facts["n_queries"] == cells[0]["n_queries"] and learned.facts["floats"] == cells[0]["space"]


def test_a_card_of_a_comparison_comes_back(compared: tuple[Path, Comparison], tmp_path: Path) -> None:
    for i, card in enumerate(read_cards([compared[0]])):
        write_card(tmp_path / f"{i}.json", card)
        assert read_cards([tmp_path / f"{i}.json"])[0].as_dict() == card.as_dict()


def test_what_of_a_comparison_is_no_card_is_refused(compared: tuple[Path, Comparison], tmp_path: Path) -> None:
    cell = next(path for path in compared[0].glob("*A2LH*"))
    with pytest.raises(ValueError, match=rf"{cell.name}: is one run of a comparison"):
        read_cards([cell])
    path = tmp_path / "comparison.json"
    path.write_bytes((compared[0] / "comparison.json").read_bytes())
    whole = path.read_text(encoding="utf8")
    change(path, lambda content: content["facts"]["protocols"]["image → text, query"].update(hash="0" * 12))
    with pytest.raises(ValueError, match="the hash 000000000000 is not that of its protocol"):
        read_cards([tmp_path])
    path.write_text(whole, encoding="utf8")
    change(path, lambda content: content["rows"][0].pop("per_seed"))
    with pytest.raises(ValueError, match="is no comparison whose rows are cards"):
        read_cards([tmp_path])
