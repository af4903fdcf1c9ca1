"""One run in one TOML: what is learnt from, how, and what the result must fulfil. It travels in the bundle.

A struct and its file, nothing more; the steps are in `training.run`.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Annotated, Any

import msgspec

from edge.errors import ConfigError
from edge.inference.preprocessing import Preprocessing
from edge.optics import Polarity
from edge.structs import Section, read_toml
from training.augment import Variation
from training.fit import Schedule
from training.model import Architecture
from training.pretrain import Pretraining
from training.split import HELD_BACK_FOLD

RUN_FILE = "run.toml"
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class DataSection(Section, frozen=True):
    """What is learnt from.

    Attributes
    ----------
    dataset
        Folder or zip; "" to draw particles.
    drawn_per_kind
        Drawn images of each kind, where there is no data set.
    polarity
        Of the images.
    taxonomy
        TOML with merges, taxa, living flags, parents and limits; "" for none.
    licence
        Of the data set, as the card should say it.
    all_statuses
        Take rows of an EcoTaxa export that nobody validated, too.
    held_back
        Folds that are held back; none trains on everything and makes no bundle.
    leave_out
        Classes that are not learnt: how well the model sees that they are new to it is measured on them.
    """

    dataset: str = ""
    drawn_per_kind: Annotated[int, msgspec.Meta(ge=5)] = 1000
    polarity: Polarity = Polarity.DARK_FIELD
    taxonomy: str = ""
    licence: str = "not stated"
    all_statuses: bool = False
    held_back: tuple[Annotated[int, msgspec.Meta(ge=0, le=4)], ...] = (HELD_BACK_FOLD,)
    leave_out: tuple[str, ...] = ()


class BeginSection(Section, frozen=True):
    """What training begins with; nothing for random weights.

    Attributes
    ----------
    weights, weights_source
        `.npz` (ImageNet's, or a former run's), and what it is; a former run's says so itself.
    bundle
        A bundle, such as the one now at sea: its weights are taken out of the int8 model.
    teacher
        Folder of a trained run with the same data and input, such as a larger network: it gives the share
        `schedule.distil` of what is learnt.
    """

    weights: str = ""
    weights_source: str = "not stated"
    bundle: str = ""
    teacher: str = ""


class Settling(Schedule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A schedule that is short and slow, and follows the float network alone."""

    epochs: Annotated[int, msgspec.Meta(ge=0)] = 3
    rate: Annotated[float, msgspec.Meta(gt=0)] = 5e-5
    warm_up: Annotated[float, msgspec.Meta(ge=0)] = 0.3
    label_smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    distil: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0


class QuantizationSection(Section, frozen=True):
    """How the network gets used to int8, and what int8 may cost.

    Attributes
    ----------
    settling
        A second, short training with rounded kernels and bounded activations, taught by the float network.
    bound_permille
        Share of the activations, in thousandths, that lie within the bounds.
    normalisation_batches
        Batches that re-estimate the statistics before conversion.
    least_agreement
        Share of held-back images on which the int8 model and the float network must agree.
    most_loss
        Accuracy and balanced accuracy that int8 may cost at most.
    """

    settling: Settling = Settling()
    bound_permille: Annotated[float, msgspec.Meta(gt=500, le=1000)] = 999.5
    normalisation_batches: Annotated[int, msgspec.Meta(ge=1)] = 60
    least_agreement: Share = 0.8
    most_loss: Share = 0.01


class DecisionSection(Section, frozen=True):
    """How scores become answers.

    Attributes
    ----------
    prior_power
        The logits are lowered by this times the logarithm of the class's share of the training images, so
        that rare classes are not passed over (Menon et al. 2021, arXiv 2007.07314).
    precision
        Wanted of decisions: sets the thresholds.
    keep
        Share of the held-back images that the reject of unknown ones must let pass.
    """

    prior_power: Share = 0.0
    precision: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.7
    keep: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.98


class Recipe(Section, frozen=True):
    """What a run is made of; see each section.

    Attributes
    ----------
    name
        Of the bundle.
    seed
        Of all chance.
    """

    name: str
    seed: Annotated[int, msgspec.Meta(ge=0)] = 1
    data: DataSection = DataSection()
    begin: BeginSection = BeginSection()
    preprocessing: Preprocessing = Preprocessing(black_permille=100)
    architecture: Architecture = Architecture()
    pretraining: Pretraining = Pretraining()
    variation: Variation = Variation()
    schedule: Schedule = Schedule()
    quantization: QuantizationSection = QuantizationSection()
    decision: DecisionSection = DecisionSection()


def read_recipe(path: str | PathLike[str]) -> Recipe:
    """Recipe from a TOML file; raises `ConfigError` that names file and key."""
    file = Path(path)
    return read_toml(file / RUN_FILE if file.is_dir() else file, Recipe, error=ConfigError)


def write_recipe(recipe: Recipe, *, names_only: bool = False) -> str:
    """TOML of a recipe; `names_only` leaves out the folders of this machine."""
    import tomli_w

    plain: dict[str, Any] = msgspec.to_builtins(recipe)
    if names_only:
        for section, key in (
            ("data", "dataset"),
            ("data", "taxonomy"),
            ("begin", "weights"),
            ("begin", "bundle"),
            ("begin", "teacher"),
            ("pretraining", "images"),
        ):
            plain[section][key] = Path(plain[section][key]).name
    text: str = tomli_w.dumps(plain)
    return text
