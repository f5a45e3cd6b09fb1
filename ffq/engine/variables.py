"""Variables of the environment by which client libraries find stores and what lets them in."""

from __future__ import annotations

import re
from typing import Final

ENVIRONMENT: Final = re.compile(
    r"(AWS|GOOGLE|GCSFS|FSSPEC)_\w+|STORAGE_EMULATOR_HOST|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE"
    r"|(https?|no)_proxy",
    re.IGNORECASE,
)
