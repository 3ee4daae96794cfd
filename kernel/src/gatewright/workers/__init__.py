"""Worker processes, and what the supervisor says to them."""
