"""The configurations whose outputs are on record: every option of every family, in miniature.

A case is {name, spec} and, where positions are resampled, `weights_resolution` and `resample`.
"""

from itertools import product

SMALL = dict(width=24, depth=2, mlp=96, heads=2)
NORMS = ("layer-norm", "layer-norm-no-bias", "rms-norm")
LIKE_22B = dict(block="parallel", norm="rms-norm", qk_norm=True, qkv_bias=False, pool="map")


def vit(resolution=32, classes=5, **options):
    return dict(dict(family="vit", patch=8, shape=SMALL, resolution=resolution, classes=classes), **options)


def hybrid(resolution=32, layers=(1, 1), width=8, groups=4, **options):
    stem = dict(layers=list(layers), width=width, groups=groups)
    shape = dict(width=24, depth=1, mlp=48, heads=2)
    return dict(dict(family="hybrid", stem=stem, patch=1, shape=shape, resolution=resolution, classes=5), **options)


def bit(layers, width=8, groups=4, resolution=32, classes=5):
    return dict(family="bit", shape=dict(layers=list(layers), width=width), groups=groups, resolution=resolution, classes=classes)


def mixer(width, depth, mlp, tokens, resolution=32, patch=8, classes=5, **options):
    shape = dict(width=width, depth=depth, mlp=mlp, tokens=tokens)
    return dict(family="mixer", patch=patch, shape=shape, resolution=resolution, classes=classes, **options)


def vits():
    yield "vit gap", vit()
    yield "vit gap, norm after the mean", vit(fc_norm=True)
    yield "vit token", vit(pool="token")
    yield "vit map", vit(pool="map")
    yield "vit map, other MLP", vit(pool="map", shape=dict(width=32, depth=1, mlp=72, heads=4))
    yield "vit none", vit(pool="none")
    yield "vit map, tanh gelu", vit(pool="map", gelu="tanh")
    yield "vit gap, tanh gelu", vit(gelu="tanh")
    yield "vit token, no position of its own", vit(pool="token", no_embed_class=True)
    yield "vit token, norm before the blocks", vit(pool="token", pre_norm=True)
    yield "vit patch 4", vit(patch=4, shape=dict(width=24, depth=3, mlp=144, heads=2))
    yield "vit one head", vit(shape=dict(width=40, depth=1, mlp=65, heads=1))
    yield "vit many heads, ten classes", vit(classes=10, shape=dict(width=64, depth=2, mlp=128, heads=8))
    yield "vit one patch", vit(patch=32, shape=dict(width=24, depth=1, mlp=48, heads=3))
    yield "vit 48 pixels", vit(48, pool="token")
    yield "vit 40 pixels", vit(40, pool="map")


def norms_and_blocks():
    for block, norm, qk_norm in product(("sequential", "parallel"), NORMS, (False, True)):
        if (block, norm, qk_norm) != ("sequential", "layer-norm", False):
            yield f"vit {block}, {norm}{', qk norm' * qk_norm}", vit(block=block, norm=norm, qk_norm=qk_norm)
    for block, qk_norm in product(("sequential", "parallel"), (False, True)):
        yield f"vit {block}, no qkv bias{', qk norm' * qk_norm}", vit(block=block, qk_norm=qk_norm, qkv_bias=False)
    yield "vit parallel map", vit(block="parallel", pool="map")
    yield "vit parallel token", vit(block="parallel", pool="token")
    yield "vit parallel none, tanh gelu", vit(block="parallel", pool="none", gelu="tanh")
    yield "vit parallel, norm after the mean, rms-norm", vit(block="parallel", fc_norm=True, norm="rms-norm")
    yield "vit 22B", vit(**LIKE_22B)
    yield "vit 22B, tanh gelu, 40 pixels", vit(40, **LIKE_22B, gelu="tanh", patch=4)
    yield "vit 22B token, norm before the blocks", vit(**dict(LIKE_22B, pool="token"), pre_norm=True)


