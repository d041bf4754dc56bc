"""Licence texts -> the four classes that `separate train --licences` selects by."""

import re

CLASSES = ("free", "sharealike", "nc", "research")  # from the freest to the narrowest


def licence_class(text: str) -> str:
    """Return the class of a licence: free, sharealike, nc, or research.

    Args:
        text: A licence's name, such as `CC-BY-SA-4.0 (who made it)`. What is not recognised counts
            as `research`, the narrowest class.
    """
    text = text.upper().replace("_", "-").replace(" ", "-")
    name = re.split(r"[(;,]", text)[0]
    if re.search(r"\bNC\b|NON-?COMMERCIAL", name):
        return "nc"
    if re.search(r"RESEARCH|ACADEMIC", text):
        return "research"
    if re.search(r"\bSA\b|SHARE-?ALIKE|\bGPL\b|GPL-\d", name):
        return "sharealike"
    if re.search(r"CC0|CC-BY|\bMIT\b|APACHE|BSD|PUBLIC-DOMAIN|UNLICENSE", name):
        return "free"
    return "research"


def narrowest(classes: list[str]) -> str:
    """Return the narrowest of some classes (`free` for none): what a mixture of them has."""
    return max(classes, key=CLASSES.index, default="free")
