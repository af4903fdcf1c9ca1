"""Every image held back once: a run a fold, and the answers of all folds scored together.

For small sets, where a fifth holds two images of a rare class. Each fold is a run in a folder of its own and
can be stopped and gone on with; no bundle is made, since five models are not one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge.errors import InputError
from edge.taxonomy import build_tree
from training.calibration import Counting, cross_judge
from training.evaluate import HeldBack
from training.recipe import Recipe
from training.run import INT8_ANSWERS, Watcher, answer_held_back, prepare_data, train
from training.scores import score
from training.split import N_FOLDS

ANSWERS, SCORES = "out_of_fold.npz", "out_of_fold.json"


def cross_validate(recipe: Recipe, out: Path, watcher: Watcher) -> dict[str, dict[str, float]]:
    """Train and quantize once a fold; writes the pooled answers and their scores into `out`.

    A class may be without training images in a fold: its images there are missed, as they would be at sea.

    Returns
    -------
    Scores by model ("int8", "float") and name.

    Raises
    ------
    InputError
        When data cannot be used or the folder cannot be written.
    """
    parts = []
    for fold in range(N_FOLDS):
        section = msgspec.structs.replace(recipe.data, held_back=(fold,))
        one = msgspec.structs.replace(recipe, data=section)
        folder = out / f"fold-{fold}"
        if not (folder / INT8_ANSWERS).is_file():
            told = Watcher(
                lambda name, fold=fold: watcher.stage(f"fold {fold + 1} of {N_FOLDS}, {name}"),  # type: ignore[misc]
                watcher.step,
                watcher.epoch,
            )
            prepared = train(one, folder, told, may_lack=True)
            answer_held_back(folder, told, prepared)
        with np.load(folder / INT8_ANSWERS) as stored:
            parts.append({name: stored[name] for name in stored.files})
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "classes"}
    data = prepare_data(recipe)
    group_of = dict(zip(data.data.files, data.split.groups, strict=True))
    held_back = HeldBack(
        int8_logits=whole["logits"],
        float_logits=whole["float_logits"],
        labels=whole["labels"],
        groups=tuple(group_of[str(name)] for name in whole["files"]),
    )
    taxonomy = data.data.taxonomy
    counting = Counting(taxonomy.class_taxon, build_tree(taxonomy.taxa, taxonomy.parents))
    judged = cross_judge(held_back, counting, precision=recipe.decision.precision, keep=recipe.decision.keep)
    found = score(held_back, judged, counting)
    try:
        pooled: dict[str, Any] = {"groups": np.array(held_back.groups), **whole}
        pooled["classes"] = parts[0]["classes"]
        np.savez(out / ANSWERS, **pooled)
        written = {"scores": found.scores, "facts": found.facts, "classes": taxonomy.classes}
        (out / SCORES).write_bytes(msgspec.json.format(msgspec.json.encode(written)))
    except OSError as cause:
        raise InputError(
            f"cannot be written ({cause.strerror})", file=out, remedy="give a folder on a disk with room"
        ) from cause
    return found.scores
