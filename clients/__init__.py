"""Honest clients: the ClientApp, local training, and one file for each defense."""
