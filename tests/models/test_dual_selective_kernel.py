import pytest
import timm
import torch
import torch.distributed
from timm.layers import SelectiveKernel, convert_sync_batchnorm
from torch import nn

from raysearch.models import dual_selective_kernel
from raysearch.models.dual_selective_kernel import DualBlock, DualSelectiveKernelResNet, pick_together

GROUPS = {"cardinality": 2, "base_width": 32}
KERNELS = {"sk_kwargs": {"rd_ratio": 1 / 16, "rd_divisor": 8, "split_input": False}}


def block(**kwargs):
    torch.manual_seed(0)
    return DualBlock(16, 4, **GROUPS, **KERNELS, **kwargs).double()


def images(batch=2):
    return torch.randn(batch, 16, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def small_net():
    torch.manual_seed(0)
    return DualSelectiveKernelResNet(
        DualBlock,
        (1, 1, 1, 1),
        num_classes=5,
        channels=(8, 8, 16, 16),
        block_args=KERNELS,
        zero_init_last=False,
        **GROUPS,
    )


@torch.no_grad()
def test_at_test_it_is_the_mean_of_both_branches():
    dual, x = block().eval(), images()
    expected = torch.relu((dual.branches[0](x) + dual.branches[1](x)) / 2 + x)
    torch.testing.assert_close(dual(x), expected)
    assert torch.equal(dual(x), dual(x))


@torch.no_grad()
def test_in_training_it_is_one_of_the_branches():
    dual, x = block().train(), images()
    singles = [torch.relu(branch(x) + x) for branch in dual.branches]
    found = [[torch.equal(y, single) for single in singles] for y in (dual(x) for _ in range(60))]
    assert all(sum(row) == 1 for row in found)
    assert 15 < sum(row[0] for row in found) < 45


def test_the_branch_is_picked_by_torchs_global_generator():
    model, x = small_net().train(), torch.randn(2, 3, 32, 32)

    def passes():
        torch.manual_seed(5)
        return [model(x) for _ in range(6)]

    first, second = passes(), passes()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(first[0], other) for other in first[1:])


def test_the_branch_that_was_not_picked_is_left_as_it_was():
    dual, x = block().train(), images()
    before = [{name: tensor.clone() for name, tensor in branch.state_dict().items()} for branch in dual.branches]
    optimizer = torch.optim.SGD(dual.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    dual(x).square().sum().backward()
    optimizer.step()
    moved = [
        any(not torch.equal(tensor, before[index][name]) for name, tensor in branch.state_dict().items())
        for index, branch in enumerate(dual.branches)
    ]
    assert sorted(moved) == [False, True]
    still = dual.branches[moved.index(False)]
    assert all(weights.grad is None for weights in still.parameters())
    assert DualSelectiveKernelResNet.has_unused_parameters


@torch.no_grad()
def test_drop_path_drops_the_residual_and_downsample_stands_in_the_shortcut():
    down = nn.Conv2d(16, 16, 1, 2, bias=False)
    dual = block(stride=2, downsample=down, drop_path=nn.Threshold(float("inf"), 0.0)).eval()
    torch.testing.assert_close(dual(images()), torch.relu(down(images())))


def test_its_kernels_are_those_of_the_method():
    with torch.device("meta"):
        model = timm.create_model("dsk_resnext101")
    blocks = [module for module in model.modules() if isinstance(module, DualBlock)]
    assert len(blocks) == 3 + 4 + 23 + 3
    kernels = [module for module in model.modules() if isinstance(module, SelectiveKernel)]
    assert len(kernels) == 2 * len(blocks)
    for kernel in kernels:
        convs = [path.conv for path in kernel.paths]
        assert [conv.dilation for conv in convs] == [(1, 1), (2, 2)]
        assert {conv.kernel_size for conv in convs} == {(3, 3)}
        assert {conv.groups for conv in convs} == {32}
        assert {conv.in_channels for conv in convs} == {kernel.out_channels}
        assert kernel.attn.fc_reduce.out_channels == max(kernel.out_channels // 16, 32)


@pytest.mark.parametrize("rank0s", [0, 1])
def test_workers_that_share_batch_statistics_run_rank_0s_branch(monkeypatch, rank0s):
    sources = []

    def broadcast(tensor, src):
        sources.append(src)
        tensor.fill_(rank0s)

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "broadcast", broadcast)
    assert {pick_together(torch.device("cpu")) for _ in range(9)} == {rank0s}
    assert sources == [0] * 9


@pytest.mark.parametrize("is_shared", [False, True])
def test_only_shared_batch_statistics_make_workers_pick_together(monkeypatch, is_shared):
    asked = []
    monkeypatch.setattr(dual_selective_kernel, "pick_together", lambda device: asked.append(device) or 0)
    dual = block()
    dual = convert_sync_batchnorm(dual) if is_shared else dual
    assert dual._pick(torch.device("cpu")) in (0, 1)
    assert bool(asked) == is_shared


def test_compiling_it_changes_nothing():
    model, x = small_net().eval(), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(torch.compile(model, backend="eager")(x), model(x))
