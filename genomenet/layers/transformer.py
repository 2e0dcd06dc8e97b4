"""The blocks of a post-layer-norm transformer encoder; keras only."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from genomenet.layers import dropout as dropout_lib
from genomenet.layers import initializers

_MOST_ROWS: Final = 2**14  # largest table, in rows, for which one-hot products are used


@keras.saving.register_keras_serializable(package="genomenet")
class TokenEmbedding(keras.layers.Layer):
    """Embeds tokens as BERT does: token, position and type, normalised.

    Args:
        vocab_size: Number of tokens, V.
        hidden_size: Channels of a token, C.
        max_positions: Number of positions.
        num_types: Number of token types; every token here has type 0.
        dropout: Share of channels dropped in training, in [0, 1).
        epsilon: Added to the variance by the normalisation.
        stddev: Standard deviation of initial weights.

    Attributes:
        edit: None, or a function of the token embeddings, (B, T, C), and the ids,
            (B, T), that returns embeddings to be used instead, for attribution.

    Call arguments:
        token_ids: Int, (B, T).
        position_ids: Optional int, (B, T): 0 at the start of each sequence; the column
            by default.

    Returns:
        Float, (B, T, C).

    Raises:
        ValueError: If there are more columns than positions and no `position_ids`.

    Source:
        Devlin et al., BERT (2019). Differences: initial position embeddings are sines
        and cosines instead of noise, with the same spread: context from neighbouring
        tokens is then learnt in fewer steps (docs/log.md).
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        *,
        max_positions: int,
        num_types: int = 2,
        dropout: float = 0.0,
        epsilon: float = 1e-12,
        stddev: float = 0.02,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.max_positions = max_positions
        self.num_types = num_types
        self.epsilon = epsilon
        self.stddev = stddev
        self.edit: Callable[[Any, Any], Any] | None = None
        self.norm = keras.layers.LayerNormalization(
            epsilon=epsilon, name="norm", dtype=self.dtype_policy
        )
        self.dropout = dropout_lib.Dropout(
            dropout, name="dropout", dtype=self.dtype_policy
        )

    def build(
        self, token_ids_shape: Any = None, position_ids_shape: Any = None
    ) -> None:
        sinusoids = functools.partial(_sinusoids, spread=self.stddev)
        for name, rows, initializer in (
            ("tokens", self.vocab_size, initializers.Normal(stddev=self.stddev)),
            ("positions", self.max_positions, sinusoids),
            ("types", self.num_types, initializers.Normal(stddev=self.stddev)),
        ):
            weight = self.add_weight(
                name=name,
                shape=(rows, self.hidden_size),
                initializer=initializer,
                autocast=False,  # see `_rows`
            )
            setattr(self, name, weight)
        self.norm.build((None, None, self.hidden_size))

    def call(
        self, token_ids: Any, position_ids: Any = None, training: bool | None = None
    ) -> Any:
        x = self._rows(self.tokens, token_ids)
        if self.edit is not None:
            x = self.edit(x, token_ids)
        if position_ids is None:
            length = ops.shape(token_ids)[1]
            if isinstance(length, int) and length > self.max_positions:
                raise ValueError(
                    f"{length} tokens are more than {self.max_positions} positions"
                )
            x = x + self._cast(self.positions)[:length]
        else:
            x = x + self._rows(self.positions, position_ids)
        x = x + self._cast(self.types)[0]
        return self.dropout(self.norm(x), training=training)

    def _rows(self, weight: Any, indices: Any) -> Any:
        """Returns rows of a table: int (B, T) → float (B, T, C)."""
        # Cast after the lookup, so that the gradient is summed in float32.
        if _adds_slowly() and weight.shape[0] <= _MOST_ROWS:
            return self._cast(_take(weight, indices))
        return self._cast(ops.take(weight, indices, axis=0))

    def _cast(self, weight: Any) -> Any:
        return ops.cast(weight, self.compute_dtype)

    def compute_output_shape(
        self, token_ids_shape: Any, position_ids_shape: Any = None
    ) -> tuple[int | None, ...]:
        return (*token_ids_shape, self.hidden_size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "max_positions": self.max_positions,
            "num_types": self.num_types,
            "dropout": self.dropout.rate,
            "epsilon": self.epsilon,
            "stddev": self.stddev,
        }


