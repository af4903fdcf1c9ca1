"""Does the int8 model say what its float network says? Scores side by side, and limits that can fail.

Both see the same images, so their difference is drawn pair by pair: its interval is far narrower than that of
either score. Files are named here, for the run's own folder; `Parity.facts` names none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from edge.errors import BundleError
from edge.structs import Section
from training.bootstrap import Groups, Interval, draw, interval
from training.evaluate import (
    Floats,
    HeldBack,
    Ints,
    confusion_matrix,
    fit_temperature,
    plain,
    probabilities,
    summarize,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
COMPARED = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro-F1"}
N_WORST = 20


class ParityLimits(Section, frozen=True):
    """How far int8 may be from float.

    Attributes
    ----------
    agreement
        Share of the held-back images whose highest class must be the same.
    accuracy_loss, balanced_accuracy_loss
        What int8 may lose at most: 0.01 is one point.
    """

    agreement: Share = 0.8
    accuracy_loss: Share = 0.01
    balanced_accuracy_loss: Share = 0.01


@dataclass(frozen=True, slots=True)
class Change:
    """A score of both models; `low` and `high` hold the change, int8 - float, with a chance of 90 %."""

    of_float: float
    of_int8: float
    change: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClassChange:
    """Recall of a class by both models, and the number of its held-back images."""

    name: str
    n: int
    of_float: float
    of_int8: float


@dataclass(frozen=True, slots=True)
class WorstVignette:
    """An image whose true class lost or won the most: answers, and probability of the true class."""

    file: str
    truth: str
    float_answer: str
    int8_answer: str
    float_probability: float
    int8_probability: float


@dataclass(frozen=True, slots=True)
class Parity:
    """What changed from float to int8.

    Attributes
    ----------
    n_images, n_groups
        Held back.
    agreement, agreement_interval
        Share of the images whose highest class is the same.
    scores
        By name, as in `COMPARED`.
    classes
        Of those that have held-back images, in the order of the model's outputs.
    worst
        Images by the size of the change, the largest first.
    """

    n_images: int
    n_groups: int
    agreement: float
    agreement_interval: Interval
    scores: dict[str, Change]
    classes: tuple[ClassChange, ...]
    worst: tuple[WorstVignette, ...]

    def facts(self) -> dict[str, Any]:
        """For a bundle: no file is named."""
        scores = {name: asdict(change) for name, change in self.scores.items()}
        recall_change = {
            row.name: row.of_int8 - row.of_float for row in self.classes if row.of_int8 != row.of_float
        }
        facts = {
            "images": self.n_images,
            "groups": self.n_groups,
            "agreement": self.agreement,
            "agreement_interval": self.agreement_interval,
            "scores": scores,
            "recall_change": recall_change,
        }
        found: dict[str, Any] = plain(facts)
        return found

    def to_json(self) -> bytes:
        """Everything, with the worst vignettes by file name."""
        return msgspec.json.format(msgspec.json.encode(plain(asdict(self))))


def compare(
    held_back: HeldBack, classes: Sequence[str], files: Sequence[str], *, n_worst: int = N_WORST
) -> Parity:
    """Compare int8 with float on the held-back images.

    Parameters
    ----------
    held_back
        With float logits.
    classes, files
        k names of the classes and N names of the images.
    n_worst
        How many images are named.

    Raises
    ------
    BundleError
        When there are no float logits, or no images.
    """
    if held_back.float_logits is None or len(held_back) == 0:
        raise BundleError(
            "there is no float network, or no held-back image, to compare int8 with", remedy="train one first"
        )
    k, labels, groups = held_back.n_classes, held_back.labels, Groups(held_back.groups)
    logits = {"float": held_back.float_logits, "int8": held_back.int8_logits}
    answers: dict[str, Ints] = {model: values.argmax(axis=1) for model, values in logits.items()}
    confusions = {model: confusion_matrix(labels, said, k, k) for model, said in answers.items()}
    reached = {model: summarize(confusion) for model, confusion in confusions.items()}
    drawn = {model: draw(labels, said, k, groups).scores() for model, said in answers.items()}

    def change(name: str) -> Change:
        one, other = reached["float"][name], reached["int8"][name]
        return Change(one, other, other - one, *interval(drawn["int8"][name] - drawn["float"][name]))

    same = answers["float"] == answers["int8"]
    agreed = groups.sums(groups.table(same.astype(np.int64), 2))
    true = confusions["float"].sum(axis=1)
    recall = {model: np.diag(confusion) / np.maximum(true, 1) for model, confusion in confusions.items()}
    return Parity(
        n_images=len(labels),
        n_groups=groups.n_groups,
        agreement=float(same.mean()),
        agreement_interval=interval(agreed[:, 1] / agreed.sum(axis=1)),
        scores={name: change(name) for name in COMPARED},
        classes=tuple(
            ClassChange(classes[i], int(true[i]), float(recall["float"][i]), float(recall["int8"][i]))
            for i in np.flatnonzero(true).tolist()
        ),
        worst=_worst(logits, answers, labels, classes, files, n_worst),
    )


def _worst(
    logits: dict[str, Floats],
    answers: dict[str, Ints],
    labels: Ints,
    classes: Sequence[str],
    files: Sequence[str],
    n_worst: int,
) -> tuple[WorstVignette, ...]:
    """Images whose true class changed the most, under the temperature that fits the float network."""
    temperature = fit_temperature(logits["float"], labels)
    rows = np.arange(len(labels))
    chance = {model: probabilities(values, temperature)[rows, labels] for model, values in logits.items()}
    order = np.argsort(-np.abs(chance["int8"] - chance["float"]), kind="stable")[:n_worst].tolist()
    return tuple(
        WorstVignette(
            files[i],
            classes[labels[i]],
            classes[answers["float"][i]],
            classes[answers["int8"][i]],
            float(chance["float"][i]),
            float(chance["int8"][i]),
        )
        for i in order
    )


def require_parity(parity: Parity, limits: ParityLimits) -> None:
    """Pass an int8 model that is close enough to its float network.

    Raises
    ------
    BundleError
        With one sentence, when it is not.
    """
    faults = []
    if parity.agreement < limits.agreement:
        faults.append(
            f"int8 and float agree on {100 * parity.agreement:.1f} % of {parity.n_images} held-back images, "
            f"{100 * limits.agreement:.1f} % are wanted"
        )
    for name, most in (
        ("accuracy", limits.accuracy_loss),
        ("balanced_accuracy", limits.balanced_accuracy_loss),
    ):
        score = parity.scores[name]
        if -score.change > most + 1e-9:
            faults.append(
                f"the {COMPARED[name]} falls from {score.of_float:.4f} to {score.of_int8:.4f} in int8, "
                f"{100 * -score.change:.2f} points, {100 * most:.2f} are allowed"
            )
    if faults:
        raise BundleError(
            ", and ".join(faults), field="model.tflite", remedy="let it settle longer before converting it"
        )


def parity_table(parity: Parity, n_classes: int = 10) -> RenderableType:
    """What changed, for a terminal: scores, the classes whose recall changed most, the worst vignettes."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Column, Table

    low, high = parity.agreement_interval
    title = f"int8 against float, {parity.n_images} held-back images of {parity.n_groups} groups"
    scores = Table("score", "float", "int8", "change", "90 %", title=title)
    scores.add_row("agreement", "", f"{parity.agreement:.4f}", "", f"{low:.4f} to {high:.4f}")
    for name, words in COMPARED.items():
        row = parity.scores[name]
        span = f"{row.low:+.4f} to {row.high:+.4f}"
        scores.add_row(words, f"{row.of_float:.4f}", f"{row.of_int8:.4f}", f"{row.change:+.4f}", span)
    recall = Table("class", "images", "float", "int8", "change", title="largest changes of recall")
    for one in sorted(parity.classes, key=lambda row: -abs(row.of_int8 - row.of_float))[:n_classes]:
        recall.add_row(
            escape(one.name),
            str(one.n),
            f"{one.of_float:.2f}",
            f"{one.of_int8:.2f}",
            f"{one.of_int8 - one.of_float:+.2f}",
        )
    worst = Table(
        Column("file", overflow="fold"),
        "true",
        "float",
        "int8",
        title="probability of the true class, largest changes",
    )
    for bad in parity.worst[:n_classes]:
        worst.add_row(
            escape(bad.file),
            escape(bad.truth),
            f"{escape(bad.float_answer)} {bad.float_probability:.2f}",
            f"{escape(bad.int8_answer)} {bad.int8_probability:.2f}",
        )
    return Group(scores, recall, worst)
