"""The hook pipeline: the order of filters, and the flat tuples that run."""
