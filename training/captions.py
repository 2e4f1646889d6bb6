"""Captions as the model sees them: cleaned as in BLIP's own recipe, split into WordPieces, packed for training."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MAX_CAPTION_TOKENS = 30


@dataclass(frozen=True)
class LabelledImage:
    """One line of captions.jsonl, with its captions cleaned."""

    name: str
    split: str
    captions: list[str]


def clean(caption: str) -> str:
    """Lower case, no sentence punctuation, single spaces: BLIP's `pre_caption` (Li et al. 2022, arXiv:2201.12086)."""
    caption = re.sub(r"([.!\"()*#:;~`])", " ", caption.lower())
    return re.sub(r"\s{2,}", " ", caption).strip()


def read_rows(path: Path) -> list[dict]:
    """Reads JSON lines, ignoring a byte order mark and blank lines, as `npm run eval` does."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise SystemExit(f"{path} is not in UTF-8: save it so") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows += [json.loads(line)] if line.strip() else []
        except json.JSONDecodeError as error:
            raise SystemExit(f"{path}, line {number} is not JSON: {error}") from error
    return rows


def read_captions(path: Path, split: str) -> list[LabelledImage]:
    rows = [row for row in read_rows(path) if row.get("split") == split]
    if not rows:
        raise SystemExit(f"{path} has no picture of the split '{split}'")
    return [LabelledImage(row["image"], split, [clean(c) for c in row["captions"]]) for row in rows]


def write_vocabulary(captions: list[str], size: int, path: Path) -> None:
    """Trains a WordPiece vocabulary on the captions and writes it in BERT's `vocab.txt` form."""
    from tokenizers import BertWordPieceTokenizer

    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(
        captions,
        vocab_size=size,
        min_frequency=2,
        limit_alphabet=60,
        special_tokens=SPECIAL_TOKENS,
        show_progress=False,
    )
    vocabulary = tokenizer.get_vocab()
    path.write_text("".join(f"{token}\n" for token in sorted(vocabulary, key=vocabulary.__getitem__)))


@dataclass(frozen=True)
class PackedCaptions:
    """Several captions of each picture in one row, so that its keys and values are projected once for all of them.

    input_ids, position_ids, labels, caption: int64 [batch, length]; labels are -100 where nothing is predicted, caption
    says which of the row's captions a token belongs to, -1 for none
    attention_mask: float32 [batch, 1, length, length], 0 where a token may look, -inf elsewhere: causal, and blind to
    the other captions of the row
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor
    caption: torch.Tensor
    attention_mask: torch.Tensor


def pack(rows: list[list[list[int]]], bos: int, eos: int, pad: int, device: str = "cpu") -> PackedCaptions:
    """rows[image][caption] = token ids without special tokens."""
    length = max(sum(len(ids) + 1 for ids in row) for row in rows)
    # In NumPy, because on a GPU thousands of small assignments would take longer than the whole step.
    empty = np.array([pad, 0, -100, -1])[:, None, None]
    packed = np.broadcast_to(empty, (4, len(rows), length)).copy()
    for i, row in enumerate(rows):
        at = 0
        for number, ids in enumerate(row):
            end = at + len(ids) + 1
            packed[:, i, at:end] = [bos, *ids], np.arange(len(ids) + 1), [*ids, eos], [number] * (len(ids) + 1)
            at = end
    input_ids, position_ids, labels, caption = torch.from_numpy(packed).to(device)
    causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    visible = (caption[:, :, None] == caption[:, None, :]) & causal
    mask = torch.zeros(visible.shape, device=device).masked_fill(~visible, float("-inf"))
    return PackedCaptions(input_ids, position_ids, labels, caption, mask[:, None])
