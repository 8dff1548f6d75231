"""The panel and what lies over the picture, drawn with Dear ImGui.

Only this package imports `imgui_bundle`, apart from `windowing.py`; the viewer runs without it.
"""
