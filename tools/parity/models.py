"""timm's model of a spec, as `isoflop-trainer forward --spec` reads one, and its outputs.

Any spec whose family timm has can be built, not only the listed cases. What timm lacks is added here:
the tanh layer before the classifier, and big_vision's fixed sine positions and bilinear resampling.
"""

import math
from collections import OrderedDict
from functools import partial

import timm.layers
import torch
from timm.layers import GroupNormAct, HybridEmbed, LayerNorm, RmsNorm, StdConv2d, StdConv2dSame
from timm.models.mlp_mixer import MlpMixer
from timm.models.resnetv2 import ResNetV2, create_resnetv2_stem
from timm.models.vision_transformer import Block, ParallelScalingBlock, VisionTransformer
from torch import nn

timm.layers.set_fused_attn(False)
torch.set_num_threads(1)

# width, depth, MLP width, heads; 2010.11929 table 1, 2106.04560 table 2, 2302.05442 table 1.
VIT_SHAPES = {
    "mu": (32, 1, 128, 2), "Ti": (192, 12, 768, 3), "s": (256, 6, 1024, 8), "S": (384, 12, 1536, 6),
    "M": (512, 12, 2048, 8), "B": (768, 12, 3072, 12), "L": (1024, 24, 4096, 16), "H": (1280, 32, 5120, 16),
    "g": (1408, 40, 6144, 16), "G": (1664, 48, 8192, 16), "e": (1792, 56, 15360, 16), "22B": (6144, 48, 24576, 48),
}
# Width, depth, channel MLP, token MLP; 2105.01601 table 1.
MIXER_SHAPES = {"S": (512, 8, 2048, 256), "B": (768, 12, 3072, 384), "L": (1024, 24, 4096, 512), "H": (1280, 32, 5120, 640)}
BIT_DEPTHS = {"50": [3, 4, 6, 3], "101": [3, 4, 23, 3], "152": [3, 8, 36, 3], "200": [3, 24, 36, 3]}

NORMS = {"layer-norm": LayerNorm, "layer-norm-no-bias": partial(LayerNorm, bias=False), "rms-norm": RmsNorm}
GELUS = {"exact": partial(nn.GELU), "tanh": partial(nn.GELU, approximate="tanh")}
POOLS = {"gap": "avg", "token": "token", "map": "map", "none": ""}
STD_EPS = 1e-8


class Vit(VisionTransformer):
    """timm's, with room for the tanh layer of 2010.11929, section 3.1, which timm dropped."""

    def forward_head(self, x, pre_logits=False):
        x = self.fc_norm(self.pool(x))
        if hasattr(self, "pre_logits"):
            x = self.pre_logits(x)
        return x if pre_logits else self.head(x)


def named(shape, table, keys):
    return dict(zip(keys, table[shape])) if isinstance(shape, str) else shape


def ratio(hidden, width):
    """timm multiplies by it and rounds down; the half keeps that from falling one short."""
    return (hidden + 0.5) / width


def vit(spec, in_hybrid=False):
    shape = named(spec["shape"], VIT_SHAPES, ("width", "depth", "mlp", "heads"))
    fixed = spec.get("positions", "learned") == "sincos2d"
    pool = spec.get("pool", "gap")
    embed = dict(embed_layer=partial(HybridEmbed, backbone=stem(**spec["stem"]))) if in_hybrid else {}
    model = Vit(
        img_size=spec["resolution"],
        patch_size=spec.get("patch", 1) if in_hybrid else spec["patch"],
        num_classes=spec["classes"],
        embed_dim=shape["width"],
        depth=shape["depth"],
        num_heads=shape["heads"],
        mlp_ratio=ratio(shape["mlp"], shape["width"]),
        global_pool=POOLS[pool],
        class_token=pool == "token",
        fc_norm=spec.get("fc_norm", False),
        # With fixed positions the class token has none; timm would give it a row.
        no_embed_class=fixed or spec.get("no_embed_class", False),
        pre_norm=spec.get("pre_norm", False),
        block_fn=ParallelScalingBlock if spec.get("block", "sequential") == "parallel" else Block,
        norm_layer=NORMS[spec.get("norm", "layer-norm")],
        act_layer=GELUS[spec.get("gelu", "exact")],
        qk_norm=spec.get("qk_norm", False),
        qkv_bias=spec.get("qkv_bias", True),
        drop_path_rate=spec.get("drop_path", 0.0),
        **embed,
    )
    if spec.get("pre_logits", False):
        width = shape["width"]
        model.pre_logits = nn.Sequential(OrderedDict(fc=nn.Linear(width, width), act=nn.Tanh()))
    if fixed:
        model.pos_embed = nn.Parameter(sincos2d(model.patch_embed.grid_size[0], shape["width"]), requires_grad=False)
    return model


def stem(layers, width=64, groups=32):
    conv = partial(StdConv2dSame, eps=STD_EPS)
    norm = partial(GroupNormAct, num_groups=groups)
    if not layers:
        return create_resnetv2_stem(3, width, "same", preact=False, conv_layer=conv, norm_layer=norm)
    kinds = dict(preact=False, stem_type="same", conv_layer=conv, norm_layer=norm)
    return resnet(layers, width, num_classes=0, global_pool="", **kinds)


