"""The frozen result of compiling one config."""
