"""The one-pass kernels against the plain reference: bit for bit in codes and indices.

The Triton kernels run on a CUDA device; where there is none, ``test_triton_through_its_interpreter`` runs this file
again in a process that has TRITON_INTERPRET=1 from its start.
"""

from __future__ import annotations

import importlib
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch

from gridcode.errors import GridcodeError
from gridcode.quantize.fsq.forms import FORMS, FormName, code_grid
from gridcode.quantize.fsq.kernels import ops, reference

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu"
KERNELS = ["numba_cpu"] if find_spec("numba") and not INTERPRETED else []
if DEVICE == "cuda" or INTERPRETED:
    KERNELS.append("triton_cuda")

BOOKS = [(8, 5, 5, 5), (2,), (8, 8, 8, 6, 5), (3,) * 12, (1000, 2, 7), (64, 65)]
LAYOUTS = [((700,), -1), ((3, 11, 5), 1), ((2, 30, 40), 1), ((4,), 0), ((0, 6), -1), ((2, 3, 5), -2)]
SHAPED: tuple[FormName, ...] = FORMS
if INTERPRETED:  # the interpreter is slow: a book of each kind, fewer layouts, and forms that differ in numbers alone
    SHAPED = ("paper", "symmetric")
    BOOKS, LAYOUTS = [(8, 5, 5, 5), (2,), (64, 65)], [((70,), -1), ((2, 11, 5), 1), ((0, 6), -1), ((2, 1, 5), -2)]

# numpy says so of the latent 3e38 where it interprets Triton
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in multiply:RuntimeWarning")


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(f"gridcode.quantize.fsq.kernels.{request.param}")


def place(kernel: ModuleType, values: torch.Tensor) -> torch.Tensor:
    """Values where the kernel works."""
    return values.to(DEVICE if kernel.__name__.endswith("triton_cuda") else "cpu")


def cases(book: tuple[int, ...], form: FormName, shape: tuple[int, ...], dim: int, dtype: torch.dtype) -> torch.Tensor:
    """Random latents, the thresholds themselves and their neighbours, and what is not finite."""
    at = dim % (len(shape) + 1)
    full = [*shape[:at], len(book), *shape[at:]]
    z = torch.randn(full, generator=torch.Generator().manual_seed(0)) * 2
    edges = torch.cat([torch.tensor(c.thresholds32.tolist()) for c in code_grid(book, form).channels])
    near = torch.cat([edges, torch.nextafter(edges, torch.tensor(math.inf)), -edges])
    special = torch.tensor([math.inf, -math.inf, 0.0, -0.0, 1e-42, 3e38])
    flat, extra = z.view(-1), torch.cat([near, special])
    flat[: min(len(flat), len(extra))] = extra[: len(flat)]
    return z.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("shape", "dim"), LAYOUTS, ids=str)
@pytest.mark.parametrize("form", SHAPED)
def test_codes_indices_and_gradient(
    kernel: ModuleType, form: FormName, shape: tuple[int, ...], dim: int, dtype: torch.dtype
) -> None:
    if dtype not in kernel.DTYPES:
        return  # goes to the reference
    for levels in BOOKS:
        book, z = code_grid(levels, form), place(kernel, cases(levels, form, shape, dim, dtype))
        codes, indices = kernel.quantize(z, book, channel_dim=dim, check_nan=True)
        expected, numbers = reference.quantize(z, book, channel_dim=dim, check_nan=True)
        assert torch.equal(indices, numbers)
        assert codes.dtype == dtype
        # Triton's interpreter does not round to the nearest 16-bit number; a GPU does.
        ulp = torch.finfo(dtype).eps if INTERPRETED and dtype != torch.float32 else 0.0
        torch.testing.assert_close(codes, expected, rtol=ulp, atol=0.0)
        back = kernel.decode(indices, book, channel_dim=dim, dtype=dtype)
        assert torch.equal(back, codes)
        upstream = place(kernel, torch.randn(z.shape, generator=torch.Generator().manual_seed(1)).to(dtype))
        got = kernel.gradient(upstream, z, book, channel_dim=dim)
        wanted = reference.gradient(upstream, z, book, channel_dim=dim)
        tolerance = 2e-6 if dtype == torch.float32 else 1e-2
        torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_images_in_the_channels_last_format_keep_it(kernel: ModuleType, dtype: torch.dtype) -> None:
    book = code_grid((8, 5, 5, 5))
    z = cases((8, 5, 5, 5), "paper", (2, 9, 7), 1, dtype).contiguous(memory_format=torch.channels_last)
    z = place(kernel, z)
    codes, indices = kernel.quantize(z, book, channel_dim=1, check_nan=True)
    assert codes.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(indices, reference.quantize(z, book, channel_dim=1, check_nan=True)[1])


def test_slices_and_expanded_gradients(kernel: ModuleType) -> None:
    book = code_grid((8, 5))
    z = place(kernel, torch.randn(6, 4, 10))[:, 1:3, ::2]
    assert torch.equal(
        kernel.quantize(z, book, channel_dim=1, check_nan=True)[1],
        reference.quantize(z, book, channel_dim=1, check_nan=True)[1],
    )
    upstream = place(kernel, torch.ones(())).expand(z.shape)
    torch.testing.assert_close(
        kernel.gradient(upstream, z, book, channel_dim=1), reference.gradient(upstream, z, book, channel_dim=1)
    )


