"""The FastAPI page under a real server is for the gate: it takes a cluster of processes."""

from __future__ import annotations

from tests.profiles import IS_QUICK

collect_ignore = ["test_fastapi_page.py"] if IS_QUICK else []
