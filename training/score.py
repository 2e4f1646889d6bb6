"""BLEU, ROUGE-L and CIDEr-D by the COCO caption code (pycocoevalcap), in lower case, without accents and punctuation."""

import re
import unicodedata

from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge


def normalize(caption: str) -> str:
    letters = "".join(c for c in unicodedata.normalize("NFD", caption) if not unicodedata.category(c).startswith("M"))
    return " ".join(re.sub(r"[^a-z0-9 ]", " ", letters.lower()).split())


def score(candidates: dict[str, str], references: dict[str, list[str]]) -> dict[str, float]:
    """Scores of `candidates` (one per picture) against `references` (several per picture), by picture name."""
    names = sorted(candidates)
    res = {name: [normalize(candidates[name])] for name in names}
    gts = {name: [normalize(r) for r in references[name]] for name in names}
    bleu = BleuScorer(n=4)
    for name in names:
        bleu += (res[name][0], gts[name])
    bleu_scores, _ = bleu.compute_score(option="closest", verbose=0)
    scores = {f"BLEU-{n}": value for n, value in enumerate(bleu_scores, 1)}
    scores["ROUGE-L"] = float(Rouge().compute_score(gts, res)[0])
    scores["CIDEr-D"] = float(Cider().compute_score(gts, res)[0])
    return scores
