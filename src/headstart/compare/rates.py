"""`search_rate`: what rising learning rates do to one model on somebody's pictures."""

from headstart.catalog.entry import ModelEntry
from headstart.compare.candidates import find_entries, list_candidates
from headstart.compare.evidence import load_candidate
from headstart.compare.pictures import all_pictures, list_parts, open_store, prepare_splits
from headstart.compare.records import CompareOptions, Tuning
from headstart.compare.tuned import hold_out
from headstart.core.progress import SILENT, Progress
from headstart.data import ImageDataset, Splits
from headstart.data.dataset import concatenate
from headstart.data.split import Sample
from headstart.embed import sample_sides
from headstart.train.fine_tuning import TuneOptions
from headstart.train.rate_finder import RateSearch, find_rate


def search_rate(
    model: ModelEntry | str,
    pictures: Splits | ImageDataset | Sample,
    *,
    tuning: Tuning = Tuning(),
    options: CompareOptions = CompareOptions(),
    progress: Progress = SILENT,
) -> RateSearch:
    """Return what rising learning rates do to one model; nothing is kept.

    Arguments and errors are those of `headstart.compare.tune_one`.
    """
    candidate = list_candidates(find_entries([model]).entries, options)[0]
    with open_store([candidate], all_pictures(pictures), options) as store:
        prepared = prepare_splits(pictures, seed=options.seed, keeper=store, progress=progress)
        splits = hold_out(prepared, seed=options.seed)
        sides = sample_sides(concatenate(list_parts(splits)))
        classifier = load_candidate(candidate, splits.train, sides, store=store, progress=progress)
        return find_rate(
            classifier,
            splits,
            recipe=tuning.recipe_for(splits.train.class_counts()),
            options=TuneOptions(device=options.device, seed=options.seed),
            store=store,
            progress=progress,
        )
