"""Bounds that several parts hold to, for those that need no messages to know them."""

from __future__ import annotations

from typing import Final

MAX_AHEAD: Final = 128
"""Attempts that may wait with one worker for a slot of it, whatever either side says."""
