import torch
from torch import nn

from solo_bg.mmdet_plugin.bf16 import Bf16OptimWrapper


def test_the_forward_pass_is_in_bfloat16_and_the_weights_stay_float32():
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    wrapper = Bf16OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    before = model.weight.detach().clone()
    with wrapper.optim_context(model):
        out = model(torch.randn(5, 4))
        assert out.dtype == torch.bfloat16
        loss = out.float().square().mean()
    wrapper.update_params(loss)
    assert model.weight.dtype == torch.float32 and not torch.equal(model.weight, before)


def test_a_config_can_name_it():
    from mmengine.registry import OPTIM_WRAPPERS

    assert OPTIM_WRAPPERS.get('Bf16OptimWrapper') is Bf16OptimWrapper