@functools.cache
def _adds_slowly() -> bool:
    """Whether additions to one row wait for each other, as on a GPU with JAX."""
    if keras.backend.backend() != "jax":
        return False
    return any(d.startswith("gpu") for d in keras.distribution.list_devices())


def _take(weight: Any, indices: Any) -> Any:
    """Returns weight[indices], with a gradient computed as a one-hot product.

    On a GPU with JAX that is 15 times as fast as adding up rows (docs/log.md), as most
    tokens are one of few k-mers and all have one of few positions.

    Args:
        weight: Float32, (V, C).
        indices: Int, (B, T).

    Returns:
        Float32, (B, T, C).
    """
    num_rows, width = weight.shape

    @ops.custom_gradient
    def take(table: Any) -> tuple[Any, Any]:
        def grad(*args: Any, upstream: Any = None) -> Any:
            upstream = args[0] if upstream is None else upstream
            flat = ops.reshape(upstream, (-1, width))
            one_hot = ops.one_hot(
                ops.reshape(indices, (-1,)), num_rows, dtype="float32"
            )
            return ops.matmul(ops.transpose(one_hot), flat)  # (V, C)

        return ops.take(table, indices, axis=0), grad

    return take(ops.convert_to_tensor(weight))


@ops.custom_gradient
def gelu(x: Any) -> tuple[Any, Any]:
    """Returns the exact GELU, x · Φ(x); its gradient keeps one tensor, not four."""
    share = 0.5 * (1 + ops.erf(x * math.sqrt(0.5)))  # Φ(x)
    slope = share + x * ops.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))

    def grad(*args: Any, upstream: Any = None) -> Any:
        return slope * (args[0] if upstream is None else upstream)

    return x * share, grad


