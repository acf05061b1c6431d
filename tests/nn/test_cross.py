"""The decoder's block against PyTorch's own, its cache, and what it looks at."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gridcode.nn.attention import KeyValues
from gridcode.nn.cross import CrossAttention, DecoderBlock

D, N, S = 24, 5, 7


def block(*, causal: bool, memory: int = D, seed: int = 0) -> DecoderBlock:
    torch.manual_seed(seed)
    made = DecoderBlock(D, 3, mlp=40, memory=memory, dropout=0.0, causal=causal)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


@pytest.mark.parametrize("causal", [False, True])
def test_the_block_is_pytorchs_pre_norm_decoder_layer(causal: bool) -> None:
    ours = block(causal=causal)
    theirs = nn.TransformerDecoderLayer(
        D, 3, 40, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    )
    own, taken = ours.state_dict(), {}
    for name in theirs.state_dict():
        kind = name.rpartition(".")[2].removeprefix("in_proj_")
        if name.startswith("multihead_attn.in_proj_"):
            taken[name] = torch.cat([own.pop(f"cross.q.{kind}"), own.pop(f"cross.kv.{kind}")])
            continue
        mapped = name.replace("self_attn.in_proj_", "attn.qkv.").replace("self_attn.out_proj.", "attn.proj.")
        mapped = mapped.replace("multihead_attn.out_proj.", "cross.proj.")
        taken[name] = own.pop(mapped.replace("linear1.", "mlp.fc1.").replace("linear2.", "mlp.fc2."))
    assert not own, "every parameter has a counterpart"
    theirs.load_state_dict(taken)
    x, features = torch.randn(2, N, D), torch.randn(2, S, D)
    hidden = nn.Transformer.generate_square_subsequent_mask(N) if causal else None
    expected = theirs(x, features, tgt_mask=hidden, tgt_is_causal=causal)
    torch.testing.assert_close(ours(x, ours.cross.keys_and_values(features)), expected)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_tokens_in_any_pieces_are_those_of_one_pass(cuts: list[int]) -> None:
    made, total = block(causal=True), sum(cuts)
    x, memory = torch.randn(2, total, D), made.cross.keys_and_values(torch.randn(2, S, D))
    cache = KeyValues(total)
    pieces = [made(piece, memory, cache) for piece in x.split(cuts, 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), made(x, memory))


@pytest.mark.parametrize("causal", [False, True])
def test_a_token_sees_what_it_may_and_all_of_the_memory(causal: bool) -> None:
    made = block(causal=causal, memory=16)
    x, features = torch.randn(1, N, D, requires_grad=True), torch.randn(1, S, 16, requires_grad=True)
    out = made(x, made.cross.keys_and_values(features))
    for place in range(N):
        found: tuple[Tensor, Tensor] = torch.autograd.grad(out[0, place].sum(), (x, features), retain_graph=True)
        seen = (found[0][0].abs().sum(-1) > 0).tolist()
        assert seen == [other <= place or not causal for other in range(N)]
        assert (found[1][0].abs().sum(-1) > 0).all()


def test_the_memorys_order_does_not_matter() -> None:
    cross = CrossAttention(D, 3, memory=16)
    x, features = torch.randn(2, N, D), torch.randn(2, S, 16)
    shuffled = cross.keys_and_values(features[:, torch.randperm(S)])
    torch.testing.assert_close(cross(x, shuffled), cross(x, cross.keys_and_values(features)))
