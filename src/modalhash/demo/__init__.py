"""The demo: codes learned from the shipped pictures and words, compared, searched and shown."""
