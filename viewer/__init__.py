"""Fly through a neural scene in a window, or film the flight where there is no display.

`session.py` decides what is to be seen, `worker.py` has it rendered, `window.py` shows it.
"""
