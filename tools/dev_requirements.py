"""Print the development requirements of the root pyproject.toml, for an installer that does not read groups."""

import tomllib

with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["dependency-groups"]["dev"])
