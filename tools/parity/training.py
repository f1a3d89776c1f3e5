"""Reference training steps on one batch: torch's AdamW and SGD, timm's Adafactor, and those with a
moment in bf16 written out here, for `[train]` tables as `isoflop-trainer train-step --train` reads them.

`micro_batch` and `checkpoint_activations` change nothing here, as they should change nothing there.
"""

import math

import torch
from timm.optim import AdafactorBigVision
from torch.nn import functional as F

import models

MOMENTS = {"f32": None, "bf16": torch.bfloat16}


def table(setting, default):
    """`"x"` stands for `{name = "x"}`."""
    setting = setting if setting is not None else default
    return dict(name=setting) if isinstance(setting, str) else setting


def objective(setting, logits, labels):
    setting = table(setting, "softmax")
    smoothing = setting.get("label_smoothing", 0.0)
    if setting["name"] == "softmax":
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)
    assert setting["name"] == "sigmoid" and not smoothing, setting
    targets = F.one_hot(labels, logits.shape[-1]).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(-1).mean()


def multiplier(schedule, step):
    """Of the peak rate; 2106.04560, section 3.5."""
    warmup = schedule.get("warmup", 0)
    warm = step / warmup if step < warmup else 1.0
    if schedule["decay"] == "constant":
        return warm
    assert schedule["decay"] == "rsqrt", schedule
    since = max(step - warmup, 0) + schedule.get("shift", 0.0)
    return warm / math.sqrt(1 + since / schedule.get("timescale", max(warmup, 1)))


def decay_groups(model, decay):
    """(parameters, decay): matrices and kernels of layers, the classifier's apart, and the rest."""
    decay = decay if isinstance(decay, dict) else dict(body=decay, head=decay)
    groups = {key: [] for key in ("body", "head", "none")}
    for name, parameter in models.parameters(model).items():
        is_matrix = name.endswith(".weight") and parameter.ndim >= 2
        is_head = name in ("head.weight", "head.fc.weight")
        groups["head" if is_matrix and is_head else "body" if is_matrix else "none"].append(parameter)
    return [(groups["body"], decay["body"]), (groups["head"], decay["head"]), (groups["none"], 0.0)]


class Own:
    """An optimiser whose direction is written out below; parameters shrink first, as in AdamW."""

    def __init__(self, groups, direction, settings):
        self.groups, self.direction, self.settings = groups, direction, settings
        self.states = {parameter: {} for group, _ in groups for parameter in group}

    def step(self, rate, shrink):
        for (group, _), share in zip(self.groups, shrink):
            for parameter in group:
                parameter.mul_(1 - share)
                parameter.sub_(rate * self.direction(parameter.grad, self.states[parameter], self.settings))


def adamw_bf16(gradient, state, settings):
    """optax's `mu_dtype`: the first moment is used in full and rounded when it is stored."""
    beta1, beta2 = settings.get("beta1", 0.9), settings.get("beta2", 0.95)
    count = state["count"] = state.get("count", 0) + 1
    first = beta1 * state.get("first", torch.zeros(())).to(gradient.dtype) + (1 - beta1) * gradient
    second = state["second"] = beta2 * state.get("second", 0.0) + (1 - beta2) * gradient**2
    state["first"] = first.to(torch.bfloat16)
    return first / (1 - beta1**count) / ((second / (1 - beta2**count)).sqrt() + settings.get("eps", 1e-8))


def sgd_bf16(gradient, state, settings):
    """optax's `trace` with an accumulator of bf16: likewise."""
    momentum = settings.get("momentum", 0.9)
    trace = momentum * state.get("trace", torch.zeros(())).to(gradient.dtype) + gradient
    state["trace"] = trace.to(torch.bfloat16)
    return gradient + momentum * trace if settings.get("nesterov", False) else trace


class Theirs:
    """An optimiser of a library; `decay` says what its weight_decay has to be for parameters to shrink by a share."""

    def __init__(self, optimiser, decay):
        self.optimiser, self.decay = optimiser, decay

    def step(self, rate, shrink):
        for group, share in zip(self.optimiser.param_groups, shrink):
            group.update(lr=rate, weight_decay=self.decay(rate, share))
        self.optimiser.step()


class Sgd(Theirs):
    """torch's own decay is part of the gradient: parameters shrink before instead."""

    def step(self, rate, shrink):
        for group, share in zip(self.optimiser.param_groups, shrink):
            for parameter in group["params"]:
                parameter.mul_(1 - share)
        super().step(rate, shrink)


def optimiser(setting, groups):
    setting = table(setting, "adamw")
    plain = [dict(params=group) for group, _ in groups]
    if setting["name"] == "adafactor":
        adafactor = AdafactorBigVision(
            plain,
            min_dim_size_to_factor=setting.get("min_dim", 32),
            decay_rate=setting.get("decay_exponent", 0.8),
            beta2_cap=setting.get("beta2_cap", 0.999),
            momentum=setting.get("beta1", 0.9),
            momentum_dtype=MOMENTS[setting.get("first_moment", "bf16")] or plain[0]["params"][0].dtype,
            eps=setting.get("eps", 1e-30),
            unscaled_wd=True,
        )
        return Theirs(adafactor, lambda rate, share: share)
    half = setting.get("first_moment", "f32") == "bf16"
    if setting["name"] == "adamw":
        if half:
            return Own(groups, adamw_bf16, setting)
        betas = setting.get("beta1", 0.9), setting.get("beta2", 0.95)
        adamw = torch.optim.AdamW(plain, betas=betas, eps=setting.get("eps", 1e-8), foreach=False)
        return Theirs(adamw, lambda rate, share: share / rate)
    assert setting["name"] == "sgd", setting
    if half:
        return Own(groups, sgd_bf16, setting)
    momentum, nesterov = setting.get("momentum", 0.9), setting.get("nesterov", False)
    sgd = torch.optim.SGD(plain, lr=1.0, momentum=momentum, nesterov=nesterov, foreach=False)
    return Sgd(sgd, lambda rate, share: 0.0)


def train(spec, settings, weights, images, labels, steps, dtype=torch.float64):
    """Losses and gradient norms before clipping of `steps` steps, and the parameters after them."""
    model = models.build(spec, dtype)
    models.load(model, weights)
    parameters = models.parameters(model)
    groups = decay_groups(model, settings.get("weight_decay", 0.0))
    decay = settings.get("weight_decay")
    independent = isinstance(decay, dict) and decay.get("convention") == "independent"
    updates = optimiser(settings.get("optimiser"), groups)
    losses, norms = [], []
    for step in range(steps):
        share = multiplier(settings["schedule"], step)
        rate = share * settings["learning_rate"]
        model.zero_grad()
        loss = objective(settings.get("objective"), model(images.to(dtype)), labels)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), settings.get("clip", 1.0) or math.inf)
        with torch.no_grad():
            updates.step(rate, [(share if independent else rate) * decay for _, decay in groups])
        losses.append(loss.item())
        norms.append(norm.item())
    return losses, norms, {name: parameter.detach() for name, parameter in parameters.items()}
