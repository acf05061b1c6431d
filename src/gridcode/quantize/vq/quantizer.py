r"""Vector quantization: the nearest of K learned vectors, composed of five parts.

```
                                                                        ┌─ update    how the codebook learns
latents z ── distance.relax ──> nearest codeword q_k ── gradient ──> codes
                                     │      └ start    where it begins  └─ revival   what keeps it alive
                                   index k
```

    index = argmin_k | relax(z) - e_k |²         codes = e_index         loss = update's + revival's     (training)

This is the baseline that FSQ is compared with: a codebook of K d numbers which must be learned and kept alive, where
FSQ has neither. The parts are small frozen values, each in a file with its formula; three presets put together what was
published.

Reference: van den Oord, Vinyals, Kavukcuoglu 2017 (arXiv 1711.00937); Chang et al. 2022 (arXiv 2202.04200); Kolesnikov
et al. 2022 (arXiv 2205.10337).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, final

import torch
from torch import Tensor, nn

from gridcode.errors import GridcodeError
from gridcode.quantize.base import Quantized, Quantizer
from gridcode.quantize.fsq.kernels.reference import working_dtype
from gridcode.quantize.latents import check_codes_dtype, check_place, check_vectors, finite
from gridcode.quantize.radix import check_indices
from gridcode.quantize.ranges import check_whole
from gridcode.quantize.vq.codebook import Codebook, from_first, generator_of, joined
from gridcode.quantize.vq.distance import Distance, Euclidean, UnitNorm, exact_match, nearest
from gridcode.quantize.vq.gradient import Gradient, StraightThrough
from gridcode.quantize.vq.revival import EntropyLoss, Nothing, Revival, Splitting
from gridcode.quantize.vq.start import Normal, Start, Uniform
from gridcode.quantize.vq.update import ByLoss, Discounted, Update

PARTS = {"update": Update, "revival": Revival, "distance": Distance, "start": Start, "gradient": Gradient}
"""What a quantizer is composed of."""
_BY_LOSS, _NOTHING, _EUCLIDEAN, _UNIFORM, _STRAIGHT = ByLoss(), Nothing(), Euclidean(), Uniform(), StraightThrough()


@final
class VQ(Quantizer):
    """The nearest of K codewords of d channels.

    In training each forward pass is a step of the codebook: statistics are joined over the processes of
    ``torch.distributed`` where it is in use, and every process has the same codebook (``codebook.py``). In evaluation
    nothing changes and the loss is 0. Everything is computed in float32 (float64 latents stay float64), also under
    autocast; codes come back in the latents' dtype.

    The state dict holds all that training goes on from: ``codebook`` (a parameter with ``ByLoss``, else a buffer),
    ``counts`` and ``sums`` where the parts keep them, ``seed`` and ``steps``, from which random choices come
    (``codebook.py``); the start runs where ``steps`` is 0. It does not hold the parts: ``spec`` does.

    A NaN or infinite latent has no nearest codeword and is an error. Traced code cannot read values: there it counts
    as 0 with gradient 0. ``torch.compile(fullgraph=True)`` takes evaluation; in training the graph breaks where the
    codebook learns.

    Args:
        size: K, the number of codewords, 2 or more.
        channels: d, 1 or more.
        update: How the codebook learns: ``ByLoss``, ``ByEMA`` or ``Discounted``.
        revival: What keeps it alive: ``Nothing``, ``EntropyLoss``, ``Splitting`` or ``RandomRestarts``.
        distance: What near means: ``Euclidean`` or ``UnitNorm``.
        start: Where it begins: ``Uniform``, ``Normal`` or ``KMeans``.
        gradient: How the gradient passes the choice: ``StraightThrough`` or ``RotationTrick``.
        channel_dim: The dimension of the latents that holds the d channels; 1 for images (B, d, h, w).

    Raises:
        GridcodeError: A setting lies outside its range, or parts do not go together.

    >>> quantizer = VQ.plain(size=512, channels=8)
    >>> out = quantizer(torch.randn(2, 16, 8))
    >>> out.codes.shape, out.indices.shape, out.loss.shape
    (torch.Size([2, 16, 8]), torch.Size([2, 16]), torch.Size([]))
    >>> torch.equal(quantizer.indices_to_codes(out.indices), out.codes)
    True
    """

    codebook: Tensor
    counts: Tensor | None
    sums: Tensor | None
    seed: Tensor
    steps: Tensor

    def __init__(
        self,
        size: int,
        channels: int,
        *,
        update: Update = _BY_LOSS,
        revival: Revival = _NOTHING,
        distance: Distance = _EUCLIDEAN,
        start: Start = _UNIFORM,
        gradient: Gradient = _STRAIGHT,
        channel_dim: int = -1,
    ) -> None:
        super().__init__()
        check_whole("VQ", "size", size, least=2)
        check_whole("VQ", "channels", channels, least=1)
        self._size, self._channels, self.channel_dim = size, channels, channel_dim
        self.update, self.revival, self.distance, self.start, self.gradient = update, revival, distance, start, gradient
        self._check_parts()
        self._make_state()

    @classmethod
    def maskgit(cls, size: int = 1024, channels: int = 256, *, channel_dim: int = -1) -> VQ:
        """MaskGIT's: codebook loss 1, commitment 0.25, entropy loss 0.1 at temperature 0.01.

        Its codebook begins at U(±sqrt(3 / K)). Differs from the original code: memory is bounded, and the loss is made
        in training only.

        >>> VQ.maskgit().revival
        EntropyLoss(weight=0.1, temperature=0.01)
        """
        return cls(
            size,
            channels,
            update=ByLoss(codebook=1.0, commitment=0.25),
            revival=EntropyLoss(weight=0.1, temperature=0.01),
            start=Uniform(bound=math.sqrt(3 / size)),
            channel_dim=channel_dim,
        )

    @classmethod
    def uvim(cls, size: int = 4096, channels: int = 768, *, splitting: bool = True, channel_dim: int = -1) -> VQ:
        """UViM's: discounted sums at 0.995, splitting under 0.1, codewords of length 1, standardised latents.

        No commitment loss. Sums begin at N(0, 1 / K) and counts at 1. Without ``splitting`` the codebook collapses, as
        the ablation shows. Differs from the original code: splitting ends where there is nothing left to share
        (``revival.py``).

        >>> VQ.uvim().update
        Discounted(decay=0.995, commitment=0.0)
        """
        return cls(
            size,
            channels,
            update=Discounted(decay=0.995, commitment=0.0),
            revival=Splitting(threshold=0.1) if splitting else _NOTHING,
            distance=UnitNorm(latents="standardised"),
            start=Normal(),
            channel_dim=channel_dim,
        )

    @classmethod
    def plain(cls, size: int, channels: int, *, channel_dim: int = -1) -> VQ:
        """The first VQ-VAE's: codebook loss 1, commitment 0.25, and nothing that keeps codewords alive.

        >>> VQ.plain(512, 64).revival
        Nothing()
        """
        return cls(size, channels, channel_dim=channel_dim)

    @property
    def channels(self) -> int:
        """d, the channels of a codeword."""
        return self._channels

    @property
    def levels(self) -> tuple[int, ...]:
        """(K,): a codebook without structure."""
        return (self._size,)

    @property
    def index_shape(self) -> tuple[int, ...]:
        """(): one index a vector."""
        return ()

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents; in training, let the codebook learn from them.

        Args:
            latents: Finite floats of any rank, with d channels in ``channel_dim``; an empty batch changes nothing.

        Returns:
            Codes in the latents' shape and dtype, int64 indices without the channel dimension, and in training the
            parts' losses, added in float32.

        Raises:
            GridcodeError: They are not floats, the channels are not d, one is NaN or infinite; or, in training, the
                module was cast to 16 bits.
        """
        with torch.autocast(latents.device.type, enabled=False):
            rows = self._rows(latents, "latents")
            relaxed = self.distance.relax(finite("VQ", rows))
            if self.training:
                self._begin(relaxed.detach())
            # The codewords before the codebook learns from this batch: these are what the latents took.
            codewords = self.distance.codewords(self.codebook.detach().to(relaxed.dtype))
            flat = nearest(relaxed.detach(), codewords)
            codes = self.gradient.attach(codewords[flat], relaxed)
            loss = relaxed.new_zeros((), dtype=torch.float32)
            if self.training:
                loss = self._loss(relaxed, flat)
                self._learn(relaxed.detach(), flat)
        shape = self._places(latents)
        codes = codes.to(latents.dtype).reshape(*shape, self.channels).movedim(-1, self.channel_dim)
        return Quantized(codes=codes, indices=flat.reshape(shape), loss=loss)

    def relax(self, latents: Tensor) -> Tensor:
        """The latents as the distance compares them with codewords, in their shape and dtype; differentiable."""
        with torch.autocast(latents.device.type, enabled=False):
            relaxed = self.distance.relax(self._rows(latents, "latents")).to(latents.dtype)
        return relaxed.reshape(*self._places(latents), self.channels).movedim(-1, self.channel_dim)

    def indices_to_codes(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The codes of indices, constants without gradient.

        Args:
            indices: Integers in [0, K), any shape.
            dtype: A floating dtype for the codes.

        Returns:
            Codes with d channels in ``channel_dim``.

        Raises:
            GridcodeError: They are not integers, or one is outside [0, K) (not seen in traced code).

        >>> VQ.plain(size=4, channels=3).indices_to_codes(torch.tensor([0, 3])).shape
        torch.Size([2, 3])
        """
        check_codes_dtype("VQ", dtype)
        check_place("VQ", indices.ndim + 1, self.channel_dim, f"codes for indices of shape {tuple(indices.shape)}")
        checked = check_indices(indices, self.levels, self._size)
        return self._codes_of_all(dtype)[checked].movedim(-1, self.channel_dim)

    def codes_to_indices(self, codes: Tensor) -> Tensor:
        """The indices of codes: for codes that this codebook returned, exactly theirs; for others, the nearest one's.

        Codes are compared with the codebook in their own dtype. So a 16-bit code gives its index back as long as no
        other codeword rounds to the same code, and the lowest index of those that do.

        Args:
            codes: Codes as ``forward`` or ``indices_to_codes`` return them, d channels in ``channel_dim``.

        Returns:
            int64 indices in [0, K), the shape of the codes without the channel dimension.

        Raises:
            GridcodeError: They are not finite floats, or the channels are not d.

        >>> quantizer = VQ.plain(size=4, channels=3)
        >>> quantizer.codes_to_indices(quantizer.indices_to_codes(torch.arange(4), dtype=torch.bfloat16))
        tensor([0, 1, 2, 3])
        """
        with torch.autocast(codes.device.type, enabled=False):
            rows = finite("VQ", self._rows(codes.detach(), "codes"))
            return exact_match(rows, self._codes_of_all(codes.dtype).to(rows.dtype)).reshape(self._places(codes))

    def spec(self) -> dict[str, Any]:
        """Name, sizes and parts with their settings, as manifests and configs record them.

        >>> VQ.plain(4, 3).spec()["update"]
        {'name': 'ByLoss', 'codebook': 1.0, 'commitment': 0.25}
        """
        return {"name": "vq", "size": self._size, "channels": self.channels} | {
            name: {"name": type(part).__name__} | dataclasses.asdict(part) for name, part in self._parts().items()
        }

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        parts = ", ".join(f"{name}={part}" for name, part in self._parts().items())
        return f"{self._size}, {self.channels}, {parts}, channel_dim={self.channel_dim}"

    def _parts(self) -> dict[str, Any]:
        """The five parts by name."""
        return {name: getattr(self, name) for name in PARTS}

    def _check_parts(self) -> None:
        """Refuse what is no part, and parts that do not go together."""
        for name, part in self._parts().items():
            if not isinstance(part, PARTS[name]):
                raise GridcodeError(f"VQ: {name} is {part!r}; give one of the parts of gridcode.quantize.vq.{name}")
        if isinstance(self.revival, Splitting) and self.update.by_gradient:
            raise GridcodeError("VQ: Splitting shares out sums, and ByLoss keeps none; use ByEMA or Discounted with it")

    def _make_state(self) -> None:
        """The first codebook, and what the parts keep."""
        seed = int(torch.randint(0, 2**62, (), device="cpu"))
        first = self.start.draw(self._size, self._channels, generator_of(seed, 0)).to(torch.get_default_device())
        by_gradient = self.update.by_gradient
        if by_gradient:
            self.codebook = nn.Parameter(first)
        else:
            self.register_buffer("codebook", first)
        counted = self.revival.counts_use or not by_gradient
        self.register_buffer("counts", first.new_ones(self._size) if counted else None)
        self.register_buffer("sums", None if by_gradient else first.clone())
        self.register_buffer("seed", torch.tensor(seed))
        self.register_buffer("steps", torch.tensor(0))

    @torch.no_grad()
    def _begin(self, latents: Tensor) -> None:
        """At the first training batch: one codebook for all processes, then the start's own beginning."""
        if self.codebook.dtype not in (torch.float32, torch.float64):
            raise GridcodeError(
                f"VQ: a codebook of {self.codebook.dtype} cannot be trained; keep the module in float32 and use "
                "autocast"
            )
        if int(self.steps):
            return
        batch = joined(latents)
        if batch.size == 0:
            return
        for values in (self.seed, self.codebook):
            from_first(values)
        codewords = self.start.begin(self.codebook, batch, self.distance, generator_of(int(self.seed), 1))
        Codebook(self.codebook, self.counts, self.sums).begin(codewords)

    def _loss(self, relaxed: Tensor, indices: Tensor) -> Tensor:
        """The parts' losses of latents (N, d) that took ``indices`` (N,), float32."""
        # Gathered first: a copy, which the codebook's learning cannot change before the backward pass.
        chosen = self.distance.codewords(self.codebook[indices].to(relaxed.dtype))
        loss = self.update.loss(relaxed, chosen)
        if not isinstance(self.revival, Nothing):
            loss = loss + self.revival.loss(relaxed, self.distance.codewords(self.codebook.to(relaxed.dtype)))
        return loss.to(torch.float32)

    @torch.no_grad()
    def _learn(self, latents: Tensor, indices: Tensor) -> None:
        """Take in the joined batch, then revive what it leaves out of use."""
        batch = joined(latents)
        if batch.size == 0:
            return
        self.steps += 1
        if self.counts is None:
            return
        codebook = Codebook(self.codebook, self.counts, self.sums)
        self.update.learn(codebook, batch.statistics(indices, self._size, sums=self.sums is not None))
        self.revival.revive(codebook, batch, generator_of(int(self.seed), int(self.steps) + 1))

    def _codes_of_all(self, dtype: torch.dtype) -> Tensor:
        """The codes of all indices, (K, d), in a dtype; constants."""
        return self.distance.codewords(self.codebook.detach().to(working_dtype(dtype))).to(dtype)

    def _places(self, values: Tensor) -> torch.Size:
        """The shape of latents or codes without the channels."""
        return values.movedim(self.channel_dim, -1).shape[:-1]

    def _rows(self, values: Tensor, what: str) -> Tensor:
        """Checked latents or codes as rows (N, d), float32 or float64."""
        check_vectors("VQ", values, what, channels=self.channels, channel_dim=self.channel_dim)
        return values.movedim(self.channel_dim, -1).reshape(-1, self.channels).to(working_dtype(values.dtype))
