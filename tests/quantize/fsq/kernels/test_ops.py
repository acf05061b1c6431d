"""The operators as compilers and exporters see them, and the ONNX graph that has none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from gridcode.quantize.fsq.forms import FORMS, FormName
from gridcode.quantize.fsq.quantizer import FSQ


class Indices(nn.Module):
    """Latents to indices, of one form after another."""

    def __init__(self, *forms: FormName) -> None:
        super().__init__()
        self.quantizers = nn.ModuleList(FSQ([8, 5, 5, 5], form=form).eval() for form in forms)

    def forward(self, latents: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(quantizer(latents).indices for quantizer in self.quantizers)


def test_the_operator_stays_in_an_exported_program() -> None:
    program = torch.export.export(Indices("paper"), (torch.randn(3, 4),))
    assert any("gridcode.fsq" in str(node.target) for node in program.graph.nodes)


@pytest.mark.parametrize("name", ["fsq", "fsq_backward", "fsq_decode"])
def test_operators_pass_pytorchs_own_checks(name: str) -> None:
    book = ([8, 5], "paper", 1e-3, -1)
    z = torch.randn(5, 2)
    arguments = {
        "fsq": (z.requires_grad_(), *book, False),
        "fsq_backward": (torch.randn(5, 2), z.detach(), *book),
        "fsq_decode": (torch.arange(5), *book, torch.float32),
    }
    torch.library.opcheck(getattr(torch.ops.gridcode, name).default, arguments[name])


class Seen(TorchDispatchMode):
    """What a counter of operators sees."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("form", FORMS)
def test_with_and_without_its_operator_it_is_the_same(form: FormName) -> None:
    quantizer = FSQ([8, 5, 5, 5], form=form).eval()
    z, upstream = torch.randn(2, 50, 4) * 2, torch.randn(50, 4)
    z = z[0].requires_grad_()
    codes, indices, _ = vars(quantizer(z)).values()
    (gradient,) = torch.autograd.grad(codes, z, upstream)
    assert not indices.requires_grad
    with Seen() as seen:
        operator = quantizer(z)
        (expected,) = torch.autograd.grad(operator.codes, z, upstream)
        decoded = quantizer.indices_to_codes(indices)
    assert {"gridcode.fsq.default", "gridcode.fsq_backward.default", "gridcode.fsq_decode.default"} <= seen.names
    assert torch.equal(codes, operator.codes)
    assert torch.equal(indices, operator.indices)
    assert torch.equal(gradient, expected)
    assert torch.equal(quantizer.indices_to_codes(indices), decoded)
    with torch.no_grad():
        assert torch.equal(quantizer(z).codes, codes)


def test_fake_tensors_go_through_the_operator() -> None:
    quantizer = FSQ([8, 5])
    with FakeTensorMode():
        out = quantizer(torch.randn(3, 2, requires_grad=True))
    assert (out.codes.shape, out.indices.shape, out.indices.dtype) == ((3, 2), (3,), torch.int64)


def test_a_second_derivative_is_refused() -> None:
    z = torch.randn(3, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(FSQ([8, 5])(z).codes.square().sum(), z, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


@pytest.mark.filterwarnings("ignore")
def test_onnx_runtime_gives_the_same_indices(tmp_path: Path) -> None:
    """One graph of two forms: an export takes seconds, and forms differ in their numbers alone."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    forms: tuple[FormName, ...] = ("paper", "symmetric")
    model = Indices(*forms).eval()
    z = torch.randn(100_000, 4, generator=torch.Generator().manual_seed(0))
    torch.onnx.export(model, (z[:1000],), tmp_path / "fsq.onnx", dynamo=True, dynamic_shapes=({0: "n"},), verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "fsq.onnx")
    found = session.run(None, {session.get_inputs()[0].name: z.numpy()})
    for form, indices, expected in zip(forms, found, model(z), strict=True):
        assert torch.equal(torch.from_numpy(indices), expected), form


def test_fully_sharded_data_parallel_takes_it(tmp_path: Path) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        model = nn.Sequential(nn.Linear(6, 4), FSQ([8, 5, 5, 5]))
        z = torch.randn(7, 6)
        expected = model(z).indices
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
        out = model(z)
        out.codes.sum().backward()
        assert torch.equal(out.indices, expected)
    finally:
        torch.distributed.destroy_process_group()
