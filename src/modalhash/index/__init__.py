"""Search over codes."""

from modalhash.index.hits import Hits
from modalhash.index.memory import Index

__all__ = ["Hits", "Index"]
