"""The manifest: models, loading, and errors that name file and line."""
