"""How good and how fast: metrics on held-out views, cost counted from the networks."""
