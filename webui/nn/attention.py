"""Scaled dot-product attention, by whichever formula is fastest on the device.

On CPUs torch's fused kernel runs bfloat16 at float32 speed, while plain matrix products reach four times that.
There, attention is computed as product, power of two, product, over blocks that fit the cache:

- The keys' mean is subtracted from every key. That shifts a row of scores by a constant, which the normalisation
  takes out again, but scores become smaller and lose less in bfloat16 ("smooth K", Zhang et al. 2024, SageAttention).
- Scores are bounded by |q|·|k| (Cauchy-Schwarz), so no row maximum is needed while that bound is far from overflow.
  Otherwise every row's own maximum is subtracted, as usual.
- Heads, or blocks of one head's queries, are shared out to threads that each work alone (`nn/threads.py`).
- Where keys are too many for the cache (autoencoders at large sizes have one head over all cells of the picture), they
  are taken in blocks too, with sums in float32 (Rabe & Staats 2021, arXiv:2112.05682).
- Where the values' width has to be padded anyway, one of the new columns is ones: the second product then also yields
  the sum to divide by.
"""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from webui.nn.threads import run_jobs

SCORES_PER_BLOCK = 1 << 20  # elements: 2 MiB of bfloat16
MOST_KEYS = 1 << 12  # that a block of scores is as wide as; more of them are taken in blocks
SQUARE = 1 << 10  # queries and keys of such a block
SCORES_FOR_THREADS = 1 << 22  # below this, handing work to threads costs more than it brings
LARGEST_EXPONENT = 100.0  # of two; leaves room for the sum of a row times the values below the largest float
ROWS_AT_ONCE = 1 << 14  # of keys that are centred
PADDING = 16  # widths that are multiples of this are fastest


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q·kᵀ / √d + mask)·v.

    Args: `query` [B, H, T, D], `key` and `value` [B, H, S, D], `mask` additive, broadcastable to [B, H, T, S].
    Returns [B, H, T, D].
    """
    use_products = query.device.type == "cpu" and query.dtype == torch.bfloat16 and not torch.is_grad_enabled()
    if not use_products or mask is not None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return attention_by_products(query, key, value)


def attention_by_products(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Unmasked attention over blocks of heads, or of one head's queries. Shapes as in `attention`."""
    batch, heads, tokens, width = query.shape
    key, value = _prepared(key, value)
    safe = _longest(query) * _longest(key) < LARGEST_EXPONENT
    out = query.new_empty(batch, tokens, heads, width).transpose(1, 2)
    if key.shape[2] > MOST_KEYS:
        places = [(b, h, t) for b in range(batch) for h in range(heads) for t in range(0, tokens, SQUARE)]
        run_jobs(
            partial(_by_squares, query[b, h, t : t + SQUARE], key[b, h], value[b, h], out[b, h, t : t + SQUARE], safe)
            for b, h, t in places
        )
        return out
    group = min(heads, max(1, SCORES_PER_BLOCK // (key.shape[2] * tokens)))  # heads at once
    jobs = []
    for b in range(batch):
        for h in range(0, heads, group):
            some = slice(h, h + group)
            jobs.append(partial(_some_heads, query[b, some], key[b, some], value[b, some], out[b, some], safe))
    run_jobs(jobs, threaded=len(jobs) > 1 and batch * heads * tokens * key.shape[2] >= SCORES_FOR_THREADS)
    return out


def _some_heads(query: Tensor, key: Tensor, value: Tensor, out: Tensor, safe: bool) -> None:
    """Attention of G heads into `out`: query and out [G, T, D], key [G, S, D], value [G, S, D']."""
    group, tokens, _ = query.shape
    source = key.shape[1]
    rows = min(tokens, max(1, SCORES_PER_BLOCK // (source * group)))
    scores = query.new_empty(group, rows, source)
    weighted = query.new_empty(group, rows, value.shape[2])
    for t in range(0, tokens, rows):
        q = query[:, t : t + rows]  # [G, R, D]
        block = scores[:, : q.shape[1]], weighted[:, : q.shape[1]]
        _attend(q, key.transpose(1, 2), value, *block, out[:, t : t + rows], safe)


def _by_squares(query: Tensor, key: Tensor, value: Tensor, out: Tensor, safe: bool) -> None:
    """Attention of some of one head's queries into `out`: query and out [R, D], key [S, D], value [S, D']."""
    width, many = query.shape[1], value.shape[1] > query.shape[1]
    scores = query.new_empty(query.shape[0], SQUARE)
    added = query.new_empty(query.shape[0], value.shape[1])
    sums = torch.zeros_like(added, dtype=torch.float32)
    total = sums.new_zeros(len(sums), 1)
    largest = sums.new_full((len(sums), 1), -math.inf)
    for start in range(0, len(key), SQUARE):
        block, values = key[start : start + SQUARE], value[start : start + SQUARE]
        some = scores[:, : len(block)] if len(block) == SQUARE else query.new_empty(len(query), len(block))
        torch.mm(query, block.T, out=some)
        if not safe:  # each row's own maximum so far; what was summed below another one is brought down to it
            higher = torch.maximum(largest, some.amax(dim=1, keepdim=True).float())
            shrink = torch.exp2(largest - higher)
            sums, total, largest = sums.mul_(shrink), total.mul_(shrink), higher
            some.sub_(higher)
        torch.exp2(some, out=some)
        sums += torch.mm(some, values, out=added)
        if not many:
            total += some.sum(dim=1, keepdim=True, dtype=torch.float32)
    out.copy_(sums[:, :width] / (sums[:, width : width + 1] if many else total))


def _prepared(key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Keys centred and scaled [B, H, S', D]; values with a column of ones if there is room [B, H, S', D'].

    S' and D' are padded. A padded key scores 0, but its value and its one are 0, so it counts for nothing.
    """
    batch, heads, source, width = key.shape
    padded = -(-source // PADDING) * PADDING
    centred = key.new_zeros(batch, heads, padded, width)
    mean = key.mean(dim=2, keepdim=True, dtype=torch.float32)
    for start in range(0, source, ROWS_AT_ONCE):  # the difference is float32, which would be large for large pictures
        some = key[:, :, start : start + ROWS_AT_ONCE]
        centred[:, :, start : start + some.shape[2]] = (some - mean) * (width**-0.5 * math.log2(math.e))
    if source == padded and width % PADDING == 0:
        return centred, value
    extended = value.new_zeros(batch, heads, padded, (width // PADDING + 1) * PADDING)
    extended[:, :, :source, :width] = value
    extended[:, :, :source, width] = 1
    return centred, extended


def _longest(vectors: Tensor) -> float:
    return float(torch.linalg.vector_norm(vectors, dim=-1).amax())


def _attend(q: Tensor, k: Tensor, v: Tensor, scores: Tensor, weighted: Tensor, out: Tensor, safe: bool) -> None:
    """Attention of one block, in base 2, into `out` [G, R, D]; `scores` and `weighted` are working memory.

    q [G, R, D], k [G, D, S], v [G, S, D'], scores [G, R, S], weighted [G, R, D'].
    """
    width = out.shape[-1]
    product = torch.bmm
    if len(q) == 1:
        product = torch.mm
        q, k, v, scores, weighted, out = q[0], k[0], v[0], scores[0], weighted[0], out[0]
    product(q, k, out=scores)
    if not safe:
        scores.sub_(scores.amax(dim=-1, keepdim=True))
    torch.exp2(scores, out=scores)
    product(scores, v, out=weighted)
    total = weighted[..., width : width + 1] if v.shape[-1] > width else scores.sum(dim=-1, keepdim=True)
    torch.div(weighted[..., :width], total, out=out)
