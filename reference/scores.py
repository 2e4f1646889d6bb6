"""Writes test/fixtures/scores.json: captions that we made up, and how pycocoevalcap scores them."""

import json
import random
from pathlib import Path

from score import score

SUBJECTS = ["a brown dog", "two children", "a man in a red jacket", "the old woman", "three people", "a white horse"]
ACTIONS = ["runs across", "is standing on", "plays near", "jumps over", "sits beside", "walks along"]
PLACES = ["a grassy field", "the sandy beach", "a wooden fence", "the busy street", "a snowy hill", "the river"]


def sentence(rng: random.Random, around: tuple[str, str, str], change: float) -> str:
    pick = lambda own, others: rng.choice(others) if rng.random() < change else own
    words = [pick(around[0], SUBJECTS), pick(around[1], ACTIONS), pick(around[2], PLACES)]
    if rng.random() < 0.3:
        words.append(rng.choice(["in the sun", "with a ball .", "at night", "while others watch"]))
    return " ".join(words).capitalize()


def main() -> None:
    rng = random.Random(7)
    rows = []
    for _ in range(40):
        around = (rng.choice(SUBJECTS), rng.choice(ACTIONS), rng.choice(PLACES))
        references = [sentence(rng, around, 0.3) for _ in range(rng.randint(1, 5))]
        rows.append({"candidate": sentence(rng, around, 0.5), "references": references})
    rows.append({"candidate": "dog", "references": ["A black, spotted dog!", "dog running; fast"]})
    rows.append({"candidate": "a a a a dog dog", "references": ["a dog", "the dog is a dog"]})
    rows.append({"candidate": "a pinata in a cafe", "references": ["A piñata hangs in the CAFÉ.", "the cafe\u0301"]})
    scores = score(
        {str(i): row["candidate"] for i, row in enumerate(rows)},
        {str(i): row["references"] for i, row in enumerate(rows)},
    )
    path = Path(__file__).parent.parent / "test/fixtures/scores.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"captions": rows, "scores": scores}, indent=1) + "\n")
    print(scores)


if __name__ == "__main__":
    main()
