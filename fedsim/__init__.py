"""fedsim: a federated-learning simulator with the gradient-inversion adversary inside.

Importing this package is cheap: neither torch nor Flower is loaded.
"""

__version__ = "0.1.0"
