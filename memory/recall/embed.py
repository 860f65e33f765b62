"""Embedders: text to vectors of length one. Which one is used is part of every index's name.

`lexical` needs nothing and gives the same vectors everywhere; `minilm` is Chroma's ONNX model
(all-MiniLM-L6-v2); `litellm:<model>` asks a provider. An embedder that fails raises; it never
answers with a zero vector.
"""

import math
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from evo_agent.core.errors import MissingDependencyError, ModelError, UsageError
from evo_agent.memory.journal.features import HALVES, crc
from evo_agent.memory.journal.words import terms
from evo_agent.memory.recall.postings import unpacked

Vector = Sequence[float]
_LENGTH = 384  # dimensions of `lexical`
_MIX, _ALL = 0x9E3779B1, 0xFFFFFFFF  # Knuth's multiplicative hashing: spreads CRC-32's low bits


class Embedder(Protocol):
    """Turns texts into vectors of one length, L2-normalised."""

    @property
    def name(self) -> str:
        """Name and version: vectors of different names are never compared."""
        ...

    @property
    def floor(self) -> float:
        """Cosine below which two texts have nothing to do with each other."""
        ...

    @property
    def alone(self) -> float:
        """Cosine from which on two texts are near without a word in common."""
        ...

    def embed(self, texts: Sequence[str]) -> list[Vector | None]:
        """Embed; None stands for a text that has nothing to embed.

        Raises:
            MissingDependencyError: the package is not installed.
            ModelError: the model cannot be reached, or answers nonsense.
        """
        ...


def open_embedder(name: str) -> Embedder:
    """The embedder of a configured name: lexical, minilm or litellm:<model>.

    Raises:
        UsageError: there is none of that name.
    """
    if name == "lexical":
        return Lexical()
    if name == "minilm":
        return MiniLM()
    provider, _, model = name.partition(":")
    if provider == "litellm" and model:
        return LiteLLM(model)
    raise UsageError(
        f"unknown embedder {name!r}", "set memory.embedder to lexical, minilm or litellm:<model>"
    )


class Lexical:
    """Hashed terms, signed, with sublinear counts; made of a record's features, or of a text.

    The hashing trick: Weinberger et al., Feature Hashing for Large Scale Multitask Learning,
    ICML 2009. A text's first line weighs as much as a record's title.
    """

    name = "lexical-2"
    floor = 0.2  # cosine of unrelated commits: 95 of 100 measure below (bench/recall.py)
    alone = 2.0  # never: a vector of terms says nothing that the terms do not

    def embed(self, texts: Sequence[str]) -> list[Vector | None]:
        """See Embedder; a text without a single term gives None."""
        return [_hashed(text) for text in texts]

    def of_features(self, features: Sequence[bytes]) -> Any:
        """Vectors of records by their features (features.packed): (n, 384) float32.

        A record without terms has a row of zeros: it is not to be stored.
        """
        import numpy as np

        _, rows, hashes, weights = unpacked(features)
        rows, hashes = rows[weights > 0], hashes[weights > 0]
        mixed = (hashes.astype(np.uint64) * _MIX) & _ALL
        values = np.where(mixed & 1, 1.0, -1.0) * (1 + np.log(weights[weights > 0]))
        at = rows * np.int64(_LENGTH) + ((mixed >> 8) * _LENGTH >> 24).astype(np.int64)
        summed = np.bincount(at, values, len(features) * _LENGTH).reshape(-1, _LENGTH)
        lengths = np.linalg.norm(summed, axis=1, keepdims=True)
        return (summed / np.where(lengths > 0, lengths, 1)).astype(np.float32)


class MiniLM:
    """all-MiniLM-L6-v2 as Chroma ships it: downloaded at first use, then cached."""

    name = "minilm-l6-v2"
    floor = 0.25
    alone = 0.5

    def __init__(self) -> None:
        self._model: Any = None

    def embed(self, texts: Sequence[str]) -> list[Vector | None]:
        """See Embedder."""
        if self._model is None:
            self._model = _onnx()
        try:
            vectors = self._model([text or " " for text in texts])
        except Exception as error:  # foreign code: download, ONNX
            raise ModelError(
                f"the minilm embedder cannot run: {_line(error)}",
                "allow its download once, or set memory.embedder to lexical",
            ) from error
        return _checked(texts, vectors, "minilm")


class LiteLLM:
    """Any embedding model that litellm reaches."""

    floor = 0.25
    alone = 0.5

    def __init__(self, model: str) -> None:
        self._model = model
        self.name = f"litellm-{model}"

    def embed(self, texts: Sequence[str]) -> list[Vector | None]:
        """See Embedder."""
        ask = _litellm()
        try:
            reply = ask(model=self._model, input=[text or " " for text in texts])
            vectors = [item["embedding"] for item in reply["data"]]
        except Exception as error:  # foreign code: network, provider
            raise ModelError(
                f"the embedder {self._model} does not answer: {_line(error)}",
                "check its name, key and api_base, or set memory.embedder to lexical",
            ) from error
        return _checked(texts, vectors, self._model)


def normalised(vector: Sequence[float]) -> list[float] | None:
    """A vector at length one; None for a zero or non-finite one."""
    length = math.sqrt(sum(float(x) * float(x) for x in vector))
    if not math.isfinite(length) or length == 0:
        return None
    return [float(x) / length for x in vector]


def _hashed(text: str) -> Vector | None:
    head, _, rest = text.partition("\n")
    weights: Counter[str] = Counter()
    for halves, part in ((HALVES[0], head), (HALVES[2], rest)):
        for word in terms(part):
            weights[word] += halves
    vector = [0.0] * _LENGTH
    for word, weight in weights.items():
        mixed = crc(word) * _MIX & _ALL
        sign = 1.0 if mixed & 1 else -1.0
        vector[(mixed >> 8) * _LENGTH >> 24] += sign * (1 + math.log(weight))
    return normalised(vector)


def _checked(texts: Sequence[str], vectors: Any, name: str) -> list[Vector | None]:
    """One usable vector for each text, or an error."""
    usable = [normalised(vector) for vector in vectors]
    lengths = {len(vector) for vector in usable if vector is not None}
    if len(usable) != len(texts) or None in usable or len(lengths) > 1:
        raise ModelError(
            f"the embedder {name} answered with unusable vectors",
            "choose another model, or set memory.embedder to lexical",
        )
    return [v if text.strip() else None for text, v in zip(texts, usable, strict=True)]


def _onnx() -> Any:
    try:
        from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2
    except ImportError as error:
        raise MissingDependencyError(
            "the minilm embedder needs chromadb", "pip install 'evo-agent[memory]'"
        ) from error
    return ONNXMiniLM_L6_V2()


def _litellm() -> Any:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        from litellm import embedding
    except ImportError as error:
        raise MissingDependencyError(
            "the litellm embedder needs litellm", "pip install 'evo-agent[agent]'"
        ) from error
    return embedding


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
