from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from resight.models.folding import fold_batch_norm


def shaken(model: nn.Module) -> nn.Module:
    """Statistics and scales as after training: fresh ones would hide a wrong pairing."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in (
                (module.running_mean, -0.5, 0.5), (module.running_var, 0.5, 2.0), (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
            ):  # fmt: skip
                values.data.uniform_(low, high, generator=generator)
    return model.eval().requires_grad_(False)


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def test_one_pair_by_hand():
    conv, norm = nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, eps=0.0)
    conv.weight.data.fill_(3.0)
    norm.running_mean.fill_(2.0)
    norm.running_var.fill_(4.0)
    norm.weight.data.fill_(10.0)
    norm.bias.data.fill_(7.0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.grow = conv, norm, nn.Conv2d(3, 1, 1)

        def forward(self, x):
            return self.norm(self.conv(x[:, :1]))

    folded = fold_batch_norm(Net().eval().requires_grad_(False), 4)
    assert folded.conv.weight.item() == pytest.approx(15.0)  # 3 * 10 / 2
    assert folded.conv.bias.item() == pytest.approx(-3.0)  # (0 - 2) * 10 / 2 + 7
    assert isinstance(folded.norm, nn.Identity)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "mobilenetv3_small_050", "resnetv2_50d_evos"])
def test_the_same_function_with_fewer_steps(name):
    model = shaken(timm.create_model(name))
    before = norms(model)
    folded = fold_batch_norm(model)
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-4 * float(model(x).abs().max()))
    assert norms(model) == before  # the model itself is as it was
    if name in ("tf_efficientnet_lite0", "resnet18"):
        assert norms(folded) == 0


def test_a_wrong_guess_is_not_used():
    class Crossed(nn.Module):
        """Registered as neighbours, but the normalisation comes after an activation."""

        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x):
            return self.norm(torch.relu(self.conv(x)))

    model = shaken(Crossed())
    assert fold_batch_norm(model) is model


def test_nothing_to_fold():
    model = timm.create_model("vit_tiny_patch16_224").eval()
    assert fold_batch_norm(model, 224) is model
