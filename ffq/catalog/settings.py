"""How scans are divided: settings of a coordinator, which know nothing of tables."""

from __future__ import annotations

import attrs
from attrs import validators


@attrs.frozen
class ScanSettings:
    """How finely a scan is divided.

    Attributes:
        target_bytes: largest share, about: stored bytes of the columns that are read. Below that
            a scan has as many shares as there are slots. A worker of little memory runs what
            gathers rows on a part of its share at a time.
        max_shares: most shares, and so tasks, of one scan.
    """

    target_bytes: int = attrs.field(default=64 * 1024 * 1024, validator=validators.ge(1))
    max_shares: int = attrs.field(default=128, validator=validators.ge(1))


DEFAULT_SCANS = ScanSettings()
