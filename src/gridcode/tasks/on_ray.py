"""Tokenizing on a Ray cluster: the same store as :func:`gridcode.tasks.tokenize.tokenize` makes, shard by shard.

    driver:  plan the shards ──> hand them out ──> list those that are there ──> complete the store
    actors:  read, decode, encode the examples of a shard ──> write it under another name ──> rename

A task is a whole shard, and a shard has a name before it is made. So each is written exactly once whatever dies: Ray
starts an actor that was killed again and gives it its task again, and after the driver's death the next run of the same
command makes what is missing. Reading runs in ``data.workers`` processes beside each actor, so that decoding overlaps
with encoding and full batches never cross the network.

Ray Data would do the reading and the batching too. It was not taken: its writers name files by tasks of their own, its
order of rows and so the store depend on timing, and two of its known troubles (actor pools of two stages that do not
overlap, ray#44767; ``map_batches`` slower than a loop, ray#44905) do not arise where an actor does both.

The data and the store's folder must lie where every node finds them; the tokenizer goes over the network.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gridcode.errors import FileError, GridcodeError, NothingReadableError
from gridcode.store.manifest import Manifest, Shard, shard_name
from gridcode.store.reader import TokenStore
from gridcode.store.shared import Plan, begin, commit, complete, make_shard
from gridcode.store.writer import record_batch
from gridcode.tasks.tokenize import StoreOptions, encoded, manifest_of, total_of
from gridcode.tokenizer.model import Tokenizer

SHARD_EXAMPLES: Final = 16_384
"""Examples of a shard, about: a whole number of batches. Of a stream, a shard of tokens is one of images."""
_IN_HAND: Final = 2
"""Shards that an actor has in hand, so that it never waits for the driver."""
_COMMIT_SECONDS: Final = 10.0
"""How often the shards that are there are listed."""
_TRIES: Final = 20
"""Deaths of its actor that a shard survives; after so many, it is the shard that kills."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RayOptions:
    """Where a store is made.

    Attributes:
        actors: Processes that encode; None for one a GPU of the cluster, or on CPUs one for each group of them that an
            actor and its readers take.
        address: A running cluster, as ``ray.init`` takes it ("auto" for the one of this machine); None starts one here.
        device: Where actors encode: 'cpu', or 'cuda' for a GPU each.
    """

    actors: int | None = None
    address: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.actors is not None and self.actors < 1:
            raise GridcodeError(f"actors must be at least 1, got {self.actors}")
        if self.device not in ("cpu", "cuda"):
            raise GridcodeError(
                f"actors encode on cpu or on cuda, a GPU each, not on {self.device}; give one of the two"
            )


@dataclass(frozen=True)
class Made:
    """What became of a shard: there, or None where there was nothing for it; and what could not be read for it."""

    shard: Shard | None
    examples: int
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """What every actor must know.

    Attributes:
        data: How examples are read.
        options: The store's folder, size of a batch, precision and flips.
        manifest: The store's.
        device: Where it encodes.
        folder: Where the command was called: paths may start from there.
    """

    data: Any
    options: StoreOptions
    manifest: Manifest
    device: str
    folder: str = field(default_factory=os.getcwd)


