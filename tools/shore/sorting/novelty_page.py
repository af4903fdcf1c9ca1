"""The novelty list as a table and as one self-contained page with its vignettes. It ranks nothing."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable
from html import escape

from tools.shore.sorting.novelty import Novel
from tools.shore.sorting.work import Images

COLUMNS = ("rank", "source", "file", "cluster", "novelty", "class", "score", "evidence")
MOST_CLUSTERS, MOST_OF_CLUSTER, MOST_SINGLE = 40, 16, 120
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
.grid { display: flex; flex-wrap: wrap; gap: 4px; }
figure { margin: 0; width: 104px; background: #000; color: #cfe3ec; border-radius: 4px; overflow: hidden; }
figure.light { background: #f4f4f4; color: #222; }
figure div { height: 98px; display: grid; place-items: center; } img { max-width: 98px; max-height: 98px; }
figcaption { font-size: 11px; padding: 0 4px 2px; overflow: hidden; text-overflow: ellipsis; }
figcaption { white-space: nowrap; }
"""


def table(images: Images, found: Novel) -> str:
    """CSV, a row an image, the most novel first."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rank, row in enumerate(found.order.tolist(), start=1):
        cluster = "" if found.cluster[row] < 0 else int(found.cluster[row]) + 1
        writer.writerow(
            (
                rank, images.source[row], images.file[row], cluster, f"{found.novelty[row]:.4f}",
                images.guess[row], f"{images.score[row]:.4f}", f"{images.evidence[row]:.3f}",
            )
        )  # fmt: skip
    return buffer.getvalue()


def page(
    images: Images,
    found: Novel,
    picture: Callable[[int], tuple[str, bytes] | None],
    title: str,
    how: str,
    *,
    is_light: bool,
) -> str:
    """One HTML page.

    Parameters
    ----------
    images, found
        What was ranked, and how it came out.
    picture
        Kind and bytes of an image, by its number.
    title, how
        Of the page; what was ranked by.
    is_light
        Whether the images are dark on white.
    """

    def figure(row: int) -> str:
        told = picture(int(images.image[row]))
        if told is None:
            return ""
        source = f"data:{told[0]};base64,{base64.b64encode(told[1]).decode()}"
        words = f"{images.guess[row]} {images.score[row]:.2f}"
        return (
            f'<figure{" class=light" if is_light else ""}><div><img src="{source}" alt=""></div>'
            f'<figcaption title="{escape(images.file[row])}">{escape(words)}</figcaption></figure>'
        )

    parts = []
    n_clusters = found.n_clusters
    for one in range(min(n_clusters, MOST_CLUSTERS)):
        rows = [row for row in found.order.tolist() if found.cluster[row] == one]
        shown = f", the {MOST_OF_CLUSTER} least known of them" if len(rows) > MOST_OF_CLUSTER else ""
        parts.append(f"<h2>Cluster {one + 1}: {len(rows):,} images{shown}</h2>")
        parts.append(f'<div class="grid">{"".join(map(figure, rows[:MOST_OF_CLUSTER]))}</div>')
    if n_clusters > MOST_CLUSTERS:
        parts.append(f"<p>{n_clusters - MOST_CLUSTERS} more clusters are in the table.</p>")
    single = [row for row in found.order.tolist() if found.cluster[row] < 0]
    shown = f", {MOST_SINGLE} of {len(single):,}" if len(single) > MOST_SINGLE else ""
    parts.append(f"<h2>In no cluster, the least known first{shown}</h2>")
    parts.append(f'<div class="grid">{"".join(map(figure, single[:MOST_SINGLE]))}</div>')
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"<p>{len(images.file):,} images, ranked by {escape(how)}. Below each: what the model would call it,"
        f" and how sure it is.</p>{''.join(parts)}</body></html>\n"
    )
