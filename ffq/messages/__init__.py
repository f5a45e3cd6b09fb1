"""What the parts of ffq say to each other: frozen values, no behaviour, no mutable object.

Five files: `vocabulary` (what everybody speaks of), `requests` (what the outer world may ask of a
coordinator, one message per RPC), `statuses` (how it says that things stand), `exchange` (what goes
over a worker's stream), `internal` (what its parties tell each other).
"""

from ffq.messages.exchange import *  # noqa: F403
from ffq.messages.internal import *  # noqa: F403
from ffq.messages.requests import *  # noqa: F403
from ffq.messages.statuses import *  # noqa: F403
from ffq.messages.vocabulary import *  # noqa: F403