def heads_and_positions():
    for pool in ("gap", "token", "map", "none"):
        yield f"vit {pool}, pre-logits", vit(pool=pool, pre_logits=True)
        yield f"vit {pool}, sincos2d", vit(48 if pool == "token" else 32, pool=pool, positions="sincos2d")
    yield "vit pre-logits, norm after the mean", vit(pre_logits=True, fc_norm=True)
    for pool in ("gap", "token", "map"):
        yield f"vit {pool}, no classes", vit(pool=pool, classes=0)
    yield "vit pre-logits, no classes", vit(pre_logits=True, classes=0)
    yield "vit sincos2d, wide", vit(40, patch=4, positions="sincos2d", shape=dict(width=64, depth=1, mlp=64, heads=2))


def hybrids():
    yield "hybrid stem only", hybrid(layers=(), width=16)
    yield "hybrid stem only, patch 2", hybrid(layers=(), width=16, groups=8, patch=2, pool="token")
    yield "hybrid one stage", hybrid(layers=(2,), patch=2)
    yield "hybrid two stages, token", hybrid(pool="token")
    yield "hybrid two stages, map, rms-norm", hybrid(pool="map", norm="rms-norm")
    yield "hybrid two stages, patch 2", hybrid(layers=(2, 1), patch=2, groups=8)
    yield "hybrid three stages", hybrid(layers=(1, 1, 1))
    yield "hybrid three stages, 44 pixels, map", hybrid(44, layers=(1, 1, 1), pool="map")
    yield "hybrid 38 pixels, token", hybrid(38, pool="token")
    yield "hybrid 36 pixels, parallel", hybrid(36, block="parallel", qkv_bias=False)
    yield "hybrid 33 pixels, sincos2d", hybrid(33, positions="sincos2d")
    yield "hybrid no classes", hybrid(classes=0)


def bits():
    yield "bit one stage", bit((2,))
    yield "bit two stages", bit((1, 2), groups=8)
    yield "bit three stages", bit((1, 1, 1))
    yield "bit four stages", bit((1, 1, 1, 1))
    yield "bit five stages, 70 pixels", bit((1, 1, 1, 1, 1), resolution=70)
    for resolution in (33, 34, 35, 37, 39, 40):
        yield f"bit {resolution} pixels", bit((1, 1), resolution=resolution)
    yield "bit wide, 36 pixels", bit((1, 1), width=16, groups=8, resolution=36, classes=10)
    yield "bit three stages, 38 pixels", bit((2, 1, 1), resolution=38)
    yield "bit no classes", bit((1, 1), classes=0)


def mixers():
    yield "mixer", mixer(32, 2, 128, 16)
    yield "mixer, tanh gelu", mixer(32, 2, 128, 16, gelu="tanh")
    yield "mixer patch 4, 40 pixels", mixer(24, 3, 50, 33, resolution=40, patch=4, classes=10)
    yield "mixer no classes", mixer(24, 1, 96, 12, classes=0)


def interpolations():
    for resolution, how, pool in product((48, 64), ("bilinear", "bicubic"), ("token", "gap")):
        extra = dict(name=f"vit {pool}, 32 to {resolution} pixels, {how}", weights_resolution=32, resample=how)
        yield dict(extra, spec=vit(resolution, pool=pool))
    yield dict(name="vit gap, 64 to 32 pixels, bilinear", weights_resolution=64, resample="bilinear", spec=vit())
    yield dict(name="vit map, 64 to 40 pixels, bicubic", weights_resolution=64, resample="bicubic", spec=vit(40, pool="map"))
    no_position = vit(48, pool="token", no_embed_class=True)
    yield dict(name="vit token without a position, 32 to 48 pixels", weights_resolution=32, resample="bicubic", spec=no_position)
    yield dict(name="hybrid token, 32 to 48 pixels", weights_resolution=32, resample="bilinear", spec=hybrid(48, pool="token"))


def forward_cases():
    for family in (vits, norms_and_blocks, heads_and_positions, hybrids, bits, mixers):
        yield from (dict(name=name, spec=spec) for name, spec in family())
    yield from interpolations()


