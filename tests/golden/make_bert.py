"""Writes bert.npz: what `transformers` makes of small random models.

    python -m tests.golden.make_bert

Needs the extra `peers`; what it writes is compared without it.
"""

import pathlib

import numpy as np
import torch
import transformers

LENGTHS = (1, 7, 512)
CASES = {
    "k3": {"vocab_size": 69, "num_hidden_layers": 2, "num_attention_heads": 2},
    "k4": {"vocab_size": 261, "num_hidden_layers": 3, "num_attention_heads": 4},
}


def main():
    """Writes the file beside this one."""
    found = {"versions": f"torch {torch.__version__}, transformers "}
    found["versions"] += transformers.__version__
    for case, numbers in CASES.items():
        config = transformers.BertConfig(
            hidden_size=8,
            intermediate_size=12,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            attn_implementation="eager",
            **numbers,
        )
        torch.manual_seed(0)
        model = transformers.BertForMaskedLM(config)
        model.bert = transformers.BertModel(config, add_pooling_layer=True)
        model.tie_weights()
        with torch.no_grad():
            for parameter in model.parameters():  # zeros and ones would hide errors
                parameter.add_(0.2 * torch.randn_like(parameter))
        model.eval()
        for name, value in model.state_dict().items():
            if "decoder" not in name:
                found[f"{case}/weights/{name}"] = value.numpy()
        rng = np.random.default_rng(0)
        for length in LENGTHS:
            ids = rng.integers(5, config.vocab_size, (3, length))
            mask = np.ones((3, length), bool)
            mask[1, (length + 1) // 2 :] = False
            ids[~mask] = 0
            labels = np.where(rng.random((3, length)) < 0.3, ids, -100)
            labels[:, 0] = ids[:, 0]
            labels[~mask] = -100
            model.zero_grad()
            output = model(
                input_ids=torch.tensor(ids),
                attention_mask=torch.tensor(mask.astype("int64")),
                labels=torch.tensor(labels),
                output_hidden_states=True,
            )
            output.loss.backward()
            pooled = model.bert(
                input_ids=torch.tensor(ids),
                attention_mask=torch.tensor(mask.astype("int64")),
            ).pooler_output
            kept = slice(None, None, max(length // 8, 1))  # of a long sequence
            found |= {
                f"{case}/{length}/ids": ids.astype("int16"),
                f"{case}/{length}/mask": mask,
                f"{case}/{length}/labels": labels.astype("int16"),
                f"{case}/{length}/loss": output.loss.detach().numpy(),
                f"{case}/{length}/pooled": pooled.detach().numpy(),
                f"{case}/{length}/hidden": np.stack(
                    [h.detach().numpy()[:, kept] for h in output.hidden_states]
                ),
                f"{case}/{length}/logits": output.logits.detach().numpy()[:, kept],
            }
            if length == LENGTHS[1]:
                for name, parameter in model.named_parameters():
                    if parameter.grad is not None:
                        gradient = parameter.grad.numpy()
                        found[f"{case}/{length}/gradient/{name}"] = gradient
    np.savez_compressed(pathlib.Path(__file__).with_name("bert.npz"), **found)


if __name__ == "__main__":
    main()
