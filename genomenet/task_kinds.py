"""Kinds of tasks that labels can define."""

from typing import Final

BINARY: Final = "binary"
MULTICLASS: Final = "multiclass"
MULTI_LABEL: Final = "multi_label"
REGRESSION: Final = "regression"
KINDS: Final = (BINARY, MULTICLASS, MULTI_LABEL, REGRESSION)
