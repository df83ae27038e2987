"""What fine-tuning does and what it does about what goes wrong: pictures, numbers, memory."""

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import headstart as hs
from headstart.core.errors import DataError, InputError, ModelError, TrainingError
from headstart.data import Splits
from headstart.embed import PixelStore, pixels
from headstart.models import Classifier, load_folder, save_folder
from headstart.models.batch_norm import batch_norms
from headstart.train import Recipe, TuneOptions, choose_recipe, fine_tune, training
from headstart.train.augmentation import draw_variation
from headstart.train.growth import Growth
from headstart.train.layers import Trainee
from headstart.train.tuner import Batch, Tuner

Tune = Callable[..., Classifier]
Same = Callable[[Classifier, Classifier], None]


def make_tuner(begun: Classifier, recipe: Recipe, *, num_steps: int = 8, steps_per_epoch: int = 4) -> Tuner:
    from headstart.train.processes import Alone

    network = copy.deepcopy(begun)
    assert isinstance(network.head, nn.Linear)
    return Tuner(
        Trainee(network.backbone, network.head, recipe=recipe),
        recipe,
        preprocessing=begun.preprocessing,
        growth=Growth(sides=(32,), num_steps=num_steps),
        steps_per_epoch=steps_per_epoch,
        precision=None,
        processes=Alone(),
        seed=0,
    )


def backbone_changes(before: Classifier, after: Classifier) -> list[str]:
    """Return the names of the backbone's tensors that differ."""
    old = before.backbone.state_dict()
    return [name for name, each in after.backbone.state_dict().items() if not torch.equal(each, old[name])]


def test_the_starter_network_learns_and_the_given_one_stays(fast: TuneOptions, few_digits: Splits) -> None:
    network = hs.load("efficientnet_lite0")
    network = network.with_preprocessing(replace(network.preprocessing, input_size=(32, 32)))
    before = {name: each.clone() for name, each in network.state_dict().items()}
    few = replace(
        few_digits, train=few_digits.train.select(range(48)), val=few_digits.train.select(range(16))
    )
    recipe = replace(choose_recipe("full", few.train.class_counts()), epochs=2, batch_size=16, warm_up=0.0)
    tuned = fine_tune(network, few, recipe=recipe, options=fast)
    assert type(tuned) is Classifier
    assert tuned.class_names == few.train.class_names
    assert tuned.history is not None
    assert tuned.history.chosen in (1, 2)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    changed = backbone_changes(network, tuned)
    norms = [name for name, _ in network.backbone.named_buffers()]
    assert not set(changed) & set(norms)  # frozen
    weights = {name for name, each in network.backbone.named_parameters() if each.ndim > 1}
    assert weights <= set(changed)


def test_a_temperature_from_before_is_forgotten(tune: Tune, begun: Classifier, brief: Recipe) -> None:
    sharp = begun.with_temperature(0.2)
    tuned = tune(sharp, recipe=replace(brief, start="probe", epochs=1))
    assert tuned.temperature == 1.0
    assert sharp.temperature == 0.2


def test_last_layer_leaves_every_tensor_of_the_backbone_as_it_was(
    tune: Tune, begun: Classifier, brief: Recipe
) -> None:
    tuned = tune(recipe=replace(brief, layers="last", epochs=1))
    assert backbone_changes(begun, tuned) == []
    assert not torch.equal(tuned.state_dict()["head.weight"], begun.state_dict()["head.weight"])


def test_the_tutorials_statistics_drift_while_its_weights_stay(
    begun: Classifier, few_digits: Splits, fast: TuneOptions
) -> None:
    recipe = replace(choose_recipe("tutorial", few_digits.train.class_counts()), epochs=1)
    tuned = fine_tune(begun, few_digits, recipe=recipe, options=fast)
    assert tuned.preprocessing.mean == tuned.preprocessing.std == (0.5, 0.5, 0.5)
    assert tuned.preprocessing.input_size == (32, 32)
    statistics = {name for name, _ in begun.backbone.named_buffers()}
    assert len(statistics) == 3 * len([*batch_norms(begun.backbone)])
    assert set(backbone_changes(begun, tuned)) == statistics


