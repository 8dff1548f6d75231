"""The fast path on a CPU: compiled loops around oneDNN's matrix products, tile by tile."""