def resnet(layers, width, **settings):
    channels = tuple(4 * width * 2**stage for stage in range(len(layers)))
    # timm dilates stages beyond a stride of 32 unless it is told of another.
    return ResNetV2(layers=layers, channels=channels, stem_chs=width, output_stride=2**30, **settings)


def bit(spec):
    shape = spec["shape"]
    if isinstance(shape, str):
        depth, factor = shape.removeprefix("R").split("x")
        shape = dict(layers=BIT_DEPTHS[depth], width=64 * int(factor))
    norm = partial(GroupNormAct, num_groups=spec.get("groups", 32))
    kinds = dict(stem_type="fixed", conv_layer=partial(StdConv2d, eps=STD_EPS), norm_layer=norm)
    return resnet(**shape, num_classes=spec["classes"], **kinds)


def mixer(spec):
    shape = named(spec["shape"], MIXER_SHAPES, ("width", "depth", "mlp", "tokens"))
    return MlpMixer(
        num_classes=spec["classes"],
        img_size=spec["resolution"],
        patch_size=spec["patch"],
        num_blocks=shape["depth"],
        embed_dim=shape["width"],
        mlp_ratio=(ratio(shape["tokens"], shape["width"]), ratio(shape["mlp"], shape["width"])),
        act_layer=GELUS[spec.get("gelu", "exact")],
    )


FAMILIES = {"vit": vit, "hybrid": partial(vit, in_hybrid=True), "bit": bit, "mixer": mixer}


def build(spec, dtype=torch.float64):
    """In evaluation mode, with timm's own random initial weights."""
    return FAMILIES[spec["family"]](spec).to(dtype).eval()


def sincos2d(side, width):
    """big_vision's: sine and cosine of the column, then of the row; `[1, side^2, width]`, f64."""
    quarter = width // 4
    omega = 10000 ** (-torch.arange(quarter, dtype=torch.float64) / (quarter - 1))
    y, x = torch.meshgrid(*2 * [torch.arange(side, dtype=torch.float64)], indexing="ij")
    x, y = x.reshape(-1, 1) * omega, y.reshape(-1, 1) * omega
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], 1)[None]


def resampled(positions, prefix, side, how):
    """`[1, prefix + n^2, width]` to `[1, prefix + side^2, width]`, in the kind of numbers it is in.

    timm's own function goes through f32 whatever the model is in; otherwise "bicubic" is it.
    """
    first, grid = positions[:, :prefix], positions[:, prefix:]
    old = math.isqrt(grid.shape[1])
    grid = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    settings = dict(bilinear=dict(align_corners=True), bicubic=dict(align_corners=False, antialias=True))
    grid = nn.functional.interpolate(grid, (side, side), mode=how, **settings[how])
    return torch.cat([first, grid.permute(0, 2, 3, 1).reshape(1, side * side, -1)], 1)


def parameters(model):
    """Learned ones by name, in the order of their names."""
    return dict(sorted((name, p) for name, p in model.named_parameters() if p.requires_grad))


def load(model, weights, resample=None):
    """Copies `weights` into `model`; positions made for another grid are resampled as `resample` says."""
    with torch.no_grad():
        for name, parameter in parameters(model).items():
            values = weights[name].to(parameter.dtype)
            if name == "pos_embed" and values.shape != parameter.shape:
                prefix = parameter.shape[1] - model.patch_embed.num_patches
                values = resampled(values, prefix, model.patch_embed.grid_size[0], resample)
            parameter.copy_(values)


def features(model, images):
    """What the classifier reads, `[batch, width]`; the tokens' mean where every token has its own logits."""
    read = model.forward_head(model.forward_features(images), pre_logits=True)
    return read.mean(1) if read.ndim == 3 else read


def is_scale(name):
    return "norm" in name and name.endswith("weight")


def is_standardised(name):
    return name.endswith(".weight") and name.split(".")[-2].startswith("conv")


def formula_weights(shapes):
    """Parameter n of the sorted names, element i: 0.1 sin(0.37 (i + 1) + n), and 1 more in norms' scales;
    in weight-standardised convolutions 0.001 sin(0.37 ((i + 1)^2 mod 1009) + n).

    The first rule makes matrices of rank 2, on which group norms are ill-conditioned; the small factor
    makes the standardisation's epsilon count.
    """
    weights = {}
    for n, (name, shape) in enumerate(sorted(shapes.items())):
        i = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
        if is_standardised(name):
            values = 0.001 * torch.sin(0.37 * (i**2 % 1009) + n)
        else:
            values = 0.1 * torch.sin(0.37 * i + n) + float(is_scale(name))
        weights[name] = values.reshape(shape)
    return weights


def formula_images(batch, side):
    i = torch.arange(batch * 3 * side * side, dtype=torch.float64)
    return ((i % 257) / 128.5 - 1).reshape(batch, 3, side, side)


def shapes(model):
    return {name: list(p.shape) for name, p in parameters(model).items()}
