"""From which cosine do two texts say the same? Measured on commit messages, per embedder.

Pairs that say the same: a commit and its backport or cherry-pick, as the message names it, where
the two were worded differently. Pairs that do not: each message's nearest neighbour among commits
that touch none of its files. Both pass the rest of memory.lifecycle.admit's rule first.

    python bench/merging.py --repos DIR [--quick] [--embedder minilm]
"""

import argparse
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repos import find_repository

from evo_agent.memory.lifecycle.admit import says_the_same_otherwise, threshold
from evo_agent.memory.recall.embed import Embedder, open_embedder

REPOSITORIES = ("django/django", "pytest-dev/pytest", "sympy/sympy")
ORIGIN = re.compile(r"(?i)(?:backport of|cherry picked from commit) ([0-9a-f]{7,40})")
TRAILERS = re.compile(
    r"(?im)^\W*(?:backport of|cherry picked from|co-authored-by|signed-off-by|git-svn-id|--hg).*$"
)
# Written by programs: their template is alike whatever they say.
BOTS = re.compile(r"(?i)merge |automated|pre-commit|bump |\bdeps\b|svn|meeseek|backport pr")
LEAST_WORDS = 8
STEPS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True)
class Message:
    """A commit's message without trailers, its files, and the commit it was taken from."""

    text: str
    files: frozenset[str]
    origin: str


def messages(repository: Path, count: int) -> dict[str, Message]:
    command = ["git", "-C", str(repository), "log", "--all", "--no-merges", "--name-only"]
    command += [f"-{count}", "--format=%x02%H%x01%B%x01"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8", "replace")
    found = {}
    for entry in raw.split("\x02")[1:]:
        sha, body, files = entry.split("\x01", 2)
        origin = ORIGIN.search(body)
        text = re.sub(r"^\[[\w.]+\]\s*", "", TRAILERS.sub("", body).strip())
        clean = " ".join(text.split())
        if len(clean.split()) >= LEAST_WORDS and not BOTS.search(clean.partition(". ")[0]):
            found[sha] = Message(
                clean, frozenset(files.split()), origin[1].lower() if origin else ""
            )
    return found


def same(known: dict[str, Message]) -> Iterator[tuple[str, str]]:
    short = {sha[:7]: sha for sha in known}
    for message in known.values():
        origin = known.get(short.get(message.origin[:7], ""))
        if message.origin and origin is not None and origin.text != message.text:
            yield origin.text, message.text


def different(known: dict[str, Message], embedder: Embedder, most: int) -> Iterator[float]:
    """Cosine of each message's nearest neighbour that touches other files and passes the guard."""
    import numpy as np

    chosen = list({message.text: message for message in known.values()}.values())[:most]
    vectors = np.array(embedder.embed([message.text for message in chosen]), dtype=np.float32)
    for start in range(0, len(chosen), 500):
        cosines = vectors[start : start + 500] @ vectors.T
        for row, line in enumerate(cosines):
            one = chosen[start + row]
            for other in np.argsort(-line)[1:20]:
                two = chosen[other]
                if not one.files & two.files and says_the_same_otherwise(one.text, two.text):
                    yield float(line[other])
                    break


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repos", type=Path, required=True)
    parser.add_argument("--embedder", default="lexical")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    embedder = open_embedder(asked.embedder)
    alike: list[float] = []
    unlike: list[float] = []
    guarded = 0
    for name in REPOSITORIES[: 2 if asked.quick else None]:
        known = messages(find_repository(asked.repos, name), 20_000 if asked.quick else 60_000)
        for one, other in same(known):
            if not says_the_same_otherwise(one, other):
                guarded += 1
                continue
            first, second = embedder.embed([one, other])
            if first is not None and second is not None:
                alike.append(sum(a * b for a, b in zip(first, second, strict=True)))
        unlike += different(known, embedder, 2_000 if asked.quick else 6_000)
    print(
        f"{embedder.name}: {len(alike)} pairs that say the same ({guarded} more differ in a "
        f"number, quoted code or negation), {len(unlike)} nearest neighbours that do not"
    )
    print(f"{'cosine':>8}{'merged':>10}{'wrongly':>10}")
    rows = {}
    for step in STEPS:
        right = sum(c >= step for c in alike) / max(1, len(alike))
        wrong = sum(c >= step for c in unlike) / max(1, len(unlike))
        rows[f"{step:.2f}"] = [round(right, 4), round(wrong, 5)]
        print(f"{step:8.2f}{right:10.1%}{wrong:10.2%}")
    least = threshold(embedder.name)
    print(
        json.dumps({
            "embedder": embedder.name,
            "threshold": least,
            "merged": round(sum(c >= least for c in alike) / max(1, len(alike)), 4),
            "wrongly": round(sum(c >= least for c in unlike) / max(1, len(unlike)), 5),
            "steps": rows,
        })
    )  # fmt: skip


if __name__ == "__main__":
    main()
