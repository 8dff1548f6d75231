"""Cameras, rays and the spaces they live in: pure functions, no networks."""
