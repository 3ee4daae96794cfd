"""Which route takes a request. Knows routes and no bytes on a wire."""
