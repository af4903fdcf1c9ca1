"""What is counted: taxa, the parents an unsure answer rolls up to, and `unclassified`. Pure.

A taxon's ids are null unless the training data or a named source gave them.
"""

from __future__ import annotations

import msgspec

UNCLASSIFIED = "unclassified"


class Taxon(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One taxon of a model.

    Attributes
    ----------
    label
        Name as the training data has it; unique in a bundle.
    living
        True for organisms, False for detritus, artefacts, bubbles; None when the data do not say.
    parent
        Label of the taxon that an unsure answer rolls up to, or None.
    ecotaxa_id, aphia_id
        Ids in EcoTaxa and WoRMS, or None.
    """

    label: str
    living: bool | None = None
    parent: str | None = None
    ecotaxa_id: int | None = None
    aphia_id: int | None = None
