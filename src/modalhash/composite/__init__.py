"""Fused codes: all views of an item in one code."""
