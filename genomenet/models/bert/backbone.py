"""BERT for DNA as Keras models: the encoder, without and with its masked-LM head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from genomenet.layers import initializers, kmer_tokens, transformer
from genomenet.models.bert import config as config_lib


@keras.saving.register_keras_serializable(package="genomenet")
class BertBackbone(keras.Model):
    """The encoder, which maps token ids to a vector per token.

    Args:
        config: Hyperparameters.

    Call arguments:
        inputs: Dict with "token_ids", int, (B, T), in the vocabulary of `dna.kmer`,
            and "padding_mask", bool, (B, T), False at padding, which then does not
            affect other tokens.

    Returns:
        Dict with "sequence_output", float, (B, T, C), and, if the config has a pooler,
        "pooled_output", (B, C): tanh of a dense layer over [CLS].

    Source:
        Devlin et al., BERT (2019); Ji et al., DNABERT (2021). Differences: none.
    """

    def __init__(
        self, config: config_lib.BertConfig, *, name: str = "bert", **kwargs: Any
    ):
        # === Layers ===
        embedding = transformer.TokenEmbedding(
            config.vocab_size,
            config.hidden_size,
            max_positions=config.max_position_embeddings,
            num_types=config.type_vocab_size,
            dropout=config.hidden_dropout_prob,
            epsilon=config.layer_norm_eps,
            stddev=config.initializer_range,
            name="embedding",
        )
        blocks = [
            transformer.EncoderBlock(
                config.num_attention_heads,
                config.intermediate_size,
                dropout=config.hidden_dropout_prob,
                attention_dropout=config.attention_probs_dropout_prob,
                epsilon=config.layer_norm_eps,
                stddev=config.initializer_range,
                name=f"block_{index}",
            )
            for index in range(config.num_hidden_layers)
        ]
        pooler = None
        if config.pooler:
            pooler = _dense(config, config.hidden_size, "pooler", activation="tanh")
        # === Functional model ===
        ids = keras.Input((None,), dtype="int32", name="token_ids")
        mask = keras.Input((None,), dtype="bool", name="padding_mask")
        attends = ops.expand_dims(mask, (1, 2))  # (B, 1, 1, T)
        x = embedding(ids)
        for block in blocks:
            x = block(x, attends)
        outputs = {"sequence_output": x}
        if pooler is not None:
            outputs["pooled_output"] = pooler(x[:, 0])
        super().__init__(
            inputs={"token_ids": ids, "padding_mask": mask},
            outputs=outputs,
            name=name,
            **kwargs,
        )
        # === Config ===
        self.config = config
        self.embedding = embedding
        self.blocks = blocks
        self.pooler = pooler

    def encode(
        self,
        tokens: Mapping[str, Any],
        *,
        at: Any = None,
        embedded: Any = None,
        blocks: Sequence[Any] | None = None,
        training: bool | None = None,
        return_all: bool = False,
    ) -> Any:
        """Encodes tokens of rows that may hold several sequences.

        Args:
            tokens: Result of `layers.kmer_tokens.KmerTokens`; a token attends to
                those of its own segment.
            at: Optional int, (B, P): tokens whose last state is needed; the others
                are not computed.
            embedded: Optional input of the first block, in place of the embeddings.
            blocks: The blocks to run; all by default.
            training: Whether to drop channels.
            return_all: Whether to return the states and attention of all blocks.

        Returns:
            Float, (B, T, C), or with `at` (B, P, C). With `return_all` two lists: the
            states before the first block and after each, and the attention weights,
            (B, H, T, T).
        """
        segment = tokens["segment_ids"]  # (B, T)
        attends = ops.equal(segment[:, None, :, None], segment[:, None, None, :])
        x = embedded
        if x is None:
            x = self.embedding(
                tokens["token_ids"], tokens["position_ids"], training=training
            )
        blocks = self.blocks if blocks is None else blocks
        if not return_all:
            for block in blocks[:-1]:
                x = block(x, attends, training=training)
            if not blocks:
                return x
            return blocks[-1](x, attends, at=at, training=training)
        states, attention = [x], []
        for block in blocks:
            x, scores = block(x, attends, return_scores=True, training=training)
            states.append(x)
            attention.append(scores)
        return states, attention

    def get_config(self) -> dict[str, Any]:
        return {"config": config_lib.to_dict(self.config), "name": self.name}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> BertBackbone:
        del custom_objects
        return cls(config_lib.from_dict(config["config"]), name=config["name"])


@keras.saving.register_keras_serializable(package="genomenet")
class BertMaskedLM(keras.Model):
    """The encoder with the head that predicts masked k-mers.

    Args:
        config: Hyperparameters.
        head: Whether it has the head; fine-tuning does not need it.

    Call arguments:
        inputs: Dict, either with "token_ids" and "padding_mask" as `BertBackbone`
            reads them, or with "bases": codes of `dna.alphabet`, (B, L), padded on
            the right with code 5.

    Returns:
        The outputs of `BertBackbone` and, if there is a head, "logits", float,
        (B, T, V).

    Source:
        Devlin et al., BERT (2019). Differences: none.
    """

    def __init__(
        self,
        config: config_lib.BertConfig,
        *,
        head: bool = True,
        name: str = "bert_mlm",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.config = config
        self.has_head = head
        self.backbone = BertBackbone(config, name="backbone")
        self.tokens = kmer_tokens.KmerTokens(config.kmer, name="tokens")
        self.built = True
        if not head:
            return
        self.transform = _dense(config, config.hidden_size, "transform")
        self.transform_norm = keras.layers.LayerNormalization(
            epsilon=config.layer_norm_eps, name="transform_norm"
        )
        self.transform.build((None, None, config.hidden_size))
        self.transform_norm.build((None, None, config.hidden_size))
        self.output_bias = self.add_weight(
            name="output_bias", shape=(config.vocab_size,), initializer="zeros"
        )

    def call(self, inputs: Mapping[str, Any], training: bool | None = None) -> Any:
        if "bases" in inputs:
            inputs = self.tokens(inputs["bases"])
        outputs = self.backbone(
            {name: inputs[name] for name in ("token_ids", "padding_mask")},
            training=training,
        )
        if not self.has_head:
            return outputs
        return {**outputs, "logits": self.predict_tokens(outputs["sequence_output"])}

    def predict_tokens(self, states: Any) -> Any:
        """Returns the logits of all tokens: float (..., C) → (..., V)."""
        x = ops.gelu(self.transform(states), approximate=False)
        x = self.transform_norm(x)
        table = ops.cast(self.backbone.embedding.tokens, self.compute_dtype)
        bias = ops.cast(self.output_bias, self.compute_dtype)
        return ops.matmul(x, ops.transpose(table)) + bias

    def get_config(self) -> dict[str, Any]:
        return {
            "config": config_lib.to_dict(self.config),
            "head": self.has_head,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> BertMaskedLM:
        del custom_objects
        fields = config_lib.from_dict(config["config"])
        return cls(fields, head=config["head"], name=config["name"])


def _dense(
    config: config_lib.BertConfig, units: int, name: str, activation: Any = None
) -> keras.layers.Dense:
    noise: Any = initializers.Normal(stddev=config.initializer_range)
    return keras.layers.Dense(
        units,
        activation=activation,
        kernel_initializer=noise,
        name=name,
    )
