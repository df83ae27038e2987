import pytest
import torch

import headstart as hs
from headstart.embed.attention import use_products


@pytest.mark.parametrize(
    ("name", "side", "by_products"),
    [
        ("timm/vit_tiny_patch16_224", 224, 12),
        ("timm/vit_tiny_patch16_384", 384, 0),  # 577 tokens
        ("torchvision/resnet18", 64, 0),
    ],
)
@torch.inference_mode()
def test_attention_with_few_tokens_goes_by_products_and_computes_the_same(
    name: str, side: int, by_products: int
) -> None:
    network = hs.load(name, weights=None).backbone.eval()
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    expected = network(x)
    layers = [each for each in network.modules() if hasattr(each, "fused_attn")]
    assert all(each.fused_attn for each in layers)
    use_products(network, side=side)
    assert sum(not each.fused_attn for each in layers) == by_products
    assert torch.allclose(network(x), expected, rtol=1e-4, atol=1e-5)
