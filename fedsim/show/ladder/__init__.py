"""Ladder of an audit, as sentences, a table and a page."""