class ShardMaker:
    """Makes shards, in a process of its own."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._fetched: tuple[Tokenizer, Mapping[str, Any]] | None = None

    def make(self, large: list[Any], split: str, number: int, places: range) -> Made | GridcodeError:
        """Make a shard. An error is returned: Ray would wrap a raised one into a traceback, and try again.

        Args:
            large: References to the tokenizer and to the examples by split name, in a list: Ray would fetch bare ones
                for every shard.
            split: The shard's split.
            number: The shard's number in it.
            places: Its examples, as the source cut them.
        """
        try:
            if self._fetched is None:
                tokenizer, splits = package().get(large)
                self._fetched = tokenizer.to(self._job.device), splits
            return self._make(*self._fetched, split, number, places)
        except GridcodeError as error:
            return error.with_traceback(None)

    def _make(self, tokenizer: Tokenizer, splits: Mapping[str, Any], split: str, number: int, places: range) -> Made:
        job, batches = self._job, []
        try:
            os.chdir(job.folder)
        except OSError as error:
            raise FileError(
                f"{job.folder}, where the command was called, cannot be entered on {socket.gethostname()} "
                f"({error.strerror}); call it from a folder that every machine has"
            ) from None
        count, skipped = 0, list[str]()
        try:
            for rows in encoded(tokenizer, split, splits[split].cut(places), job.data, job.options):
                batches.append(record_batch(job.manifest, rows.tokens, rows.labels, rows.keys, rows.columns))
                count += rows.examples
                skipped += rows.skipped
        except NothingReadableError as error:
            return Made(None, 0, (str(error),))
        return Made(make_shard(job.options.out, job.manifest, split, number, batches), count, tuple(skipped))


def tokenize_on_ray(
    tokenizer: Tokenizer,
    splits: Mapping[str, Any],
    data: Any,
    options: StoreOptions,
    where: RayOptions | None = None,
    *,
    progress: Callable[[int, int | None], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> TokenStore:
    """Encode every example of every split, in order, with the processes of a Ray cluster.

    A store in ``options.out`` that was begun with the same tokenizer, examples and settings is gone on with.

    Args:
        tokenizer: In evaluation mode, on the CPU.
        splits: The examples, by split name: sources that can be cut, as :class:`gridcode.data.source.Source`.
        data: How they are read; ``data.workers`` processes read for each actor.
        options: Where and how.
        where: The cluster.
        progress: Called with (examples done, examples in all); None where a stream's number is not known.
        say: Called with what a person wants to know of the cluster, a line each.

    Returns:
        The written store, opened.

    Raises:
        GridcodeError: Ray is not installed, an example cannot be read, the folder is occupied, or the examples are
            others than those that the tokenizer learned.
    """
    ray, where = package(), where or RayOptions()
    manifest, total = manifest_of(tokenizer, splits, data, options), total_of(splits.values())
    size = -(-SHARD_EXAMPLES // options.batch_size) * options.batch_size
    cuts = {split: source.cuts(size) for split, source in splits.items()}
    examples = {split: tokenizer.domain.identity(source) for split, source in splits.items()}
    plan = Plan(size, {split: len(places) for split, places in cuts.items()}, examples)
    shards = begin(options.out, manifest, plan, overwrite=options.force)
    say = say or (lambda line: None)
    if shards:
        say(f"going on: {len(shards):,} of {sum(plan.shards.values()):,} shards are there")
    missing = [(*name, cuts[name[0]][name[1]]) for name in plan.names() if name not in shards]
    done = sum(len(cuts[split][number]) for split, number in shards) if total is not None else 0
    if missing:
        told = time.monotonic()
        job = Job(data, options, manifest, where.device)
        for name, made in _hand_out(ray, job, (tokenizer, dict(splits)), missing, where, say):
            for message in made.skipped:
                _log.warning("skipped %s", message)
            if made.shard is not None:
                shards[name] = made.shard
            done += made.examples
            if progress is not None:
                progress(done, total)
            if time.monotonic() - told > _COMMIT_SECONDS:
                commit(options.out, manifest, shards, plan)
                told = time.monotonic()
    if not shards:
        raise NothingReadableError(f"{options.out}: none of the examples can be read; check data.source")
    complete(options.out, manifest, shards, plan)
    return TokenStore.open(options.out, tokenizer=manifest.tokenizer)


def package() -> Any:
    """The library.

    Raises:
        GridcodeError: It is not installed.
    """
    try:
        import ray
    except ImportError:
        raise GridcodeError("the engine ray needs Ray, which is not installed: pip install 'gridcode[ray]'") from None
    return ray


def _hand_out(
    ray: Any,
    job: Job,
    large: tuple[Tokenizer, Mapping[str, Any]],
    tasks: Sequence[tuple[str, int, range]],
    where: RayOptions,
    say: Callable[[str], None],
) -> Iterator[tuple[tuple[str, int], Made]]:
    """The shards of some tasks (split, number, places), by split and number, as they come."""
    joined = not ray.is_initialized()
    if joined:
        _join(ray, where.address)
    try:
        references = [ray.put(value) for value in large]
        makers = _makers(ray, job, len(tasks), where, say)
        waiting, running = deque(tasks), dict[Any, tuple[str, int, Any]]()

        def give(maker: Any) -> None:
            if waiting:
                split, number, places = waiting.popleft()
                running[maker.make.remote(references, split, number, places)] = split, number, maker

        for maker in makers * _IN_HAND:
            give(maker)
        while running:
            for reference in ray.wait(list(running))[0]:
                split, number, maker = running.pop(reference)
                try:
                    made = ray.get(reference)
                except ray.exceptions.RayTaskError:
                    raise
                except ray.exceptions.RayError as error:
                    raise GridcodeError(
                        f"{shard_name(split, number)}: the process that makes it died {_TRIES + 1} times "
                        f"({str(error).splitlines()[0]}); lower batch_size or data.workers if memory ran out"
                    ) from None
                if isinstance(made, GridcodeError):
                    raise made
                give(maker)
                yield (split, number), made
    finally:
        if joined:
            ray.shutdown()


def _join(ray: Any, address: str | None) -> None:
    """Join a cluster, or start one of this machine.

    Raises:
        GridcodeError: There is no cluster at the address.
    """
    settings = {"address": "local", "include_dashboard": False} if address is None else {"address": address}
    try:
        if address is not None:
            _knock(address)
        ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GridcodeError(f"no Ray cluster at {address or 'this machine'} ({reason}); check address") from None


def _knock(address: str) -> None:
    """Open a connection to a cluster's head: where none answers, ``ray.init`` would wait for minutes without a word.

    Raises:
        OSError: None answers.
    """
    # What "auto" means, where RAY_ADDRESS does not say.
    latest = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray/ray_current_cluster"
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or (latest.read_text() if latest.is_file() else "")
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def _makers(ray: Any, job: Job, most: int, where: RayOptions, say: Callable[[str], None]) -> list[Any]:
    """At most ``most`` actors, each with CPUs for itself and its readers, and on 'cuda' with a GPU.

    Raises:
        GridcodeError: The cluster has too few GPUs.
    """
    total = ray.cluster_resources()
    gpus, cpus = int(total.get("GPU", 0)), total.get("CPU", 1.0)
    largest = max(node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"])
    each = max(1, min(1 + getattr(job.data, "workers", 0), int(largest)))
    count = min(where.actors or (gpus if job.device == "cuda" else max(1, int(cpus // each))), most)
    if job.device == "cuda" and not 1 <= count <= gpus:
        raise GridcodeError(
            f"the cluster has {gpus} GPUs for {where.actors or 1} actors; lower actors, or encode on cpu"
        )
    if count * each > cpus:  # asked for more than there are: they share
        each = max(1, int(cpus // count))
    shared = cpus / count if count > cpus else each
    say(
        f"ray: {count} actor{'s' * (count != 1)} on {job.device}, with {shared:g} CPU{'s' * (shared != 1)} each, of "
        f"{len(ray.nodes())} nodes"
    )
    maker = ray.remote(ShardMaker).options(
        num_cpus=shared, num_gpus=int(job.device == "cuda"), max_restarts=-1, max_task_retries=_TRIES
    )
    return [maker.remote(job) for _ in range(count)]