@pytest.mark.parametrize("shape", [(50, 2), (2, 50)])
def test_nan_is_counted_or_zero(kernel: ModuleType, shape: tuple[int, int]) -> None:
    book, dim = code_grid((8, 5)), 1 if shape[0] == 50 else 0
    z = torch.randn(shape)
    z[1, 1] = math.nan
    z = place(kernel, z)
    with pytest.raises(GridcodeError, match="1 of 100 latents are NaN"):
        kernel.quantize(z, book, channel_dim=dim, check_nan=True)
    zero = kernel.quantize(z, book, channel_dim=dim, check_nan=False)
    assert torch.equal(zero[1], reference.quantize(z.nan_to_num(), book, channel_dim=dim, check_nan=True)[1])
    assert kernel.gradient(torch.ones_like(z), z, book, channel_dim=dim)[1, 1] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("dim", [-1, 1])
def test_codebooks_beyond_32_bits(kernel: ModuleType, dim: int, dtype: torch.dtype) -> None:
    book = code_grid((16,) * 10)
    z = torch.randn((3, 10, 7) if dim == 1 else (21, 10), generator=torch.Generator().manual_seed(0)) * 2
    z = place(kernel, z.to(dtype))
    codes, indices = kernel.quantize(z, book, channel_dim=dim, check_nan=True)
    expected, numbers = reference.quantize(z, book, channel_dim=dim, check_nan=True)
    assert torch.equal(indices, numbers)
    assert codes.dtype == dtype
    torch.testing.assert_close(codes, expected, rtol=torch.finfo(dtype).eps if INTERPRETED else 0.0, atol=0.0)
    assert torch.equal(kernel.decode(indices, book, channel_dim=dim, dtype=dtype), codes)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_slices_of_threads_join_to_the_same(threads: int) -> None:
    numba_cpu = pytest.importorskip("gridcode.quantize.fsq.kernels.numba_cpu")
    book, before = code_grid((8, 5, 5, 5)), torch.get_num_threads()
    z = torch.randn(100_003, 4)
    try:
        torch.set_num_threads(threads)
        codes, indices = numba_cpu.quantize(z, book, channel_dim=-1, check_nan=True)
    finally:
        torch.set_num_threads(before)
    expected = reference.quantize(z, book, channel_dim=-1, check_nan=True)
    assert torch.equal(codes, expected[0])
    assert torch.equal(indices, expected[1])


@pytest.mark.parametrize("levels", [(8,) * 21, (1000,) * 6, (65536, 65536), (65536, 65535)], ids=str)
def test_indices_of_huge_books(kernel: ModuleType, levels: tuple[int, ...]) -> None:
    book = code_grid(levels, "symmetric")
    size = math.prod(levels)
    indices = place(kernel, torch.tensor([0, 1, size // 3, size - 2, size - 1]))
    codes = kernel.decode(indices, book, channel_dim=-1, dtype=torch.float32)
    assert torch.equal(codes, reference.decode(indices, book, channel_dim=-1, dtype=torch.float32))


@pytest.mark.parametrize("in_dim", [0, 1, 2])
def test_vmap_and_grad(in_dim: int) -> None:
    book = code_grid((8, 5))
    z = torch.randn(3, 3, 3, 2)

    def codes(values: torch.Tensor) -> torch.Tensor:
        return ops.quantize(values, book, channel_dim=-1, check_nan=False)[0]

    batched = torch.vmap(codes, in_dims=in_dim)(z)
    assert torch.equal(batched, codes(z.movedim(in_dim, 0)))

    def total(values: torch.Tensor) -> torch.Tensor:
        return codes(values).square().sum()

    leaf = z.clone().requires_grad_()
    total(leaf).backward()
    torch.testing.assert_close(torch.func.grad(total)(z), leaf.grad)


@pytest.mark.skipif(not find_spec("triton"), reason="triton is not installed")
@pytest.mark.skipif(INTERPRETED, reason="is the interpreter's process")
def test_triton_through_its_interpreter() -> None:
    """Triton reads the variable when it is imported, which another test may have done: hence a new process."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        __file__,
        "-k",
        "triton_cuda",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


@pytest.mark.skipif(not find_spec("triton"), reason="triton is not installed")
@pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")
@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("d", [4, 5])
def test_triton_compiles_without_a_device(d: int, flat: bool) -> None:
    """What the interpreter lets pass, the compiler may not; memory must be read and written in wide words."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler import compile as compile_kernel

    from gridcode.quantize.fsq.kernels import triton_cuda

    kinds = {"indices": "*i64", "bad": "*i32", "basis": "*i64", "levels": "*i64", "vectors": "i32", "tiles": "i32"}
    tile = {"FLAT": flat, "D": d, "WIDTH": 4 if d == 4 else 8, "BLOCK": 2048 // (4 if d == 4 else 8)}
    constants = {
        triton_cuda._forward: {"MOST": 7, "STEPS": 0, "CHECK": True} | tile,
        triton_cuda._backward: tile,
        triton_cuda._decode: {"NARROW": True} | tile,
    }
    for kernel, fixed in constants.items():
        names = kernel.arg_names
        source = ASTSource(
            kernel,
            signature={name: "constexpr" if name in fixed else kinds.get(name, "*fp32") for name in names},
            constexprs={(names.index(name),): value for name, value in fixed.items()},
            attrs={(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if name not in {*fixed, "tiles"}},
        )
        options = {"enable_fp_fusion": False}
        assembly = compile_kernel(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]
        if d == 4 or not flat:
            assert "st.global.v4.b32" in assembly