def _sinusoids(shape: tuple[int, int], dtype: Any = None, *, spread: float) -> Any:
    """Returns sines and cosines of the row index with root mean square `spread`.

    The shortest period is 2π rows, the longest about three times the number of rows.
    """
    rows, columns = shape
    rates = np.geomspace(1, min(2 / rows, 1), -(-columns // 2))
    angles = np.arange(rows)[:, None] * rates
    values = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    return ops.convert_to_tensor(spread * np.sqrt(2) * values[:, :columns], dtype)


@keras.saving.register_keras_serializable(package="genomenet")
class EncoderBlock(keras.layers.Layer):
    """Self-attention and a feed-forward layer, each added and then normalised.

    Args:
        num_heads: Number of attention heads, H.
        intermediate_size: Channels inside the feed-forward layer.
        dropout: Share of channels dropped in training, in [0, 1).
        attention_dropout: Share of attention weights dropped in training.
        epsilon: Added to the variance by the normalisations.
        stddev: Standard deviation of initial weights.

    Call arguments:
        x: Float, (B, T, C), C a multiple of H.
        mask: Bool, (B, 1, T or 1, T): the tokens (last axis) to which each token
            attends. Other tokens do not affect its output.
        at: Optional int, (B, P): positions whose output is needed; the others are not
            computed.
        return_scores: Whether to return the attention weights too.

    Returns:
        Float, (B, T, C), or with `at` (B, P, C); with `return_scores` also float
        (B, H, T or P, T), rows summing to 1.

    Source:
        Devlin et al., BERT (2019). Differences: none.
    """

    def __init__(
        self,
        num_heads: int,
        intermediate_size: int,
        *,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        epsilon: float = 1e-12,
        stddev: float = 0.02,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.intermediate_size = intermediate_size
        self.epsilon = epsilon
        self.stddev = stddev
        self.dropout = dropout_lib.Dropout(
            dropout, name="dropout", dtype=self.dtype_policy
        )
        self.attention_dropout = dropout_lib.Dropout(
            attention_dropout, name="attention_dropout", dtype=self.dtype_policy
        )

    def build(self, x_shape: Any, mask_shape: Any = None) -> None:
        width = x_shape[-1]
        if width % self.num_heads:
            raise ValueError(
                f"the channels must be a multiple of the heads, got {width} channels"
                f" for {self.num_heads} heads"
            )
        self.query = self._dense(width, "query")
        self.key = self._dense(width, "key")
        self.value = self._dense(width, "value")
        self.attended = self._dense(width, "attended")
        self.inner = self._dense(self.intermediate_size, "inner")
        self.outer = self._dense(width, "outer")
        for layer in (self.query, self.key, self.value, self.attended, self.inner):
            layer.build((None, None, width))
        self.outer.build((None, None, self.intermediate_size))
        self.attention_norm = self._norm("attention_norm")
        self.norm = self._norm("norm")
        self.attention_norm.build((None, None, width))
        self.norm.build((None, None, width))

    def call(
        self,
        x: Any,
        mask: Any = None,
        at: Any = None,
        return_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        read = x
        if at is not None:
            # In float32, so that its gradient is summed in float32.
            x = ops.take_along_axis(ops.cast(x, "float32"), at[..., None], axis=1)
            x = ops.cast(x, self.compute_dtype)  # (B, P, C)
            if mask is not None and mask.shape[2] != 1:
                mask = ops.take_along_axis(mask, at[:, None, :, None], axis=2)
        attended, scores = self._attend(x, read, mask, return_scores, training)
        attended = self.dropout(self.attended(attended), training=training)
        x = self.attention_norm(x + attended)
        inner = gelu(self.inner(x))
        x = self.norm(x + self.dropout(self.outer(inner), training=training))
        return (x, scores) if return_scores else x

    def _attend(
        self, x: Any, read: Any, mask: Any, return_scores: bool, training: bool | None
    ) -> tuple[Any, Any]:
        shape, width = ops.shape(x), x.shape[-1]

        def heads(y: Any) -> Any:  # (B, T, C) → (B, T, H, C/H)
            rows = ops.shape(y)
            size = width // self.num_heads
            return ops.reshape(y, (rows[0], rows[1], self.num_heads, size))

        query = heads(self.query(x))
        key, value = heads(self.key(read)), heads(self.value(read))
        is_dropping = bool(training) and self.attention_dropout.rate > 0
        if not (return_scores or is_dropping):
            attended = ops.dot_product_attention(query, key, value, mask=mask)
            return ops.reshape(attended, (shape[0], shape[1], width)), None
        # Flash attention neither returns nor drops attention weights.
        logits = ops.einsum("bthc,bshc->bhts", query, key)
        logits = ops.cast(logits, "float32") * (width // self.num_heads) ** -0.5
        if mask is not None:
            logits = ops.where(mask, logits, -1e9)
        # Not ops.softmax, which warns if the axis has size 1 (one token).
        scores = ops.exp(logits - ops.logsumexp(logits, axis=-1, keepdims=True))
        scores = ops.cast(scores, self.compute_dtype)
        kept = self.attention_dropout(scores, training=training)
        attended = ops.einsum("bhts,bshc->bthc", kept, value)
        return ops.reshape(attended, (shape[0], shape[1], width)), scores

    def compute_output_shape(self, x_shape: Any, mask_shape: Any = None) -> Any:
        return x_shape

    def compute_output_spec(
        self,
        x: Any,
        mask: Any = None,
        at: Any = None,
        return_scores: bool = False,
        **kwargs: Any,
    ) -> Any:
        count = x.shape[1] if at is None else at.shape[1]
        shape = (x.shape[0], count, x.shape[2])
        output = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_scores:
            return output
        shape = (x.shape[0], self.num_heads, count, x.shape[1])
        return output, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "intermediate_size": self.intermediate_size,
            "dropout": self.dropout.rate,
            "attention_dropout": self.attention_dropout.rate,
            "epsilon": self.epsilon,
            "stddev": self.stddev,
        }

    def _dense(self, units: int, name: str) -> keras.layers.Dense:
        noise: Any = initializers.Normal(stddev=self.stddev)
        return keras.layers.Dense(
            units,
            kernel_initializer=noise,
            name=name,
            dtype=self.dtype_policy,
        )

    def _norm(self, name: str) -> keras.layers.LayerNormalization:
        return keras.layers.LayerNormalization(
            epsilon=self.epsilon, name=name, dtype=self.dtype_policy
        )
