"""Connect to a Ray cluster, or start one on this machine that accepts local connections only.

`ray` is imported here alone, when `--ray` is given.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from separate.batch.pool import processors
from separate.errors import SettingsError, one_line

BUSY_NODE_MS = "120000"  # how long a node may not answer: one whose processors are all busy
_STORE_BYTES = 100 << 20  # of a local Ray: what passes through are records


@dataclass(frozen=True)
class RayOptions:
    """Which cluster, and how many workers of what size."""

    address: str | None = None  # host:port, "auto", ray://host:port; None: one on this machine
    workers: int | None = None  # None: as many as the cluster has room for
    gpus_per_worker: float = 0.0  # a part of one lets several workers share it

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SettingsError: One is out of its range.
        """
        if self.workers is not None and self.workers < 1:
            raise SettingsError(f"--jobs {self.workers}: give 1 or more")
        if not 0 <= self.gpus_per_worker <= 64:
            raise SettingsError(f"--gpus-per-worker {self.gpus_per_worker}: give 0 to 64")


def room(ray: Any, options: RayOptions, threads: int) -> int:
    """Count the workers that the nodes have room for.

    Raises:
        SettingsError: None.
    """
    found = 0
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            found += int(
                min(
                    has.get("CPU", 0) // threads,
                    has.get("GPU", 0) / options.gpus_per_worker if options.gpus_per_worker else 1e9,
                )
            )
    if not found:
        gpus = f" and {options.gpus_per_worker:g} GPU" if options.gpus_per_worker else ""
        raise SettingsError(
            f"no node of the Ray cluster has {threads} CPU{gpus} for a worker; change --threads or"
            " --gpus-per-worker"
        )
    return found


@contextmanager
def connect(options: RayOptions, threads: int, most: int) -> Iterator[Any]:
    """Connect to a cluster, or start one on this machine that nobody else reaches.

    Raises:
        SettingsError: Ray is not installed, or the cluster can't be reached.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if options.address is None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        # Ray's own switch for clusters of one machine: every port is opened on 127.0.0.1 alone.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ.setdefault("RAY_health_check_timeout_ms", BUSY_NODE_MS)
    try:
        import ray
    except ImportError as error:
        raise SettingsError("--ray needs more: pip install 'separate-audio[ray]'") from error
    if ray.is_initialized():  # by the program that uses this library
        room(ray, options, threads)
        yield ray
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if options.address is None:
            asked = threads * min(options.workers or 1, most)
            ray.init(
                address="local",
                num_cpus=max(processors(), asked),
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                **quiet,
            )
        else:
            ray.init(address=options.address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError, ImportError) as error:
        reason = one_line(error)[:200]
        raise SettingsError(
            f"--ray {options.address or ''}: no cluster there ({reason})"
        ) from error
    finally:
        _restore(handler)
    try:
        room(ray, options, threads)
        yield ray
    finally:
        ray.shutdown()
        _restore(handler)


def _restore(handler: Any) -> None:
    """Give SIGTERM back to whom it belonged; Ray takes it."""
    if threading.current_thread() is threading.main_thread() and handler is not None:
        signal.signal(signal.SIGTERM, handler)
