"""Files that are compressed or decompressed one after another, in this process or in several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache, partial
from typing import Any, TypeAlias, TypeVar

from gridcode.cli.codec.files import Job
from gridcode.cli.shared.models import CodecModel
from gridcode.errors import GridcodeError

Result = TypeVar("Result")
Work: TypeAlias = Callable[[Any, Job], Result]


def worked(
    work: Work[Result], model: CodecModel, jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, Result | GridcodeError]]:
    """Do jobs, and tell of each in order what came of it: a result, or the error that it ended with.

    Args:
        work: What is done; it goes to other processes.
        model: By which codec.
        jobs: The jobs.
        workers: Processes, which share the cores; 1 is this one.

    Raises:
        GridcodeError: There are fewer than one, the codec cannot be loaded, or a process died.
    """
    if workers < 1:
        raise GridcodeError(f"--workers must be at least 1, got {workers}")
    workers = min(workers, len(jobs))
    if workers <= 1:
        codec = model.load()
        yield from ((job, _tried(work, codec, job)) for job in jobs)
        return
    import torch

    from gridcode.training.processes import processes

    with processes(workers, threads=max(1, torch.get_num_threads() // workers)) as pool:
        try:
            yield from zip(jobs, pool.map(partial(_in_process, work, model), jobs), strict=True)
        except BrokenProcessPool:
            raise GridcodeError("a process died, perhaps for want of memory; give fewer --workers") from None


@lru_cache(maxsize=1)
def _codec_of(model: CodecModel) -> Any:
    """A model's codec, loaded once a process."""
    return model.load()


def _in_process(work: Work[Result], model: CodecModel, job: Job) -> Result | GridcodeError:
    return _tried(work, _codec_of(model), job)


def _tried(work: Work[Result], codec: Any, job: Job) -> Result | GridcodeError:
    """The error of a job; what is wrong with the codec is none."""
    try:
        return work(codec, job)
    except GridcodeError as error:
        return error.with_traceback(None)