STEPS = 3
LABELS = [0, 3, 1, 4]
# Those that adaptive optimisers train have no biases of keys: the loss does not depend on them, and whole steps would
# be made of the rounding noise that is their gradient.
TRAINED = dict(
    vit=vit(24, patch=4, qkv_bias=False, shape=dict(width=32, depth=2, mlp=64, heads=2)),
    like_22b=vit(24, **dict(LIKE_22B, pool="gap"), shape=dict(width=32, depth=1, mlp=48, heads=2)),
    bit=bit((1,), width=32, groups=8),
    map=vit(pool="map", qk_norm=True, gelu="tanh", pre_logits=True),
    hybrid=hybrid(width=16, pool="token"),
    mixer=mixer(24, 2, 48, 16),
)
# Rates are small enough for f32 and f64 to stay within 1e-6 of each other, decays large enough to be seen.
DECAY = dict(body=2.0, head=10.0)
INDEPENDENT = dict(body=0.01, head=0.05, convention="independent")


def step(name, rate, optimiser, model="vit", **settings):
    train = dict(batch=len(LABELS), learning_rate=rate, schedule=dict(decay="rsqrt", timescale=2.0))
    train |= dict(optimiser=optimiser, weight_decay=DECAY, clip=1.0) | settings
    return dict(name=name, model=model, train=train)


def adamw_steps():
    bf16 = dict(name="adamw", first_moment="bf16")
    yield step("adamw", 1e-4, "adamw")
    yield step("adamw, no clipping", 1e-4, "adamw", clip=0)
    yield step("adamw, one decay", 1e-4, "adamw", weight_decay=4.0)
    yield step("adamw, independent decay", 1e-4, "adamw", weight_decay=INDEPENDENT)
    yield step("adamw, other constants", 1e-4, dict(name="adamw", beta1=0.8, beta2=0.999, eps=1e-6))
    yield step("adamw, label smoothing", 1e-4, "adamw", objective=dict(name="softmax", label_smoothing=0.1))
    yield step("adamw, sigmoid", 1e-4, "adamw", objective="sigmoid")
    yield step("adamw, micro-batches, checkpointed", 1e-4, "adamw", micro_batch=2, checkpoint_activations=True)
    yield step("adamw, micro-batches of one", 1e-4, "adamw", micro_batch=1, objective="sigmoid")
    yield step("adamw, 22B", 1e-4, "adamw", "like_22b")
    yield step("adamw, bit", 2e-5, "adamw", "bit")
    yield step("adamw bf16", 1e-4, bf16)
    yield step("adamw bf16, no clipping, independent decay", 1e-4, bf16, clip=0, weight_decay=INDEPENDENT)


def sgd_steps():
    yield step("sgd", 0.01, "sgd")
    yield step("sgd, no clipping", 0.01, dict(name="sgd", momentum=0.8), clip=0)
    yield step("sgd nesterov", 0.01, dict(name="sgd", nesterov=True))
    yield step("sgd, independent decay, sigmoid", 0.01, "sgd", weight_decay=INDEPENDENT, objective="sigmoid")
    yield step("sgd, map", 0.01, "sgd", "map")
    yield step("sgd, hybrid", 2e-5, "sgd", "hybrid")
    yield step("sgd, mixer", 0.01, "sgd", "mixer")
    yield step("sgd bf16", 0.01, dict(name="sgd", first_moment="bf16"))
    yield step("sgd bf16 nesterov, no clipping", 0.01, dict(name="sgd", first_moment="bf16", nesterov=True), clip=0)


def adafactor_steps():
    other = dict(name="adafactor", beta1=0.8, beta2_cap=0.5, decay_exponent=0.7, min_dim=16)
    full = dict(name="adafactor", first_moment="f32")
    yield step("adafactor", 2e-4, "adafactor")
    yield step("adafactor, no clipping", 2e-4, "adafactor", clip=0)
    yield step("adafactor, independent decay", 2e-4, "adafactor", weight_decay=INDEPENDENT)
    yield step("adafactor, other constants", 2e-4, other)
    yield step("adafactor, nothing factored", 2e-4, dict(name="adafactor", min_dim=1000))
    yield step("adafactor f32", 2e-4, full)
    yield step("adafactor f32, sigmoid", 2e-4, full, objective="sigmoid")
    yield step("adafactor, 22B", 2e-4, "adafactor", "like_22b")
    yield step("adafactor f32, bit", 2e-5, full, "bit")
    yield step("adafactor, bit", 2e-5, "adafactor", "bit")


def step_cases():
    for optimiser in (adamw_steps, sgd_steps, adafactor_steps):
        yield from optimiser()
