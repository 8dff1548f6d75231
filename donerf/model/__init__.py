"""The method: from rays to colors. Read `pipeline.py` first."""
