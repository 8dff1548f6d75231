"""The pipeline on an NVIDIA GPU as two fused kernels, written in Triton.

Nothing here imports triton before a renderer for such a GPU is made: the modules that hold kernels
(grid, layers, rays, place, shade) are imported inside functions.
"""