def test_the_tutorials_rate_falls_every_four_epochs(begun: Classifier) -> None:
    recipe = choose_recipe("tutorial", np.full(10, 8))
    tuner = make_tuner(begun, recipe, num_steps=50, steps_per_epoch=5)
    rates = []
    for step in range(50):
        tuner.restore(tuner.tensors(), step)
        rates.append(tuner.rate)
    assert rates == pytest.approx([1e-3] * 20 + [1e-4] * 20 + [1e-5] * 10)


def test_a_batch_that_is_filled_up_trains_as_it_is(begun: Classifier, brief: Recipe) -> None:
    recipe = replace(brief, batch_size=8, mixup=0.0)
    few, filled = make_tuner(begun, recipe), make_tuner(begun, recipe)
    filled._is_filled_up = True  # as on a GPU
    draws = np.random.default_rng(0)
    sizes: list[int] = []
    filled.trainee.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    for count in (8, 3):
        batch = Batch(
            pixels=draws.integers(0, 256, (count, 32, 32, 3), np.uint8),
            drawn=np.stack([draw_variation(recipe, draws) for _ in range(count)]),
            targets=np.eye(len(begun.class_names), dtype=np.float32)[:count],
            partners=None,
            partners_drawn=None,
            shares=np.ones(count, np.float32),
            num_together=count,
        )
        losses = []
        for tuner in (few, filled):
            tuner.begin_epoch(0)
            losses.append(tuner.take_step(batch))
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert sizes == [8, 8]
    for name, each in few.tensors().items():
        assert torch.allclose(each, filled.tensors()[name], rtol=1e-3, atol=1e-5), name


def test_gradual_trains_the_head_alone_first(tune: Tune, begun: Classifier, brief: Recipe) -> None:
    changes: list[list[str]] = []
    judge = training.Training._judge

    def watched(self: Any, trainee: Trainee, *args: Any) -> None:
        merged = begun.backbone.state_dict()
        changes.append([n for n, e in trainee.backbone.state_dict().items() if not torch.equal(e, merged[n])])
        judge(self, trainee, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Training, "_judge", watched)
        tune(recipe=replace(brief, layers="gradual", averaging=0.0, epochs=3))
    assert changes[:2] == [[], []]  # the start, and the first epoch
    assert changes[2]


