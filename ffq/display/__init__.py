"""Rows as text for people: cells, and aligned tables of them."""
