"""The sentence that tells a OneFormer what to do, as numbers."""

from __future__ import annotations

import torch
from transformers import AutoTokenizer

from mpvss_model.errors import CheckpointError, one_line
from mpvss_model.segmentor.image_processing.entries import model_file

__all__ = ["task_tokens"]

TASK = "the task is semantic"
TOKENIZER_FILES = ("tokenizer.json", "vocab.json")
# Of TASK, by the vocabulary of CLIP, which all published OneFormers have.
CLIP_TOKENS = (49406, 518, 10549, 533, 29119, 1550, 49407)


def task_tokens(name_or_dir: str, length: int) -> torch.Tensor:
    """The task of semantic segmentation, ``[1, length]``, zeros after its end, by the tokenizer of a checkpoint.

    Where a checkpoint has no tokenizer, it is taken for CLIP's.

    Args:
        name_or_dir: A checkpoint directory, or the id of a model of the hub.
        length: ``task_seq_len`` of the network.

    Raises:
        CheckpointError: If the files of the tokenizer cannot be read.
    """
    tokens = list(CLIP_TOKENS)
    if any(model_file(name_or_dir, file) is not None for file in TOKENIZER_FILES):
        try:
            tokens = AutoTokenizer.from_pretrained(name_or_dir, trust_remote_code=False)(TASK)["input_ids"]
        except Exception as error:  # tokenizers raise a dozen unrelated types here
            raise CheckpointError(f"cannot load the tokenizer of model {name_or_dir!r}: {one_line(error)}") from error
    return torch.tensor([(tokens + [0] * length)[:length]])
