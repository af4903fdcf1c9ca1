"""The network on this machine: prepared squares in, whole numbers out. It needs no image library.

So that the process in which it runs (`edge.inference.worker_process`) is small, and is all that dies when an
accelerator does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.inference.litert import Int8Model, Kernels

Pixels = NDArray[np.uint8]


class Engine:
    """A loaded model that takes greys.

    Parameters
    ----------
    model
        The TFLite flatbuffer.
    n_views
        How many ways each picture is looked at.
    threads, kernels, delegate
        As `Int8Model` takes them.

    Attributes
    ----------
    model
        What it runs on: shapes and quantization.

    Raises
    ------
    BundleError
        As `Int8Model` does.
    """

    def __init__(
        self,
        model: bytes,
        n_views: int = 1,
        threads: int = 1,
        kernels: Kernels = "xnnpack",
        delegate: str | None = None,
    ) -> None:
        self.model = Int8Model(model, threads, kernels, delegate)
        self.n_views = n_views
        self._table = input_table(self.model.input_scale, self.model.input_zero_point)

    def infer(self, prepared: Pixels, numbers: Pixels) -> NDArray[np.int8]:
        """Raw outputs, int8 (k,), for one view that went through `prepare` and `describe`."""
        told = self._table.take(numbers[np.newaxis]) if self.model.n_numbers else None
        return self.model.run(self._table.take(prepared[np.newaxis]), told)

    def total(self, prepared: Pixels, numbers: Pixels) -> NDArray[np.int64]:
        """Sum of the raw outputs of all views of one prepared picture, int64 (k,)."""
        if self.n_views == 1:
            return self.infer(prepared, numbers).astype(np.int64)
        rows = [self.infer(way, numbers) for way in views(prepared, self.n_views)]
        return np.asarray(np.sum(rows, axis=0, dtype=np.int64))

    def logits(self, total: NDArray[np.int64]) -> NDArray[np.float64]:
        """What a total says: the mean logits of all views, float64."""
        return logits_of(total, self.n_views, self.model.output_scale, self.model.output_zero_point)


def logits_of(
    total: NDArray[np.int64], n_views: int, output_scale: float, output_zero_point: int
) -> NDArray[np.float64]:
    """Mean logits of a sum of int8 outputs over so many views."""
    # A softmax does not see a constant, but the evidence does: the zero point is subtracted.
    return np.asarray((total - n_views * output_zero_point) * (output_scale / n_views))


def views(prepared: Pixels, n: int) -> list[Pixels]:
    """The first `n` of four ways to look at a prepared vignette, each uint8 (size_px, size_px, 1)."""
    turned = prepared[::-1, ::-1]
    ways = (prepared, turned.swapaxes(0, 1), turned, prepared.swapaxes(0, 1))
    return [np.ascontiguousarray(way) for way in ways[:n]]


def input_value(grey: NDArray[np.floating]) -> NDArray[np.floating]:
    """Grey 0 to 255 as the network takes it, -1 to 127/128: int8 with a scale of 1/128 holds it exactly."""
    return (grey - 128) / 128


def input_table(scale: float, zero_point: int) -> NDArray[np.int8]:
    """The model's int8 input for each grey, int8 (256,), in the model's own scale and zero point."""
    nearest = np.rint(input_value(np.arange(256.0)) / scale) + zero_point
    return np.asarray(np.clip(nearest, -128, 127), dtype=np.int8)
