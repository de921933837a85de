"""Scaled dot-product attention, by whichever formula is fastest on the device.

On CPUs torch's fused kernel runs bfloat16 at float32 speed, while plain matrix products reach four times that.
There, attention is computed as product, softmax, product over chunks of queries that fit the cache.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SCORES_PER_CHUNK = 1 << 22  # elements of one score block


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
    """Unmasked attention over chunks of queries. Shapes as in `attention`."""
    batch, heads, tokens, width = query.shape
    source = key.shape[2]
    query = query.reshape(batch * heads, tokens, width) * width**-0.5
    key = key.reshape(batch * heads, source, width).transpose(1, 2)
    value = value.reshape(batch * heads, source, width)
    out = torch.empty_like(query)
    rows = max(1, SCORES_PER_CHUNK // source)
    for index in range(batch * heads):
        for start in range(0, tokens, rows):
            scores = query[index, start : start + rows] @ key[index]  # [rows, S]
            torch.mm(scores.softmax(-1), value[index], out=out[index, start : start + rows])
    return out.view(batch, heads, tokens, width)
