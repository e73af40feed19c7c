"""Measures, pure and per query, with every convention a named argument."""

from modalhash.metrics.relevance import SharedLabels
from modalhash.metrics.retrieval import RetrievalResult, average_precision, retrieval

__all__ = ["RetrievalResult", "SharedLabels", "average_precision", "retrieval"]
