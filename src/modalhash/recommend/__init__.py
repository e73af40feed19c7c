"""Recommenders: codes of users and items from ratings and views; whoever is near is recommended."""
