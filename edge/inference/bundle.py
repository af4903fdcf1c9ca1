"""The model bundle: weights, labels, preprocessing, calibration, goldens, provenance; one file, one SHA-256.

A plain zip (any tool opens it) with fixed times and no compression, so that the same contents are the same
bytes; its comment is a seal over every byte before it, so no damage passes. Not in here: running the model.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.drift import Reference
from edge.errors import BundleError
from edge.inference.edgetpu_model import is_compiled
from edge.inference.litert import Kernels
from edge.inference.manifest import FORMAT, Manifest
from edge.inference.preprocessing import Preprocessing
from edge.taxonomy import Taxon, TaxonTree, build_tree

SUFFIX = ".seston"
SHIPPED = Path(__file__).parent / "bundles"
MAX_BYTES = 64 << 20
HASH_BYTES = 5
"""Bytes of an image's hash: of 20,000 images one in fifty million has another's by chance."""
MANIFEST, MODEL, CARD, RUN = "bundle.json", "model.tflite", "card.md", "run.toml"
COMPILED = "model_edgetpu.tflite"
"""The same model, compiled for the Edge TPU; most bundles have none. The processor always has its own."""
GOLDEN_INPUTS, HASHES = "golden_inputs.bin", "training_hashes.bin"
GOLDEN_OUTPUTS: dict[Kernels, str] = {
    "reference": "golden_outputs_reference.bin",
    "xnnpack": "golden_outputs_xnnpack.bin",
}
_MARK = b"sha256:"
_SEAL_BYTES = len(_MARK) + 64
_REMEDY = "copy or export the bundle again"


class _Version(msgspec.Struct):
    format: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A bundle in memory, checked for damage and for its parts to fit together.

    Attributes
    ----------
    path
        The file it was read from.
    sha256
        Of the whole file, hexadecimal.
    manifest
        Labels, preprocessing, calibration, scores, provenance.
    model
        The TFLite flatbuffer.
    golden_inputs
        Drawn vignettes, uint8 (height, width) each: they go through `prepare`.
    golden_outputs
        The model's raw outputs for them by kernels, int8 (n_goldens, k) each: the two round differently,
        layer after layer, so each has its own.
    training_hashes
        `image_hash` of every image the model was trained on.
    card
        Model card, Markdown.
    run
        The TOML of the run that made it.
    tree
        Taxa, parents, `unclassified`.
    compiled
        The model as the Edge TPU compiler made it; None when there is none.
    """

    path: Path
    sha256: str
    manifest: Manifest
    model: bytes
    golden_inputs: tuple[NDArray[np.uint8], ...]
    golden_outputs: Mapping[Kernels, NDArray[np.int8]]
    training_hashes: frozenset[bytes]
    card: str
    run: str
    tree: TaxonTree
    compiled: bytes | None = None

    @property
    def name(self) -> str:
        """Short name."""
        return self.manifest.name

    @property
    def classes(self) -> tuple[str, ...]:
        """What the network tells apart, in the order of its outputs."""
        return self.manifest.classes

    @property
    def taxa(self) -> tuple[Taxon, ...]:
        """What is counted; every class belongs to one."""
        return self.manifest.taxa

    @property
    def counted_taxa(self) -> tuple[Taxon, ...]:
        """Taxa in order, parents used for roll-up, and `unclassified` last."""
        return self.tree.counted

    @property
    def preprocessing(self) -> Preprocessing:
        """For `prepare`."""
        return self.manifest.preprocessing

    @property
    def temperature(self) -> float:
        """The logits are divided by it before the softmax."""
        return self.manifest.temperature

    def taxon_scores(self, scores: NDArray[np.floating]) -> NDArray[np.float32]:
        """Probabilities of the taxa, float32 (N, n), from those of the classes, (N, k)."""
        return sum_classes(scores, self.manifest.class_taxon, len(self.taxa))

    def decide(
        self, taxon_scores: NDArray[np.floating], evidence: NDArray[np.floating] | None = None
    ) -> NDArray[np.int64]:
        """Decisions, int64 (N,), index into `counted_taxa`.

        Parameters
        ----------
        taxon_scores
            (N, n) probabilities of the taxa.
        evidence
            (N,), from `edge.inference.classifier.evidence`; None rejects nothing.
        """
        decided = self.tree.decide(taxon_scores, self.manifest.thresholds)
        if evidence is not None and self.manifest.least_evidence is not None:
            decided[~(np.asarray(evidence) >= self.manifest.least_evidence)] = len(self.counted_taxa) - 1
        return decided


