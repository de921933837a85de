"""Speed and memory against the peers, measured side by side: `python -m benchmarks` or `python launch.py bench`."""
