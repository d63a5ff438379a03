"""Reports: one self-contained HTML file for a run, a comparison or a folder of runs.

This package reads only logs, and loads neither torch nor Flower.
"""
