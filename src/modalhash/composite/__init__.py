"""Systems that fuse all views of an item into one code."""
