"""Hyperparameters of a BERT for DNA."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from genomenet.dna import kmer
from genomenet.layers import masking
from genomenet.models import config_fields

_COUNTS: Final = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "length",
)
_MOST_LAYERS: Final = 256
_SHARES: Final = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "mlm_probability",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertConfig:
    """A BERT over overlapping k-mers; the defaults are DNABERT with k = 6.

    The first names are those of Hugging Face's `config.json`; see `porting.hf_config`.

    Attributes:
        hidden_size: Channels of a token, C.
        num_hidden_layers: Encoder blocks.
        num_attention_heads: H; C is a multiple of it.
        intermediate_size: Channels inside the feed-forward layers.
        hidden_dropout_prob: Share of channels dropped in training, in [0, 1).
        attention_probs_dropout_prob: Share of attention weights dropped.
        max_position_embeddings: Token positions, [CLS] and [SEP] included.
        type_vocab_size: Number of token types; all tokens have type 0.
        layer_norm_eps: Added to the variance in layer normalisation.
        initializer_range: Standard deviation of initial weights.
        kmer: Bases of a k-mer, k.
        length: Bases of a training row, which holds one or several segments.
        pooler: Whether there is a pooler, which masked-LM pretraining does not train;
            without it there is no "pooled_output".
        masking: One of `layers.masking.STRATEGIES`.
        mlm_probability: Share of tokens that are centres of masked spans.
        max_predictions: Largest number of targets of a training row; None is 3/8 of
            its bases.
        npmi: Ranking of k-mers, if the masking needs one: a name in `dna.ranking` or a
            file.
        both_strands: Whether training rows are read from either strand.

    Raises:
        ValueError: If a value is out of range or unknown.

    Source:
        Ji et al., DNABERT (2021); Yang et al., LOGO (2022); Roy et al., GeneMask
        (2023).
    """

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    kmer: int = 6
    length: int = 512
    pooler: bool = True
    masking: str = "genemask"
    mlm_probability: float = 0.0176
    max_predictions: int | None = None
    npmi: str = "human_chr20"
    both_strands: bool = dataclasses.field(default=False, metadata=config_fields.NEWER)

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in _COUNTS}
        if self.max_predictions is not None:
            counts["max_predictions"] = self.max_predictions
        for name, value in counts.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be an integer >= 1, got {value!r}")
        for name in _SHARES:
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < 1:
                raise ValueError(f"{name} must be a share in [0, 1), got {value!r}")
        for name in ("layer_norm_eps", "initializer_range"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or value <= 0:
                raise ValueError(f"{name} must be above 0, got {value!r}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} must be a multiple of"
                f" num_attention_heads={self.num_attention_heads}"
            )
        if not isinstance(self.kmer, int) or not 3 <= self.kmer <= 8:
            raise ValueError(f"kmer must be 3 to 8 bases, got {self.kmer!r}")
        if self.num_hidden_layers > _MOST_LAYERS:
            raise ValueError(
                f"num_hidden_layers must be at most {_MOST_LAYERS}, got"
                f" {self.num_hidden_layers}"
            )
        config_fields.check_size(self.num_parameters())
        if self.masking not in masking.STRATEGIES:
            known = ", ".join(masking.STRATEGIES)
            raise ValueError(f"masking must be one of {known}, got {self.masking!r}")
        if self.max_position_embeddings < 3:
            raise ValueError(
                "max_position_embeddings must be at least 3: [CLS], a k-mer, [SEP];"
                f" got {self.max_position_embeddings}"
            )
        # A segment has at most length - 1 bases and so length - k + 2 tokens.
        if self.length - self.kmer + 2 > self.max_position_embeddings:
            raise ValueError(
                f"length={self.length} bases are more than"
                f" max_position_embeddings={self.max_position_embeddings} can hold"
            )
        if self.length < 2 * self.kmer + 2:
            raise ValueError(
                f"length={self.length} must be at least"
                f" 2 * kmer + 2 = {2 * self.kmer + 2}"
            )

    @property
    def vocab_size(self) -> int:
        """Number of special tokens and k-mers, V."""
        return kmer.vocabulary_size(self.kmer)

    def num_parameters(self, *, head: bool = True) -> int:
        """Returns the number of parameters, with the masked-LM head if `head`."""
        width, inner = self.hidden_size, self.intermediate_size
        rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size
        square, norm = width * (width + 1), 2 * width
        block = 4 * square + (2 * width + 1) * inner + width + 2 * norm
        count = rows * width + norm + self.num_hidden_layers * block
        return count + self.pooler * square + head * (square + norm + self.vocab_size)

    @property
    def ranks_kmers(self) -> bool:
        """Whether the masking needs the ranking `npmi`."""
        return bool(masking.STRATEGIES[self.masking].ranks_by)

    @property
    def num_targets(self) -> int:
        """Largest number of targets of a training row, P."""
        return self.max_predictions or self.length * 3 // 8

    @property
    def max_length(self) -> int:
        """Bases of the longest sequence that is read at once."""
        return self.max_position_embeddings - 3 + self.kmer


def to_dict(config: BertConfig) -> dict[str, Any]:
    """Returns the JSON values of a config."""
    return dataclasses.asdict(config)


def from_dict(values: Mapping[str, Any]) -> BertConfig:
    """Builds a config from JSON values; raises ValueError on an unknown key."""
    return config_fields.config_from_dict(BertConfig, values)
