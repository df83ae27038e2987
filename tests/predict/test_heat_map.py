import copy
import threading
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

import headstart as hs
from headstart.catalog import find_model
from headstart.core.errors import InputError, ModelError
from headstart.models import Classifier, load_folder, save_folder
from headstart.models.parts import Parts
from headstart.predict import heat_maps, overlay_heat_map

SAMPLE = (
    "starter/efficientnet_lite0",
    "pretrainedmodels/dpn68b",
    "pretrainedmodels/alexnet",
    "torchvision/squeezenet1_1",
    "torchvision/swin_t",
    "timm/convnext_atto",
    "timm/vit_tiny_patch16_224",
    "timm/deit_tiny_distilled_patch16_224",
    "timm/levit_128s",
    "timm/mobilevit_xxs",
)
MORE = (
    "pretrainedmodels/densenet121",
    "pretrainedmodels/nasnetamobile",
    "pretrainedmodels/inceptionv3",
    "torchvision/vgg11",
    "timm/swin_tiny_patch4_window7_224",
    "timm/cait_xxs24_224",
    "timm/xcit_nano_12_p16_224",
    "timm/pit_ti_224",
    "timm/hiera_tiny_224",
    "timm/coatnet_nano_rw_224",
    "timm/maxvit_rmlp_pico_rw_256",
    "timm/pvt_v2_b0",
    "timm/hrnet_w18_small",
    "timm/gmixer_24_224",
    "timm/efficientformer_l1",
)

LARGE = ("torchvision/vit_b_16", "timm/beit_base_patch16_224")


def noise(num: int, *, height: int = 64, width: int = 64) -> torch.Tensor:
    return torch.randn(num, 3, height, width, generator=torch.Generator().manual_seed(0))


def with_random_head(network: Classifier, *, num_classes: int = 3) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = nn.Linear(network.feature_dim, num_classes)
    return network.with_head(head, tuple("abcdefgh"[:num_classes]))


class Patches(nn.Module):
    """A transformer in small: 16 patches, two tokens in front, and the first one's features at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 4, kernel_size=16, stride=16)
        self.extra = nn.Parameter(torch.ones(1, 2, 4))
        self.mix = nn.MultiheadAttention(4, 1, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(4), nn.LayerNorm(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.extra.expand(len(x), -1, -1), patches], dim=1)  # (N, 2 + 16, 4)
        normed = self.norm1(tokens)
        tokens = tokens + self.mix(normed, normed, normed, need_weights=False)[0]
        return self.norm2(tokens)[:, 0]


def around(backbone: nn.Module, *, like: Classifier, feature_dim: int = 4) -> Classifier:
    parts = Parts(backbone=backbone, head=nn.Linear(feature_dim, 2), feature_dim=feature_dim, network="own")
    return Classifier(parts, entry=like.entry, preprocessing=like.preprocessing, class_names=("a", "b"))


@pytest.mark.parametrize(
    "name",
    [
        *SAMPLE,
        *(pytest.param(name, marks=pytest.mark.slow) for name in MORE),
        *(pytest.param(name, marks=pytest.mark.heavy) for name in LARGE),
    ],
)
def test_every_kind_of_network_has_heat_maps(name: str) -> None:
    classifier = hs.load(name, weights=None, seed=1)
    if isinstance(classifier.head, nn.Linear):  # some begin with a head of zeros
        classifier = with_random_head(classifier, num_classes=8)
    native = find_model(name)
    height, width = native.weights.preprocessing.input_size if native.fixed_input_size else (128, 128)
    found = heat_maps(classifier, noise(5, height=height, width=width), range(5))  # more than one batch
    assert found.dtype == np.float32
    assert found.shape[0] == 5
    assert 4 <= found.shape[1] == found.shape[2] <= 56
    assert found.min() == 0
    assert found.max() == 1


def test_with_a_pooled_map_and_one_layer_it_is_the_class_activation_map(classifier: Classifier) -> None:
    x = noise(2, height=128, width=128)
    seen: list[torch.Tensor] = []
    handle = classifier.backbone.bn2.register_forward_hook(lambda *given: seen.append(given[2]))
    with torch.inference_mode():
        classifier.features(x)
    handle.remove()
    for index in range(3):
        weighted = torch.einsum("nchw,c->nhw", seen[0], classifier.head.weight[index]).relu()
        expected = weighted / weighted.amax((1, 2), keepdim=True).clamp_min(1e-12)
        assert np.allclose(heat_maps(classifier, x, [index, index]), expected.detach(), atol=1e-5)


def test_a_class_is_seen_where_it_is(classifier: Classifier) -> None:
    class Corner(nn.Module):
        """Sees red and blue, each where it is."""

        def __init__(self) -> None:
            super().__init__()
            self.shrink = nn.AvgPool2d(8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.shrink(x).mean((2, 3))

    own = around(Corner(), like=classifier, feature_dim=3)
    own.head.weight.data = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    x = torch.zeros(1, 3, 64, 64)
    x[0, 0, :32, :32] = 1  # red on the top left
    x[0, 2, 32:, 32:] = 1  # blue on the bottom right
    red, blue = heat_maps(own, x.repeat(2, 1, 1, 1), [0, 1])
    assert (red > 0.5).nonzero()[0].max() == 3
    assert (blue > 0.5).nonzero()[0].min() == 4
    assert np.array_equal(red, blue[::-1, ::-1])


def test_tokens_are_laid_out_as_the_patches_they_came_from(classifier: Classifier) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        own = around(Patches(), like=classifier)
    own.eval()
    x = noise(1, height=48, width=96)  # 3 x 6 patches
    found = heat_maps(own, x, [0])
    assert found.shape == (1, 3, 6)
    moved = torch.roll(x, (16, 32), dims=(2, 3))  # by one patch and by two: this network does not mind
    assert np.allclose(heat_maps(own, moved, [0])[0], np.roll(found[0], (1, 2), axis=(0, 1)), atol=1e-5)


def draw_blocks(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return pictures of noise, their classes, and the 8x8 places on a grid of 8 that a block lies on.

    A block of one of four colours, 2 by 2 places large, lies anywhere on the grid; class 4 has none.
    """
    generator = torch.Generator().manual_seed(seed)
    colours = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1], [0, 0, 0]])
    x = 0.3 * torch.randn(count, 3, 8, 8, 8, 8, generator=generator)  # (N, 3, row, column, height, width)
    classes = torch.randint(5, (count,), generator=generator)
    corners = torch.randint(7, (count, 2), generator=generator)
    is_on = torch.zeros(count, 8, 8)
    for number, (top, left) in enumerate(corners.tolist()):
        is_on[number, top : top + 2, left : left + 2] = 1
    x += is_on[:, None, :, :, None, None] * colours[classes][:, :, None, None, None, None]
    return x.permute(0, 1, 2, 4, 3, 5).reshape(count, 3, 64, 64), classes, is_on


