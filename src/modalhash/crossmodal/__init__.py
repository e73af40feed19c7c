"""Systems for cross-modal search: the query in one view, the database in another."""