def sum_classes(scores: NDArray[np.floating], class_taxon: Sequence[int], n_taxa: int) -> NDArray[np.float32]:
    """Add up the probabilities of the classes of each taxon, (N, k) to float32 (N, n_taxa), in one order."""
    out = np.zeros((len(scores), n_taxa))
    for column, taxon in enumerate(class_taxon):
        out[:, taxon] += scores[:, column]
    return out.astype(np.float32)


def image_hash(pixels: NDArray[np.uint8]) -> bytes:
    """Five bytes that stand for an image: of the SHA-256 of its shape and grey pixels.

    Parameters
    ----------
    pixels
        uint8 (height, width), as decoded from the file, before inversion or preprocessing.
    """
    digest = hashlib.sha256(f"{pixels.shape[0]}x{pixels.shape[1]}:".encode())
    digest.update(pixels.tobytes())
    return digest.digest()[:HASH_BYTES]


def shipped_bundles() -> list[str]:
    """Names of the bundles that come with the package, sorted."""
    return sorted(file.stem for file in SHIPPED.glob(f"*{SUFFIX}"))


def pack_bundle(
    manifest: Manifest,
    model: bytes,
    golden_inputs: Sequence[NDArray[np.uint8]],
    golden_outputs: Mapping[Kernels, NDArray[np.int8]],
    training_hashes: Sequence[bytes],
    card: str,
    run: str = "",
    compiled: bytes | None = None,
) -> bytes:
    """Bytes of a bundle file; the same parts give the same bytes."""
    return seal(
        {
            MANIFEST: msgspec.json.encode(manifest, order="deterministic"),
            MODEL: model,
            CARD: card.encode(),
            RUN: run.encode(),
            GOLDEN_INPUTS: b"".join(image.tobytes() for image in golden_inputs),
            **{name: golden_outputs[kernels].tobytes() for kernels, name in GOLDEN_OUTPUTS.items()},
            HASHES: b"".join(sorted(set(training_hashes))),
            **({} if compiled is None else {COMPILED: compiled}),
        }
    )