@pytest.mark.parametrize("pooling", ["token", pytest.param("avg", marks=pytest.mark.slow)])
def test_a_transformer_that_learned_to_find_something_shows_where(
    pooling: str, classifier: Classifier
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.models.VisionTransformer(
            img_size=64, patch_size=8, embed_dim=48, depth=3, num_heads=3, num_classes=5,
            global_pool=pooling, class_token=pooling == "token",
        )  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for step in range(200):
        x, classes, _ = draw_blocks(32, seed=step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), classes).backward()
        optimizer.step()
    head = network.head
    network.reset_classifier(0)
    parts = Parts(backbone=network.eval(), head=head, feature_dim=48, network="own")
    own = Classifier(
        parts, entry=classifier.entry, preprocessing=classifier.preprocessing, class_names=tuple("abcde")
    )
    x, classes, is_on = draw_blocks(200, seed=1000)
    with torch.inference_mode():
        assert (own(x).argmax(1) == classes).float().mean() > 0.98  # it knows them, and so knows where
    x, is_on, classes = x[classes < 4], is_on[classes < 4], classes[classes < 4]
    found = torch.from_numpy(heat_maps(own, x, classes.tolist()))
    hottest = found.flatten(1).argmax(1, keepdim=True)
    assert is_on.flatten(1).gather(1, hottest).mean() > 0.85  # by chance 0.06
    assert ((found * is_on).sum((1, 2)) / found.sum((1, 2))).mean() > 0.45


def test_small_pictures_are_seen_on_an_earlier_map(classifier: Classifier) -> None:
    assert heat_maps(classifier, noise(1), [0]).shape == (1, 4, 4)
    assert heat_maps(classifier, noise(1, height=128, width=160), [0]).shape == (1, 4, 5)


def test_more_pictures_than_fit_one_batch_are_each_their_own(classifier: Classifier) -> None:
    x = noise(9)
    together = heat_maps(classifier, x, [0, 1, 2] * 3)
    alone = [heat_maps(classifier, x[index : index + 1], [index % 3])[0] for index in range(9)]
    assert np.allclose(together, np.stack(alone), atol=1e-4)


