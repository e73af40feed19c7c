"""The thinnest line through the whole flow: views -> system -> codes -> index -> measures."""

from pathlib import Path

import modalhash as mh


def test_codes_learned_from_views_find_across_them(tmp_path: Path) -> None:
    data = mh.datasets.planted("nuisance", 200, 0)
    hasher = mh.A2LH(n_bits=16, random_state=0).fit(data.part("train"), data.part_labels("train"))
    hasher.save(tmp_path / "model")
    hasher = mh.A2LH.load(tmp_path / "model")
    mh.Index.build(hasher.encode({"text": data.part("database")["text"]})).save(tmp_path / "index")
    index = mh.Index.load(tmp_path / "index")
    queries = hasher.encode_queries({"image": data.part("query")["image"]})
    assert index.search(queries, k=5).ids.shape == (50, 5)
    relevant = mh.metrics.SharedLabels(data.part_labels("query"), data.part_labels("database"))
    assert mh.metrics.retrieval(index, queries, relevant).mean["AP"] > 0.6
