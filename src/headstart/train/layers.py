"""Which parts of a network are trained, and how fast: layers by their place between input and head."""

import copy
import re
from collections.abc import Iterator

import torch
from timm.layers.drop import DropPath
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from headstart.core.errors import InputError, MissingExtraError
from headstart.models import Classifier
from headstart.models.batch_norm import batch_norms
from headstart.train.recipe import Recipe

_NUMBERED = re.compile(r"(?:[^.]+\.)*?\d+(?:\.\d+)*(?=\.)")
_LORA_DROPOUT = 0.0  # noise that depends on the process would make results depend on it


class Trainee(nn.Module):
    """A network in training: backbone and head, pictures (N, 3, H, W) to logits (N, K).

    Attributes:
        backbone: maps pictures to features (N, D).
        head: maps features to logits.
        memory_format: how pictures and weights lie in memory.
    """

    memory_format = torch.contiguous_format

    def __init__(self, backbone: nn.Module, head: nn.Linear, *, recipe: Recipe) -> None:
        super().__init__()
        self.backbone = _with_lora(backbone, recipe) if recipe.layers == "lora" else backbone
        self.head = head
        self._recipe = recipe
        self._depths = _depths(backbone) if recipe.layers != "lora" else {}
        self.train_layers(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map preprocessed pictures (N, 3, H, W) to logits (N, K)."""
        logits: torch.Tensor = self.head(self.backbone(x))
        return logits

    def placed(self, device: torch.device, memory_format: torch.memory_format) -> "Trainee":
        """Return the same network, on a device, with its weights in that order."""
        self.memory_format = memory_format
        return self.to(device).to(memory_format=memory_format)

    def train(self, mode: bool = True) -> "Trainee":
        """Set the mode of training; frozen batch norms, and a network that is not trained, stay in eval mode.

        Dropout stays off as well: which values it drops would depend on how pictures are dealt to processes.
        """
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, (_DropoutNd, DropPath)):
                module.eval()
        if self._recipe.layers == "last" and self._recipe.batch_norm == "frozen":
            self.backbone.eval()
        if self._recipe.batch_norm == "frozen":
            for norm in batch_norms(self.backbone):
                norm.eval()
        return self

    def train_layers(self, epoch: int) -> None:
        """Let gradients reach the layers that are trained in an epoch, counted from 0."""
        if self._recipe.layers == "lora":
            return
        shallowest = _shallowest(self._recipe, epoch)
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad_(self._depths[name] >= shallowest)

    def groups(self) -> list[dict[str, object]]:
        """Return the parameters in groups of one learning rate and weight decay, as optimisers take them.

        The rate of a layer at depth d, from 0 at the input to 1 at the head, is rate * input_rate ** (1 - d).
        """
        recipe = self._recipe
        found: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, parameter in self._trainable():
            depth = self._depths.get(name.removeprefix("backbone."), 1.0)
            found.setdefault((depth, parameter.ndim > 1), []).append(parameter)
        return [
            {
                "params": parameters,
                "lr": recipe.rate * recipe.input_rate ** (1 - depth),
                "weight_decay": recipe.weight_decay if is_weight else 0.0,
            }
            for (depth, is_weight), parameters in found.items()
        ]

    def merged(self) -> tuple[nn.Module, nn.Linear]:
        """Return backbone and head as they are to be used, low-rank additions added in; no copies."""
        if self._recipe.layers != "lora":
            return self.backbone, self.head
        merged: nn.Module = self.backbone.merge_and_unload()  # type: ignore[operator]  # PEFT's
        return merged, self.head

    def _trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters that are trained in some epoch."""
        for name, parameter in self.named_parameters():
            in_head = name.startswith("head.")
            if in_head or self._recipe.layers in ("all", "gradual") or "lora_" in name:
                yield name, parameter


def untrained_backbone(classifier: Classifier) -> nn.Module:
    """Return a copy of a backbone whose weights are as before any training, drawn by torch's generator."""
    backbone = copy.deepcopy(classifier.backbone)
    for module in backbone.modules():
        own = [*module.parameters(recurse=False)]
        if not own:
            continue
        reset = getattr(module, "reset_parameters", None)
        if reset is None:
            for parameter in own:
                nn.init.trunc_normal_(parameter, std=0.02)
        else:
            reset()
    return backbone


def _shallowest(recipe: Recipe, epoch: int) -> float:
    """Return the depth from which on layers are trained in an epoch; above 1 is the head alone."""
    if recipe.layers == "last":
        return 2.0
    if recipe.layers == "all":
        return 0.0
    half = max(1, recipe.epochs // 2)
    return 2.0 if epoch == 0 else max(0.0, 1 - epoch / half)


def _depths(backbone: nn.Module) -> dict[str, float]:
    """Return the depth of every parameter, from 0 at the input to 1 at the end, by its block.

    A block is what a number in the parameter's name counts: "blocks.2.1" of "blocks.2.1.conv_dw.weight".
    Blocks come in the order in which the network registers them.
    """
    blocks = {name: _block(name) for name, _ in backbone.named_parameters()}
    places = {block: place for place, block in enumerate(dict.fromkeys(blocks.values()))}
    last = max(1, len(places) - 1)
    return {name: places[block] / last for name, block in blocks.items()}


def _block(name: str) -> str:
    numbered = _NUMBERED.match(name)
    return numbered.group() if numbered else ".".join(name.split(".")[:2])


def _with_lora(backbone: nn.Module, recipe: Recipe) -> nn.Module:
    """Return the backbone with low-rank additions to its linear layers, all else frozen.

    Raises:
        InputError: it has no linear layers.
        MissingExtraError: PEFT is not installed.

    Source: Hu et al. 2021, "LoRA", https://arxiv.org/abs/2106.09685.
    """
    linear = [name for name, module in backbone.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(
            "the recipe 'lora' adds to linear layers, of which this network has none",
            hint="use the default recipe for convolutional networks",
        )
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise MissingExtraError(
            "the recipe 'lora' needs PEFT", hint="pip install 'headstart[train]'"
        ) from error
    rank = recipe.lora_rank
    settings = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=_LORA_DROPOUT, target_modules=linear, bias="none"
    )
    adapted: nn.Module = get_peft_model(backbone, settings)
    return adapted
