"""Architectures, one package a family, all of one shape; keras only.

`genomenet.models` holds architectures (code); the folder `models/` at the root of
the repository holds named models (data).
"""

from typing import Final

from genomenet.models import bert, family, selfgenomenet

FAMILIES: Final[dict[str, family.Family]] = {
    "bert": bert,
    "selfgenomenet": selfgenomenet,
}


def get_family(name: str) -> family.Family:
    """Returns the package of a family.

    Args:
        name: A key of `FAMILIES`, as in `config.json`.

    Returns:
        The module, which follows `family.Family`.

    Raises:
        ValueError: If there is no such family.
    """
    if not isinstance(name, str) or name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; there are {', '.join(FAMILIES)}")
    return FAMILIES[name]
