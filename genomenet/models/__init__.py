"""Architectures, one package a family, all of one shape; keras only.

`genomenet.models` holds architectures (code); the folder `models/` at the root of
the repository holds named models (data).
"""

from typing import Any, Final

from genomenet.models import bert, classifier, family, selfgenomenet

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


def family_of(model: Any) -> family.Family:
    """Returns the family of an encoder or classifier.

    Args:
        model: As `release.folder.load_model` returns it.

    Raises:
        ValueError: If it is of no family.
    """
    if isinstance(model, classifier.Classifier):
        return get_family(model.family)
    config = getattr(model, "config", None)
    for members in FAMILIES.values():
        if isinstance(config, members.Config):
            return members
    raise ValueError(
        f"{type(model).__name__} is neither an encoder nor a classifier of genomenet"
    )
