"""Prints the logits that tests/parity.rs expects, from timm's own VisionTransformer.

Needs torch 2.11, timm 1.0.31. Weights and images follow formulas, so that no file has to travel:
parameter number n (from 0, in state-dict order), element i: offset + 0.1 sin(0.37 (i + 1) + n), where
offset is 1 for norm weights and 0 otherwise; image element i: ((i mod 257) / 128.5) - 1.
The sines are taken in f64.
"""

import timm.layers
import torch
from timm.models.vision_transformer import VisionTransformer

timm.layers.set_fused_attn(False)
torch.set_num_threads(1)


def fill(model):
    for n, (name, parameter) in enumerate(model.state_dict().items()):
        i = torch.arange(parameter.numel(), dtype=torch.float64)
        offset = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        parameter.copy_((offset + 0.1 * torch.sin(0.37 * (i + 1) + n)).view(parameter.shape))


def images():
    i = torch.arange(2 * 3 * 32 * 32, dtype=torch.float64)
    return ((i % 257) / 128.5 - 1).view(2, 3, 32, 32)


VARIANTS = {
    "gap": dict(embed_dim=48, depth=2, num_heads=3, patch_size=8, global_pool="avg", class_token=False, fc_norm=False),
    "token": dict(embed_dim=48, depth=2, num_heads=3, patch_size=8, global_pool="token"),
    "wide_mlp": dict(embed_dim=24, depth=3, num_heads=2, patch_size=4, mlp_ratio=6, global_pool="avg", class_token=False, fc_norm=False),
}

for name, arguments in VARIANTS.items():
    model = VisionTransformer(img_size=32, num_classes=5, **arguments).double().eval()
    with torch.no_grad():
        fill(model)
        logits = model(images())
    print(name, sum(p.numel() for p in model.parameters()), [n for n, _ in model.named_parameters()][:4])
    for row in logits.tolist():
        print("   ", ", ".join(f"{value!r}" for value in row))
