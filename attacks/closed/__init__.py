"""Closed forms: attacks that compute the data instead of searching for them."""
