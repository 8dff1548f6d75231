"""The peers that a benchmark needs beside us, behind the same Renderer."""
