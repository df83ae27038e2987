"""Which paper an architecture of timm's comes from: what timm states, as far as it is one paper."""

import importlib
import re
from functools import cache

# For modules whose docstring names the papers of several architectures: the beginning of the architecture's
# name, and which of those papers is its own. The longest beginning that fits counts.
BY_BEGINNING = {
    "beit3_": "2208.10442", "beit_": "2106.08254", "beitv2_": "2208.06366", "botnet": "2101.11605",
    "caformer_": "2210.13452", "coatnet_": "2106.04803", "convformer_": "2210.13452",
    "convnext_": "2201.03545", "convnextv2_": "2301.00808", "cspdarknet": "1911.11929",
    "cspresne": "1911.11929", "darknet53": "1804.02767", "davit_": "2204.03645", "deit3_": "2204.07118",
    "deit_": "2012.12877", "densenet": "1608.06993", "dla": "1707.06484", "dm_nfnet": "2102.06171",
    "ecaresnet": "1910.03151", "edgenext_": "2206.10589", "efficientnet_": "1905.11946",
    "efficientnetv2_": "2104.00298", "eva02_": "2303.11331", "eva_": "2211.07636", "fastvit_": "2303.14189",
    "fastvit_mci": "2311.17049", "fbnetc_": "1812.03443", "fbnetv3_": "2006.02049",
    "flexivit_": "2212.08013", "gernet_": "2006.14090", "ghostnet_": "1911.11907",
    "ghostnetv2_": "2211.12905", "ghostnetv3_": "2404.11202", "gmlp_": "2105.08050",
    "halonet": "2103.12731", "hiera_": "2306.00989", "hrnet_": "1908.07919",
    "inception_resnet_v2": "1602.07261", "inception_v3": "1512.00567", "lambda_": "2102.08602",
    "lcnet_": "2109.15099", "lowformer_": "2409.03460", "maxvit_": "2204.01697", "mixer_": "2105.01601",
    "mixnet_": "1907.09595", "mnasnet_": "1807.11626", "mobilenetv1_": "1704.04861",
    "mobilenetv2_": "1801.04381", "mobilenetv3_": "1905.02244", "mobilenetv4_": "2404.10518",
    "mobileone_": "2206.04040", "mobilevit_": "2110.02178", "mobilevitv2_": "2206.02680",
    "poolformer_": "2111.11418", "regnetx_": "2003.13678", "regnety_": "2003.13678",
    "regnetz_": "2103.06877", "repvgg_": "2101.03697", "resmlp_": "2105.03404", "resnet101": "1512.03385",
    "resnet101_clip": "2103.00020", "resnet152": "1512.03385", "resnet18": "1512.03385",
    "resnet34": "1512.03385", "resnet50": "1512.03385", "resnet50_clip": "2103.00020",
    "resnet50x": "2103.00020", "resnetrs": "2103.07579", "resnetv2_": "1603.05027", "resnext": "1611.05431",
    "sam2_": "2408.00714", "samvit_": "2304.02643", "senet154": "1709.01507", "seresnet": "1709.01507",
    "seresnext": "1709.01507", "skresne": "1903.06586", "spnasnet_": "1904.02877", "swin_": "2103.14030",
    "tinynet_": "2010.14819", "tresnet_": "2003.13630", "vit_": "2010.11929", "vit_pe_": "2504.13181",
    "wide_resnet": "1605.07146", "xception41": "1610.02357", "xception65": "1610.02357",
    "xception71": "1610.02357",
}  # fmt: skip


def arxiv(number: str) -> str:
    """Return the address of a paper."""
    return f"https://arxiv.org/abs/{number}"


def paper_of(architecture: str, module: str, stated: object) -> str:
    """Return the address of an architecture's paper, "" where it is not known.

    Args:
        architecture: timm's name of the network.
        module: timm's module that defines it.
        stated: what timm states for the weight set; the best source where it is one arXiv number.
    """
    if isinstance(stated, str) and stated.startswith("arXiv:"):
        return arxiv(stated.removeprefix("arXiv:"))
    named = papers_of_module(module)
    plain = architecture.removeprefix("tf_")
    fitting = [start for start in BY_BEGINNING if plain.startswith(start)]
    own = BY_BEGINNING[max(fitting, key=len)] if fitting else ""
    if own in named:
        return arxiv(own)
    return arxiv(named[0]) if len(named) == 1 else ""


@cache
def papers_of_module(module: str) -> list[str]:
    """Return the arXiv numbers that the docstring of one of timm's modules names, in their order."""
    docstring = importlib.import_module(f"timm.models.{module}").__doc__ or ""
    return list(dict.fromkeys(re.findall(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})", docstring)))
