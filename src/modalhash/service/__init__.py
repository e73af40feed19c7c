"""The HTTP service: one process that searches, recommends and explains over a collection; needs the extra `serve`."""