def test_low_rank_additions_end_in_a_plain_network(
    few_digits: Splits, fast: TuneOptions, brief: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    import timm
    from safetensors.torch import save_file

    path = tmp_path / "vit.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vit = timm.create_model("test_vit", num_classes=7)
    save_file({name: each.contiguous() for name, each in vit.state_dict().items()}, path)
    network = hs.load(f"timm/test_vit@{path}")
    recipe = replace(brief, layers="lora", lora_rank=2, epochs=1, rate=1e-2, averaging=0.0)
    adapted: list[tuple[Trainee, torch.Tensor]] = []
    pictures = torch.randn(2, 3, *network.preprocessing.input_size)
    judge = training.Training._judge

    def watched(self: Any, trainee: Trainee, *args: Any) -> None:
        with torch.inference_mode():
            adapted.append((trainee, trainee.eval()(pictures)))
        judge(self, trainee, *args)

    monkeypatch.setattr(training.Training, "_judge", watched)
    tuned = fine_tune(network, few_digits, recipe=recipe, options=fast)
    assert type(tuned) is Classifier
    assert tuned.backbone.state_dict().keys() == network.backbone.state_dict().keys()
    assert backbone_changes(network, tuned)
    with torch.inference_mode():
        torch.testing.assert_close(tuned(pictures), adapted[-1][1], atol=1e-4, rtol=1e-4)
    save_folder(tuned, tmp_path / "model")
    loaded = load_folder(tmp_path / "model")
    assert loaded.history == tuned.history


def test_a_network_without_linear_layers_is_refused_low_rank_additions(
    tune: Tune, few_digits: Splits
) -> None:
    pytest.importorskip("peft")
    with pytest.raises(InputError, match="of which this network has none"):
        tune(recipe=choose_recipe("lora", few_digits.train.class_counts()))


@pytest.mark.parametrize("change", [{"rate": 1e30}, {"rate": 1e30, "start": "probe"}], ids=str)
def test_a_loss_that_is_no_number_is_told_with_its_cause(
    change: dict[str, Any], tune: Tune, brief: Recipe, tmp_path: Path
) -> None:
    recipe = replace(brief, warm_up=0.0, clipping=0.0, **change)
    with pytest.raises(TrainingError, match=r"loss is (nan|inf) in epoch 1, batch \d \(pictures ") as caught:
        tune(recipe=recipe, out=tmp_path)
    assert "and 12 more" in caught.value.message
    assert "the learning rate is too high" in caught.value.message
    assert "--rate 1e+29" in caught.value.hint


@pytest.mark.parametrize("start", ["fresh head", "probe"])
def test_the_best_epoch_before_is_returned(
    start: Any, tune: Tune, brief: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Tuner.begin_epoch

    def spoiling(self: Tuner, epoch: int) -> None:
        begin(self, epoch)
        if self.step == 5:
            with torch.no_grad():
                self.trainee.head.weight[0, 0] = torch.nan

    recipe = replace(brief, start=start)
    expected = tune(recipe=replace(recipe, patience=0))
    monkeypatch.setattr(Tuner, "begin_epoch", spoiling)
    tuned = tune(recipe=recipe)
    assert tuned.history is not None
    assert expected.history is not None
    assert len(tuned.history.epochs) == 1
    assert tuned.history.epochs[0].log_loss == expected.history.epochs[0].log_loss
    assert tuned.history.chosen in (0, 1)
    assert tuned.history.notes[-1].startswith("ended early: the loss is nan in epoch 2, batch 1 (pictures ")
    assert all(each.isfinite().all() for each in tuned.state_dict().values())


@dataclass(frozen=True)
class Failing:
    """The digits, some of which cannot be read any more from a time on."""

    source: Any
    gone: set[str]

    def read(self, picture_id: str) -> Any:
        if picture_id in self.gone:
            from headstart.core.errors import PictureError

            raise PictureError("the file is gone")
        return self.source.read(picture_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)


def test_pictures_lost_on_the_way_are_left_out_and_noted(
    begun: Classifier,
    few_digits: Splits,
    fast: TuneOptions,
    brief: Recipe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pixels, "_LEFT_FREE_BYTES", 10**18)  # no room: every epoch reads again
    gone: set[str] = set()
    source = Failing(few_digits.train.source, gone)
    assert few_digits.val is not None
    lost = (few_digits.train.ids[3], few_digits.train.ids[50], few_digits.val.ids[7])
    failing = replace(
        few_digits, train=replace(few_digits.train, source=source), val=replace(few_digits.val, source=source)
    )
    begin = Tuner.begin_epoch

    def losing(self: Tuner, epoch: int) -> None:
        if self.step == 5:
            gone.update(lost)
        begin(self, epoch)

    monkeypatch.setattr(Tuner, "begin_epoch", losing)
    with PixelStore([begun.preprocessing], decoder="fast") as store:
        tuned = fine_tune(begun, failing, recipe=brief, options=fast, store=store)
    assert tuned.history is not None
    assert len(tuned.history.epochs) == 3
    assert sorted(tuned.history.notes) == sorted(f"left out: {each}: the file is gone" for each in lost)


def test_a_file_deleted_and_one_corrupted_between_epochs(
    shapes: Path,
    few_shapes: Path,
    begun: Classifier,
    fast: TuneOptions,
    brief: Recipe,
    draw_folder: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pixels, "_LEFT_FREE_BYTES", 10**18)
    folder = draw_folder(tmp_path / "pictures", per_class=12)
    dataset = hs.open_dataset(folder)
    given = tuple("train" if index % 3 else "val" for index in range(len(dataset)))
    splits = replace(dataset, given_splits=given).split()
    deleted, corrupted = splits.train.ids[0], splits.train.ids[9]
    begin = Tuner.begin_epoch

    def losing(self: Tuner, epoch: int) -> None:
        if self.step == 2:
            (folder / deleted).unlink()
            (folder / corrupted).write_bytes(b"\x89PNG\r\n\x1a\nno picture")
        begin(self, epoch)

    monkeypatch.setattr(Tuner, "begin_epoch", losing)
    recipe = replace(brief, batch_size=12, epochs=2)
    tuned = fine_tune(begun, splits, recipe=recipe, options=fast)
    assert tuned.history is not None
    assert len(tuned.history.epochs) == 2
    notes = " ".join(tuned.history.notes)
    assert f"left out: {deleted}: " in notes
    assert f"left out: {corrupted}: " in notes
    assert len(tuned.history.notes) == 2


def too_many(limit: int, *, from_step: int = 0, step: Callable[[], int] = lambda: 0) -> Callable[..., None]:
    def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> None:
        if len(inputs[0]) > limit and step() >= from_step and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    return hook


@pytest.mark.parametrize("from_step", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_too_little_memory_means_smaller_chunks_of_the_same_batch(
    from_step: int, tune: Tune, brief: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = tune(recipe=brief)
    step = [0]
    begin, take = Tuner.begin_epoch, Tuner.take_step

    def hooked(self: Tuner, epoch: int) -> None:
        begin(self, epoch)
        if not self.trainee.head._forward_hooks:
            self.trainee.head.register_forward_hook(too_many(5, from_step=from_step, step=lambda: step[0]))

    def counted(self: Tuner, batch: Any) -> float:
        step[0] = self.step
        return take(self, batch)

    monkeypatch.setattr(Tuner, "begin_epoch", hooked)
    monkeypatch.setattr(Tuner, "take_step", counted)
    tuned = tune(recipe=brief)
    assert tuned.history is not None
    (note,) = tuned.history.notes
    since = "epoch 1, batch 4 on" if from_step else "the start"
    assert note == f"out of memory: 4 pictures at once from {since}, with the same 16 behind each step"
    assert tuned.history.chosen == expected.history.chosen  # type: ignore[union-attr]
    for name, each in expected.state_dict().items():
        torch.testing.assert_close(tuned.state_dict()[name], each, atol=2e-4, rtol=2e-3, msg=name)


def test_no_memory_for_a_single_picture_is_told(tune: Tune, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Tuner.begin_epoch

    def hooked(self: Tuner, epoch: int) -> None:
        begin(self, epoch)
        self.trainee.head.register_forward_hook(too_many(0))

    monkeypatch.setattr(Tuner, "begin_epoch", hooked)
    with pytest.raises(ModelError, match="too small for 1 pictures") as caught:
        tune()
    assert "--batch-size" in caught.value.hint


def test_a_budget_ends_it_after_the_steps_there_is_time_for(
    tune: Tune, fast: TuneOptions, brief: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tuner, "time_step", lambda self, batch: 1.0)
    tuned = tune(recipe=brief, options=replace(fast, budget_seconds=11.0))
    assert tuned.history is not None
    assert len(tuned.history.epochs) == 2
    assert tuned.history.epochs[-1].rate == pytest.approx(0, abs=1e-9)  # the schedule ends with it


def test_without_validation_pictures_nothing_is_trained(tune: Tune, few_digits: Splits) -> None:
    with pytest.raises(InputError, match="needs validation pictures") as caught:
        tune(pictures=replace(few_digits, val=None))
    assert "val" in caught.value.hint


def test_a_class_without_pictures_is_told(tune: Tune, few_digits: Splits) -> None:
    train = few_digits.train
    with pytest.raises(DataError):
        tune(pictures=replace(few_digits, train=train.select(np.flatnonzero(train.labels > 0))))


@pytest.mark.parametrize(
    "change",
    [{"device": "tpu"}, {"precision": "fp16"}, {"budget_seconds": -1.0}, {"save_seconds": -1.0}],
    ids=str,
)
def test_bad_options_are_told(change: dict[str, Any], tune: Tune, fast: TuneOptions) -> None:
    with pytest.raises(InputError):
        tune(options=replace(fast, **change))


def test_nothing_is_left_in_the_working_folder(
    tune: Tune, brief: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    tune(recipe=replace(brief, epochs=1))
    assert os.listdir(tmp_path) == []
    assert torch.get_num_threads() == threads
