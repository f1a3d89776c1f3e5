"""Random configurations from the whole space of options, with random normal weights."""

import random

import torch

import cases
import models


class Draw:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape):
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def options(self, **choices):
        """One of each list, and each only now and then: defaults are options too."""
        return {key: self.random.choice(values) for key, values in choices.items() if self.random.random() < 0.7}

    def body(self):
        head, heads = self.random.choice([4, 8, 12, 16]), self.random.randint(1, 5)
        width = head * heads
        return dict(width=width, depth=self.random.randint(1, 4), mlp=self.random.randint(8, 5 * width), heads=heads)

    def transformer(self):
        flags = [False, True]
        options = self.options(
            pool=["gap", "token", "map", "none"], positions=["learned", "sincos2d"], gelu=["exact", "tanh"],
            norm=list(cases.NORMS), block=["sequential", "parallel"], qk_norm=flags, qkv_bias=flags, fc_norm=flags,
            no_embed_class=flags, pre_norm=flags, pre_logits=flags, dropout=[0.3], drop_path=[0.4],
        )
        if options.get("pool", "gap") != "gap":
            options.pop("fc_norm", None)
        if options.get("pool") == "none":
            options["classes"] = self.random.randint(2, 12)
        shape = self.body()
        if shape["width"] < 8:
            options.pop("positions", None)
        return dict(options, shape=shape)

    def classes(self):
        return self.random.choice([0, *range(2, 13)])

    def vit(self):
        patch = self.random.choice([2, 4, 5, 7, 8])
        sized = dict(family="vit", patch=patch, resolution=patch * self.random.randint(1, 8), classes=self.classes())
        return sized | self.transformer()

    def stages(self, most):
        """timm knows multiples of 8 alone, and a group norm of few numbers is ill-conditioned."""
        width = self.random.choice([8, 16, 24])
        layers = [self.random.randint(1, 2) for _ in range(self.random.randint(most > 3, most))]
        return layers, width, self.random.choice([groups for groups in (1, 2, 4) if width % groups == 0])

    def hybrid(self):
        layers, width, groups = self.stages(3)
        side = self.random.randint(20, 56)
        grid = side
        for _ in range(2 + max(len(layers) - 1, 0)):
            grid = -(-grid // 2)
        patch = self.random.choice([patch for patch in (1, 2) if grid % patch == 0])
        stem = dict(layers=layers, width=width, groups=groups)
        return dict(family="hybrid", stem=stem, patch=patch, resolution=side, classes=self.classes()) | self.transformer()

    def bit(self):
        layers, width, groups = self.stages(4)
        return cases.bit(layers, width, groups, self.random.randint(24, 56), self.classes())

    def mixer(self):
        patch, shape = self.random.choice([3, 4, 8]), self.body()
        del shape["heads"]
        shape["tokens"] = self.random.randint(4, 60)
        resolution = patch * self.random.randint(1, 8)
        options = self.options(gelu=["exact", "tanh"], drop_path=[0.4])
        return dict(family="mixer", patch=patch, shape=shape, resolution=resolution, classes=self.classes(), **options)

    def weights(self, shapes):
        """Norms around one, matrices that keep the scale of what they read, the rest small."""
        values = {}
        for name, shape in shapes.items():
            is_matrix = name.endswith(".weight") and len(shape) > 1
            scale = torch.Size(shape[1:]).numel() ** -0.5 if is_matrix else 0.3
            values[name] = scale * self.normal(*shape) + float(models.is_scale(name))
        return values

    def images(self, batch, side):
        return 2 * torch.rand(batch, 3, side, side, generator=self.generator, dtype=torch.float64) - 1

    def forward_case(self, number):
        family = self.random.choice(["vit", "vit", "vit", "hybrid", "bit", "mixer"])
        spec = getattr(self, family)()
        case = dict(name=f"random {number}, {family}", spec=spec)
        is_resampled = family == "vit" and spec.get("positions") != "sincos2d" and self.random.random() < 0.3
        if is_resampled:
            case["weights_resolution"] = spec["patch"] * self.random.randint(2, 8)
            case["resample"] = self.random.choice(["bilinear", "bicubic"])
        return case

    def optimiser(self, names):
        constants = dict(
            adamw=self.options(beta1=[0.8, 0.95], beta2=[0.9, 0.999], eps=[1e-7], first_moment=["f32", "bf16"]),
            sgd=self.options(momentum=[0.5, 0.95], nesterov=[False, True], first_moment=["f32", "bf16"]),
            adafactor=self.options(
                beta1=[0.8], beta2_cap=[0.5, 0.99], decay_exponent=[0.6], min_dim=[8, 16], first_moment=["f32", "bf16"]
            ),
        )
        name = self.random.choice(names)
        return dict(name=name, **constants[name])

    def decay(self):
        pick = self.random.choice
        if self.random.random() < 0.3:
            return pick([0.0, 1.0])
        if self.random.random() < 0.5:
            return dict(body=pick([0.0, 0.01]), head=pick([0.0, 0.05]), convention="independent")
        return dict(body=pick([0.0, 1.0]), head=pick([0.0, 3.0]), convention="rate")

    def step_case(self, number):
        """No adaptive optimiser meets a parameter without influence on the loss, of whose gradient's rounding noise it
        would make whole steps: keys' biases, all of attention to a single token, and the last biases of a Mixer's token
        MLPs, which the next norm removes.
        """
        family = self.random.choice(["vit", "vit", "hybrid", "bit", "mixer"])
        optimiser = self.optimiser(["sgd"] if family == "mixer" else ["adamw", "sgd", "adafactor"])
        spec = getattr(self, family)()
        spec = {key: value for key, value in spec.items() if key not in ("dropout", "drop_path")}
        spec["classes"] = self.random.randint(2, 12)
        if spec.get("pool") == "none":
            spec["pool"] = "token"
        if optimiser["name"] != "sgd" and family in ("vit", "hybrid"):
            spec |= dict(qkv_bias=False, norm=self.random.choice(["layer-norm-no-bias", "rms-norm"]))
            spec["pool"] = self.random.choice(["gap", "token"]) if spec.get("pool") == "map" else spec.get("pool", "gap")
            if models.build(spec).patch_embed.num_patches == 1:
                spec |= dict(pool="token", fc_norm=False)
        batch = self.random.randint(2, 6)
        schedule = self.random.choice([dict(decay="constant"), dict(decay="rsqrt", timescale=1.5, shift=0.5)])
        train = dict(batch=batch, learning_rate=1e-3 if optimiser["name"] == "sgd" else 1e-4, schedule=schedule)
        train |= dict(optimiser=optimiser, weight_decay=self.decay(), clip=self.random.choice([0, 0.5, 1.0, 5.0]))
        train |= self.options(
            objective=["softmax", "sigmoid", dict(name="softmax", label_smoothing=0.2)],
            micro_batch=[n for n in range(1, batch + 1) if batch % n == 0], checkpoint_activations=[False, True],
        )
        return dict(name=f"random step {number}, {family}, {optimiser['name']}", spec=spec, train=train)

    def labels(self, batch, classes):
        return torch.tensor([self.random.randrange(classes) for _ in range(batch)])
