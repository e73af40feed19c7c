"""Protocols and comparisons."""
