"""`tune_one` in one process a worker, which Ray Train starts, holds together and starts again."""

import shutil
from pathlib import Path
from typing import Any

import ray.train
from ray.train.torch import TorchTrainer

from headstart.catalog.entry import ModelEntry
from headstart.cluster.ray_runner import RayRunner
from headstart.compare import load_comparison, tune_one
from headstart.compare.records import CompareOptions, Comparison, Tuning
from headstart.compare.run_folder import COMPARISON_FILE
from headstart.compare.tune import own_folder, tune_folder
from headstart.core.errors import ClusterError, HeadstartError
from headstart.data import ImageDataset, Splits
from headstart.data.split import Sample

_MAX_FAILURES = 3  # nodes lost in one training; each time it goes on from its last checkpoint


def tune_on(
    runner: RayRunner,
    model: ModelEntry | str,
    pictures: Splits | ImageDataset | Sample,
    *,
    tuning: Tuning = Tuning(),
    out: Path | str | None = None,
    options: CompareOptions = CompareOptions(),
) -> Comparison:
    """Fine-tune one model on all workers of a cluster together.

    Pictures and the run's folder lie on storage that every node sees under the same path: when a node was
    lost the training goes on from there, wherever its first process then is.

    Arguments are those of `tune_one`, with the cluster in the first place.

    Raises:
        ClusterError: nodes were lost too often, or the run's folder did not come to be seen here.
        HeadstartError: all that `tune_one` raises.
    """
    folder = Path(out or tune_folder(pictures)).absolute()
    rays = folder.with_name(f".{folder.name}-ray")  # Ray Train's own notes, of no use afterwards
    trainer = TorchTrainer(
        _tune,
        train_loop_config={"arguments": (model, pictures, tuning, folder, options)},
        scaling_config=ray.train.ScalingConfig(
            num_workers=runner.num_workers,
            use_gpu=bool(runner.share.num_gpus),
            resources_per_worker={"CPU": runner.share.num_cores},
        ),
        run_config=ray.train.RunConfig(
            name="train",
            storage_path=str(rays),
            failure_config=ray.train.FailureConfig(max_failures=_MAX_FAILURES),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:  # Ray Train wraps what a worker raised, in ways that differ by version
        raise _cause(error) from error
    finally:
        shutil.rmtree(rays, ignore_errors=True)
    if not (folder / COMPARISON_FILE).is_file():
        raise ClusterError(
            f"the training ended, and {folder} is not to be seen here",
            hint="--out must lie on storage that all nodes see under the same path",
        )
    return load_comparison(folder)


def _tune(config: dict[str, Any]) -> None:
    """Run in every worker, where Ray Train has set the variables that `torchrun` would set."""
    model, pictures, tuning, folder, options = config["arguments"]
    with own_folder(folder) as own:
        tune_one(model, pictures, tuning=tuning, out=own, options=options)


def _cause(error: BaseException) -> HeadstartError:
    """Return the error of ours that lies behind one of Ray Train's."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        found = waiting.pop()
        if isinstance(found, HeadstartError):
            return found
        if id(found) in seen:
            continue
        seen.add(id(found))
        inner = [found.__cause__, getattr(found, "cause", None), *_of_workers(found)]
        waiting += [each for each in inner if isinstance(each, BaseException)]
    lines = [line for line in str(error).splitlines() if line.strip()]
    return ClusterError(
        f"the training on the cluster failed: {lines[-1] if lines else type(error).__name__}",
        hint="run the same command again: it goes on from the last checkpoint",
    )


def _of_workers(error: BaseException) -> list[object]:
    failures = getattr(error, "worker_failures", None)
    return list(failures.values()) if isinstance(failures, dict) else []
