# make demo   a gateway in front of a small upstream, to try with curl
# make test   everything that is checked
.PHONY: demo test check format bench docs clean

demo:
	@./tools/setup
	@.venv/bin/python examples/demo/demo.py

test: check
	.venv/bin/python -m pytest

check:
	@./tools/setup dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	MYPYPATH=$$(echo plugins/*/src | tr " " ":") .venv/bin/mypy sdk/python/src kernel/src registry/src $(wildcard plugins/*/src)
	.venv/bin/lint-imports

format:
	@./tools/setup dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

docs:
	@./tools/setup dev
	.venv/bin/python tools/generate_docs.py

bench:
	@./tools/setup dev
	.venv/bin/python tests/bench/run.py

clean:
	rm -rf .venv .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
