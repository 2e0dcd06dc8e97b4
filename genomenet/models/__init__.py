"""Architectures, one package per family with a common interface; keras only.

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
        The module, which implements `family.Family`.

    Raises:
        ValueError: If there is no such family, or its package is incomplete.
    """
    if not isinstance(name, str) or name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; there are {', '.join(FAMILIES)}")
    missing = family.missing_names(FAMILIES[name])
    if missing:
        raise ValueError(
            f"family {name!r} lacks {', '.join(missing)}; see `Family` in"
            " genomenet/models/family.py"
        )
    return FAMILIES[name]


def family_of(model: Any) -> family.Family:
    """Returns the family of an encoder or classifier.

    Args:
        model: As `release.folder.load_model` returns it.

    Raises:
        ValueError: If it belongs to no family.
    """
    if isinstance(model, classifier.Classifier):
        return get_family(model.family)
    config = getattr(model, "config", None)
    for family_module in map(get_family, FAMILIES):
        if isinstance(config, family_module.Config):
            return family_module
    raise ValueError(
        f"{type(model).__name__} is neither an encoder nor a classifier of genomenet"
    )
