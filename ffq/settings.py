"""Settings from flags and environment variables, parsed once at the start of a process.

A flag wins over its variable, the variable over the default. An empty variable counts as not set.
A bad value is refused with the name it came under, so that the one line on the screen says what to
change: "FFQ_WORKER_CPU_SLOTS: 'abc' is not an integer >= 1".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from ffq.catalog import ScanSettings
from ffq.core.settings import MAX_MS, CoordinatorSettings
from ffq.endpoint import DEFAULT_COORDINATOR, parse_endpoint
from ffq.errors import InvalidRequest, words
from ffq.ids import checked_id
from ffq.rpc.options import DEFAULT_OPTIONS, MAX_MESSAGE_BYTES, MESSAGE_OVERHEAD, RpcOptions
from ffq.sql.limits import PlanningLimits

_MIB = 1024 * 1024
DEFAULT_ONE_TASK_BYTES = 8 * _MIB
_SWITCH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
DEFAULT_SHUFFLE_PORT = 50061
LIVENESS_TIMEOUT = ("worker_liveness_timeout_ms", "FFQ_WORKER_LIVENESS_TIMEOUT_MS")


@attrs.frozen
class Given:
    """A setting that was given: the flag or variable it came under, and its text."""

    label: str
    text: str


@attrs.frozen
class SettingSource:
    """Where values come from: flags given (None: not given) and the environment.

    A flag's key is its name with underscores: `worker_id` for `--worker-id`. Every getter raises
    InvalidRequest naming the flag or variable when the value is bad.
    """

    flags: Mapping[str, object | None]
    environ: Mapping[str, str]

    def find(self, name: str, variable: str) -> Given | None:
        """None when the setting is left to its default."""
        flag = self.flags.get(name)
        if flag is not None:
            return Given(f"--{name.replace('_', '-')}", str(flag))
        text = self.environ.get(variable, "")
        return Given(variable, text) if text else None

    def integer(
        self, name: str, variable: str, default: int, *, minimum: int, maximum: int = MAX_MS
    ) -> int:
        found = self.find(name, variable)
        return default if found is None else _integer(found, minimum, maximum)

    def text(self, name: str, variable: str, default: str = "") -> str:
        found = self.find(name, variable)
        return default if found is None else found.text

    def path(self, name: str, variable: str) -> Path | None:
        text = self.text(name, variable)
        return Path(text) if text else None

    def switch(self, name: str, variable: str, *, default: bool) -> bool:
        found = self.find(name, variable)
        if found is None:
            return default
        if (value := _SWITCH.get(found.text.lower())) is None:
            raise InvalidRequest(
                f"{found.label}: {words(found.text, 40)} is neither true nor false"
            )
        return value

    def identifier(self, name: str, variable: str, default: str) -> str:
        found = self.find(name, variable)
        return default if found is None else checked_id(found.text, f"{found.label}:")

    def endpoint(self, name: str, variable: str, default: str) -> str:
        """`host:port`, from that or `http://host:port`."""
        found = self.find(name, variable)
        return default if found is None else parse_endpoint(found.text, f"{found.label}:")

    def bind(self, name: str, variable: str, default: str) -> str:
        """Like `endpoint`; port 0 asks for any free port."""
        found = self.find(name, variable)
        if found is None:
            return default
        return parse_endpoint(found.text, f"{found.label}:", allow_any_port=True)


def _integer(given: Given, minimum: int, maximum: int = MAX_MS) -> int:
    try:
        value = int(given.text)
    except ValueError:
        value = minimum - 1
    if value < minimum:
        raise InvalidRequest(
            f"{given.label}: {words(given.text, 40)} is not an integer >= {minimum}"
        )
    if value > maximum:
        raise InvalidRequest(f"{given.label}: {words(value, 40)} is more than {maximum}")
    return value


@attrs.frozen
class GatewaySettings:
    """A coordinator process.

    Attributes:
        bind: where it listens; port 0 picks a free one.
        catalog_path: None: tables are left to the workers' catalogs.
        shuffle_root: the folder that peers on the fixed wire share; None: there is none.
        scans: how finely scans are divided.
        planning: what planning a query's SQL may take.
        one_task_bytes: a query in SQL that reads less, stored, is one task; 0: none is.
        client_tables: whether queries may bring tables, or name files.
        results_in: where files of results are; None: where temporary files are.
    """

    bind: str
    catalog_path: Path | None = None
    coordinator: CoordinatorSettings = attrs.field(factory=CoordinatorSettings)
    rpc: RpcOptions = DEFAULT_OPTIONS
    shuffle_root: Path | None = None
    scans: ScanSettings = attrs.field(factory=ScanSettings)
    planning: PlanningLimits = attrs.field(factory=PlanningLimits)
    one_task_bytes: int = DEFAULT_ONE_TASK_BYTES
    client_tables: bool = True
    results_in: Path | None = None


def gateway_settings(source: SettingSource) -> GatewaySettings:
    """Parse the settings of `ffq gateway`. Raises InvalidRequest naming the bad one.

    A task that no message holds is not to be assigned: `max_task_bytes` is at most what fits.
    """
    coordinator, rpc = coordinator_settings(source), rpc_options(source)
    largest = rpc.max_message_bytes - MESSAGE_OVERHEAD
    if coordinator.max_assignment_bytes > largest:
        raise InvalidRequest(
            f"FFQ_MAX_MESSAGE_BYTES: {rpc.max_message_bytes} is too small for answers of "
            f"FFQ_MAX_ASSIGNMENT_BYTES = {coordinator.max_assignment_bytes}; right would be at "
            f"least {coordinator.max_assignment_bytes + MESSAGE_OVERHEAD}"
        )
    return GatewaySettings(
        bind=source.bind("bind", "FFQ_COORDINATOR_BIND", DEFAULT_COORDINATOR),
        catalog_path=source.path("catalog", "FFQ_COORDINATOR_CATALOG_PATH"),
        coordinator=attrs.evolve(
            coordinator, max_task_bytes=min(coordinator.max_task_bytes, largest)
        ),
        rpc=rpc,
        shuffle_root=source.path("shuffle_root", "FFQ_SHUFFLE_ROOT"),
        scans=ScanSettings(
            target_bytes=source.integer(
                "scan_target_bytes",
                "FFQ_SCAN_TARGET_BYTES",
                ScanSettings().target_bytes,
                minimum=1,
            )
        ),
        planning=PlanningLimits(
            time_ms=source.integer(
                "planning_timeout_ms",
                "FFQ_PLANNING_TIMEOUT_MS",
                PlanningLimits().time_ms,
                minimum=1,
            ),
            memory_bytes=_MIB
            * source.integer(
                "planning_memory_mb",
                "FFQ_PLANNING_MEMORY_MB",
                PlanningLimits().memory_bytes // _MIB,
                minimum=1,
            ),
        ),
        one_task_bytes=one_task_bytes(source),
        client_tables=source.switch("client_tables", "FFQ_CLIENT_TABLES", default=True),
    )


def one_task_bytes(source: SettingSource) -> int:
    """As of GatewaySettings; raises InvalidRequest naming the bad one."""
    return source.integer("one_task_bytes", "FFQ_ONE_TASK_BYTES", DEFAULT_ONE_TASK_BYTES, minimum=0)


def rpc_options(source: SettingSource) -> RpcOptions:
    """Bounds of gRPC servers and channels; raises InvalidRequest naming the bad one."""
    return RpcOptions(
        max_message_bytes=source.integer(
            "max_message_bytes",
            "FFQ_MAX_MESSAGE_BYTES",
            DEFAULT_OPTIONS.max_message_bytes,
            minimum=DEFAULT_OPTIONS.chunk_bytes + MESSAGE_OVERHEAD,
            maximum=MAX_MESSAGE_BYTES,
        )
    )


def coordinator_settings(source: SettingSource) -> CoordinatorSettings:
    """Every field of CoordinatorSettings, by its variable `FFQ_FIELD_NAME`.

    For those that the command has a flag for, `--field-name` wins over it.
    """
    settings = CoordinatorSettings()
    for field in attrs.fields(CoordinatorSettings):
        found = source.find(field.name, f"FFQ_{field.name.upper()}")
        if found is None:
            continue
        try:
            settings = attrs.evolve(settings, **{field.name: _integer(found, 0)})
        except InvalidRequest as error:
            text = error.message
            raise InvalidRequest(
                text if text.startswith(found.label) else f"{found.label}: {text}"
            ) from None
    return settings
