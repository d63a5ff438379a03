"""The honest side: the ClientApp, local training, and one file for each defense."""
