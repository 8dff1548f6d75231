"""The two trainings: the oracle from true depth, then the shading network under it."""