@pytest.mark.parametrize("point", ["stride16", "stride8", "concat"])
def test_features_of_another_point_are_seen_at_their_maps(classifier: Classifier, point: str) -> None:
    own = with_random_head(classifier.with_feature_point(point))
    found = heat_maps(own, noise(1, height=128, width=128), [0])
    assert found.shape == {"stride16": (1, 8, 8), "stride8": (1, 16, 16), "concat": (1, 16, 16)}[point]
    assert found.max() == 1


def test_networks_side_by_side_are_each_seen(tiny_models: tuple[str, str]) -> None:
    singles = [hs.load(name) for name in tiny_models]
    pair = with_random_head(hs.load("+".join(tiny_models)), num_classes=8)
    x = noise(1, height=96, width=96)
    given = (x, pair.backbone.networks[1][0](x))  # each in its own normalisation
    start = 0
    for single, own_x in zip(singles, given, strict=True):
        own = slice(start, start + single.feature_dim)
        start = own.stop
        alone, among = with_random_head(single, num_classes=8), copy.deepcopy(pair)
        alone.head.weight.data = pair.head.weight.data[:, own]
        nn.init.zeros_(among.head.weight)
        among.head.weight.data[:, own] = alone.head.weight.data
        expected = heat_maps(alone, own_x.repeat(8, 1, 1, 1), range(8))
        assert expected.any()
        assert np.allclose(heat_maps(among, x.repeat(8, 1, 1, 1), range(8)), expected, atol=1e-4)


def test_a_saved_folder_has_the_same_heat_maps(classifier: Classifier, tmp_path: Path) -> None:
    save_folder(classifier, tmp_path / "model")
    loaded = load_folder(tmp_path / "model")
    x = noise(2)
    assert np.array_equal(heat_maps(loaded, x, [0, 1]), heat_maps(classifier, x, [0, 1]))


def test_the_classifier_is_left_as_it_was(classifier: Classifier) -> None:
    x = noise(1)
    with torch.inference_mode():
        before = classifier(x)
        heat_maps(classifier, x, [0])  # also inside a block that forbids gradients
        assert torch.equal(classifier(x), before)
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert not any(module._forward_hooks for module in classifier.modules())


def test_threads_do_not_see_one_another(classifier: Classifier) -> None:
    x = noise(8)
    expected = [heat_maps(classifier, x[index : index + 1], [index % 3]) for index in range(8)]
    found: dict[int, np.ndarray] = {}

    def work(index: int) -> None:
        found[index] = heat_maps(classifier, x[index : index + 1], [index % 3])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.allclose(found[index], expected[index], atol=1e-5) for index in range(8))


def test_where_nothing_speaks_for_a_class_there_is_no_heat(classifier: Classifier) -> None:
    blind = classifier.with_head(nn.Linear(classifier.feature_dim, 2), ("a", "b"))
    nn.init.zeros_(blind.head.weight)
    assert not heat_maps(blind, noise(1), [1]).any()


def test_a_network_without_places_says_so(classifier: Classifier) -> None:
    flat = around(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 4)), like=classifier)
    with pytest.raises(ModelError, match="no heat map") as caught:
        heat_maps(flat, noise(1), [0])
    assert caught.value.hint
    headless = classifier.with_feature_point("stride8")
    with pytest.raises(ModelError, match="no classifier"):
        heat_maps(headless, noise(1), [0])


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [((1, 3, 64, 64), [3], "no class 3"), ((1, 3, 64, 64), [0, 1], "2 classes"), ((3, 64, 64), [0], "shape")],
)
def test_what_cannot_be_used_is_told(
    classifier: Classifier, shape: tuple[int, ...], classes: list[int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        heat_maps(classifier, torch.zeros(shape), classes)


def test_an_overlay_colours_what_is_hot_and_leaves_what_is_cold() -> None:
    pixels = np.full((40, 60, 3), 200, np.uint8)
    heat = np.zeros((2, 3), np.float32)
    heat[0, 0] = 1
    laid = overlay_heat_map(pixels, heat)
    assert laid.shape == pixels.shape
    assert laid.dtype == np.uint8
    assert np.array_equal(laid[30:, 50:], pixels[30:, 50:])
    assert np.abs(laid[5, 5].astype(int) - 200).max() > 30
