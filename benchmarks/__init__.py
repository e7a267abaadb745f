"""How fast the engine and a whole run are, as ratios against a baseline of the same run: `python -m benchmarks`."""