def seal(members: Mapping[str, bytes]) -> bytes:
    """Zip the members, uncompressed, with fixed times; the SHA-256 of all that stands before ends it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name)  # 1980-01-01
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
        archive.comment = _MARK + bytes(64)
    body = buffer.getvalue()[:-64]
    return body + hashlib.sha256(body).hexdigest().encode()


def load_bundle(path_or_name: str | PathLike[str]) -> Bundle:
    """Read a bundle: a file, or the name of one that comes with the package.

    Raises
    ------
    BundleError
        When it is not there, is damaged, of another format, or its parts do not fit together. That the model
        gives the golden outputs is checked by `edge.inference.classifier.Classifier`.
    """
    path = Path(path_or_name)
    if str(path_or_name) in shipped_bundles():
        path = SHIPPED / f"{path_or_name}{SUFFIX}"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BundleError(f"is larger than {MAX_BYTES >> 20} MiB", file=path, remedy="give a bundle")
        data = path.read_bytes()
    except FileNotFoundError:
        shipped = ", ".join(shipped_bundles()) or "none"
        raise BundleError(
            "is not there", file=path, remedy=f"give a file, or the name of a shipped bundle ({shipped})"
        ) from None
    except OSError as cause:
        raise BundleError(f"cannot be read ({cause})", file=path, remedy="check the file") from cause
    return parse_bundle(data, path)


def parse_bundle(data: bytes, path: Path) -> Bundle:
    """Bundle from the bytes of its file; `path` stands in errors. Raises `BundleError`."""
    members = _open(data, path)
    _expect(MANIFEST in members, "is missing", MANIFEST, path)
    try:
        version = msgspec.json.decode(members[MANIFEST], type=_Version).format
        _expect(version == FORMAT, f"is {version}, {FORMAT} is read here", "format", path)
        for name in (MODEL, CARD, RUN, GOLDEN_INPUTS, *GOLDEN_OUTPUTS.values(), HASHES):
            _expect(name in members, "is missing", name, path)
        manifest = msgspec.json.decode(members[MANIFEST], type=Manifest)
        card, run = members[CARD].decode(), members[RUN].decode()
    except (msgspec.MsgspecError, UnicodeDecodeError) as cause:
        raise BundleError(str(cause), file=path, field=MANIFEST, remedy=_REMEDY) from cause
    try:
        tree = build_tree(manifest.taxa, manifest.parents)
    except ValueError as cause:
        raise BundleError(str(cause), file=path, field=MANIFEST, remedy=_REMEDY) from cause
    k, n, m = len(manifest.classes), len(manifest.taxa), len(tree.counted)
    n_goldens = len(manifest.golden_sizes)
    pixels = [height * width for height, width in manifest.golden_sizes]
    _expect(k >= 2, "fewer than two classes", MANIFEST, path)
    _expect(len(set(manifest.classes)) == k, "a class stands twice", "classes", path)
    fits = len(manifest.class_taxon) == k and set(manifest.class_taxon) == set(range(n))
    _expect(fits, f"{k} classes that use all of {n} taxa were expected", "class_taxon", path)
    _expect(n_goldens > 0, "no golden inputs", MANIFEST, path)
    _expect(len(manifest.thresholds) == m - 1, f"{m - 1} thresholds were expected", "thresholds", path)
    told = manifest.correction
    fits = told is None or len(told.implied) == len(told.usual) == n
    _expect(fits, f"two prevalences of {n} taxa were expected", "correction", path)
    _check_reference(manifest.reference, m, path)
    for field, table, rows, columns in (
        ("confusion", manifest.confusion, k, k),
        ("decisions", manifest.decisions, n, m),
    ):
        fits = len(table) == rows and all(len(row) == columns for row in table)
        _expect(fits, f"{rows} rows of {columns} counts were expected", field, path)
    _expect(
        len(members[GOLDEN_INPUTS]) == sum(pixels), "its size does not fit the manifest", GOLDEN_INPUTS, path
    )
    for name in GOLDEN_OUTPUTS.values():
        fits = len(members[name]) == n_goldens * k
        _expect(fits, f"{n_goldens} rows of {k} classes were expected", name, path)
    _expect(len(members[HASHES]) % HASH_BYTES == 0, f"its size is no multiple of {HASH_BYTES}", HASHES, path)
    _expect(members[MODEL][4:8] == b"TFL3", "is not a TFLite model", MODEL, path)
    compiled = members.get(COMPILED)
    fits = compiled is None or (compiled[4:8] == b"TFL3" and is_compiled(compiled))
    _expect(fits, "is no model compiled for the Edge TPU", COMPILED, path)
    flat = np.frombuffer(members[GOLDEN_INPUTS], dtype=np.uint8)
    parts = np.split(flat, np.cumsum(pixels)[:-1])
    hashes = members[HASHES]
    return Bundle(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        manifest=manifest,
        model=members[MODEL],
        golden_inputs=tuple(
            part.reshape(size) for part, size in zip(parts, manifest.golden_sizes, strict=True)
        ),
        golden_outputs={
            kernels: np.frombuffer(members[name], dtype=np.int8).reshape(n_goldens, k)
            for kernels, name in GOLDEN_OUTPUTS.items()
        },
        training_hashes=frozenset(hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)),
        card=card,
        run=run,
        tree=tree,
        compiled=compiled,
    )


def _check_reference(reference: Reference | None, n_counted: int, path: Path) -> None:
    if reference is None:
        return
    try:
        fits = all(len(table) in (0, n_counted) for table in reference.tables())
    except ValueError as cause:
        raise BundleError(str(cause), file=path, field="reference", remedy=_REMEDY) from cause
    _expect(fits, f"{n_counted} rows were expected", "reference", path)


def _open(data: bytes, path: Path) -> dict[str, bytes]:
    """Members of a sealed zip."""
    body, digest = data[:-64], data[-64:]
    if data[:4] != b"PK\x03\x04":
        raise BundleError("is not a bundle", file=path, remedy=f"give a {SUFFIX} file or a bundle's name")
    if body[-len(_MARK) :] != _MARK or hashlib.sha256(body).hexdigest().encode() != digest:
        raise BundleError("is truncated or damaged: its seal does not fit", file=path, remedy=_REMEDY)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as cause:
        raise BundleError(f"cannot be unpacked ({cause})", file=path, remedy=_REMEDY) from cause
    return members


def _expect(holds: bool, problem: str, field: str, path: Path) -> None:
    if not holds:
        raise BundleError(problem, file=path, field=field, remedy=_REMEDY)
