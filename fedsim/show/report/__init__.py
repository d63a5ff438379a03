"""Reports: one HTML file for a run, a comparison or a folder of runs, that needs nothing else.

Reads logs alone, and loads neither torch nor Flower.
"""
