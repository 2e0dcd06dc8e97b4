"""Finds motifs in sequence files and writes a folder with a report."""

from __future__ import annotations

import collections
import dataclasses
import html
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import atomic
from genomenet.data import intervals, tables
from genomenet.dna import alphabet, encode, ranking, reader
from genomenet.motifs import compare, formats, npmi_overlap, pwm, report, rgadem
from genomenet.motifs.discovery import discover
from genomenet.motifs.discovery import options as options_lib

AUTO: Final = "auto"
NATIVE: Final = "native"
RGADEM: Final = "rgadem"
BACKENDS: Final = (AUTO, NATIVE, RGADEM)

_NUM_DRAWN: Final = 10  # sequences whose attribution scores are drawn

NamedCodes = tuple[str, npt.NDArray[np.uint8]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Options of motif discovery.

    Attributes:
        backend: One of `BACKENDS`; "auto" is the native finder.
        native: Options of the native finder.
        gadem: Options of rGADEM.
        timeout: Seconds after which rGADEM is stopped; None waits.
        model: A classifier, or its name or folder. If given, motifs are searched only
            in its regions of high attribution.
        method: Attribution method of `attribution.explain`.
        target: Name of the class to explain; by default the label of the sequences, or
            the positive class of two if they have none.
        jaspar: Whether to compare motifs with JASPAR.
        tax_group: Groups of JASPAR to compare with; empty for all groups.
        ranking: A ranking of k-mers to count in the motifs, or None.
        k: Length of the k-mers of `ranking`, in bases.
    """

    backend: str = AUTO
    native: options_lib.Options = dataclasses.field(default_factory=options_lib.Options)
    gadem: rgadem.RgademOptions = dataclasses.field(
        default_factory=rgadem.RgademOptions
    )
    timeout: float | None = None
    model: Any = None
    method: str | None = None
    target: str | None = None
    jaspar: bool = False
    tax_group: tuple[str, ...] = ()
    ranking: str | None = None
    k: int = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """Discovered motifs. A notebook shows their logos and names.

    Attributes:
        motifs: The motifs, best first.
        matches: Matches with JASPAR; None if nothing was compared.
        warnings: Warnings about the input or the search.
        target: Class that was explained, or empty without a model.
    """

    motifs: tuple[pwm.Motif, ...]
    matches: tuple[compare.Match, ...] | None
    warnings: tuple[str, ...]
    target: str = ""

    def summary(self) -> list[str]:
        """Returns a summary line, then one line for each motif."""
        count = len(self.motifs)
        suffix = f" of class {self.target!r}" if self.target else ""
        lines = [f"{count} motif{'s' * (count != 1)}{suffix}"]
        for motif in self.motifs:
            evalue = motif.scores.get("evalue")
            stated = "" if evalue is None else f"  E {evalue:.2g}"
            named = self._matches(motif)
            name = f"  {named[0].target_name} q {named[0].qvalue:.2g}" if named else ""
            note = "" if motif.scores.get("significant", 1.0) else "  not significant"
            sites = f"{len(motif.sites):>7,} sites"
            lines.append(f"  {motif.name:<24}{sites}{stated}{note}{name}")
        return lines

    def _matches(self, motif: pwm.Motif) -> list[compare.Match]:
        """Returns the matches of a motif up to the highest q-value of the report."""
        return [
            match
            for match in self.matches or ()
            if match.motif == motif.name and match.qvalue <= report.HIGHEST_QVALUE
        ]

    def __repr__(self) -> str:
        return "\n".join(self.summary())

    def _repr_html_(self) -> str:
        first, *lines = self.summary()
        parts = [f"<p>{html.escape(first)}</p>"]
        for line, motif in zip(lines, self.motifs, strict=True):
            parts.append(report.image(report.logo(motif), "logo"))
            parts.append(f"<pre>{html.escape(line.strip())}</pre>")
        return "".join(parts)


def read(
    paths: Sequence[str],
    *,
    label: str | None = None,
    genome: Sequence[str] | None = None,
    width: int | None = None,
) -> tuple[list[NamedCodes], list[NamedCodes] | None]:
    """Reads sequence files, or tables with a column `sequence` and `label`.

    Args:
        paths: As for `dna.reader.read`, or tables; with a genome, files of intervals.
        label: For tables: the label of interest; other rows are controls.
        genome: Genome of the intervals, as for `data.intervals.read_records`.
        width: Bases around the summit of an interval, or around its midpoint if it has
            no summit.

    Returns:
        Sequences and controls; controls are None without a label. Names that occur
        several times, as peaks in FASTA may, get "#" and the 1-based index in the
        input as a suffix.

    Raises:
        ValueError: If a file cannot be read, tables and sequence files are mixed, or a
            label is given without a table, or a table without a label.
    """
    files = reader.expand(paths)
    intervals.check(files, genome, width)
    are_tables = [genome is None and tables.is_table(str(path)) for path in files]
    if any(are_tables) != all(are_tables):
        raise ValueError("tables and sequence files are mixed: give one kind")
    if not all(are_tables):
        if label is not None:
            raise ValueError(
                f"label={label!r} needs a table (.tsv, .csv) with a column label, not"
                f" {files[0]}"
            )
        records = intervals.read_records(
            paths, genome=genome, width=width, unique=False
        )
        return _unique((r.name, r.codes) for r in records), None
    if label is None:
        raise ValueError(f"{files[0]} is a table: give the label of interest")
    wanted: list[NamedCodes] = []
    controls: list[NamedCodes] = []
    for row in tables.read_tables([str(path) for path in files]):
        part = wanted if row.label == label else controls
        part.append((row.id, encode.encode(row.sequence)))
    if not wanted:
        raise ValueError(f"{files[0]} has no sequence with the label {label!r}")
    return _unique(wanted), _unique(controls) or None


def discover_motifs(
    sequences: Any,
    controls: Any = None,
    *,
    model: Any = None,
    target: str | None = None,
    jaspar: bool = False,
    output: str | os.PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> Result:
    """Finds motifs in sequences: the command `genomenet.find_motifs`.

    Args:
        sequences: As for `Classifier.predict`.
        controls: Sequences without the motifs; None shuffles `sequences`.
        model: A classifier, or its name or folder. If given, motifs are searched only
            in its regions of high attribution.
        target: Name of the class to explain; the positive class of two if None.
        jaspar: Whether to compare with JASPAR; needs the extra motifs.
        output: Folder for all files and the report; None keeps nothing on disk.
        progress: Called with each progress line.
        **options: Fields of `motifs.discovery.options.Options`, such as `num_motifs`.

    Returns:
        The motifs.

    Raises:
        ValueError: If an argument is invalid, or `output` contains other files.
        ImportError: If the dependency of an option is not installed.
    """
    from genomenet.api import inputs  # Keras

    chosen = Options(
        native=options_lib.Options(**options), model=model, target=target, jaspar=jaspar
    )
    named_controls = None if controls is None else inputs.name_sequences(controls)
    with tempfile.TemporaryDirectory() as folder:
        return find(
            _unique(inputs.name_sequences(sequences)),
            output or pathlib.Path(folder, "motifs"),
            chosen,
            controls=None if named_controls is None else _unique(named_controls),
            progress=progress,
        )


def find(
    sequences: Sequence[NamedCodes],
    output: str | os.PathLike[str],
    options: Options,
    *,
    controls: Sequence[NamedCodes] | None = None,
    label: str | None = None,
    command: Mapping[str, str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Result:
    """Finds motifs and writes a folder atomically.

    The folder contains the files of `formats.write_all` and `report.html`; with
    logomaker a logo of each motif in `logos/`; with JASPAR `jaspar.tsv`; with a ranking
    of k-mers `npmi.tsv`; and with a model `attribution.npz`, for controls
    `attribution_controls.npz`, and logos of the scores of the first sequences in
    `attribution/`.

    Args:
        sequences: Names and codes of `dna.alphabet`, uint8, (L,) each.
        output: The folder to write; an earlier result is replaced.
        options: Options of the search.
        controls: Sequences without the motifs; None shuffles `sequences`.
        label: Label of the sequences: the class to explain with a model, unless the
            options name a target.
        command: Names and values of the command, for the report.
        progress: Called with each progress line.

    Returns:
        The motifs.

    Raises:
        ValueError: If an argument is invalid, or `output` contains other files.
        ImportError: If the dependency of an option is not installed.
        TimeoutError: If rGADEM takes longer than `options.timeout`.
        ChildProcessError: If R fails.
    """
    say = progress or (lambda line: None)
    if options.backend not in BACKENDS:
        raise ValueError(
            f"backend={options.backend!r} must be one of {', '.join(BACKENDS)}"
        )
    output = pathlib.Path(output)
    _check_output(output)
    targets: tuple[compare.Target, ...] = ()
    if options.jaspar:  # before the long search, as it may not be installed
        say("reading JASPAR")
        targets = compare.jaspar(tax_group=options.tax_group or None)
    ranks = None
    if options.ranking is not None:
        ranks = ranking.read(options.ranking, options.k)
    named: dict[str, str] = {}
    with atomic.replacing(output) as partial:
        partial.mkdir()
        if options.model is not None:
            sequences, controls, target = _attributed_windows(
                dataclasses.replace(options, target=options.target or label),
                sequences,
                controls,
                partial,
                say,
            )
            named = {"target": target} if target else {}
        motifs, warnings, facts = _search(options, sequences, controls, say)
        about = {**(command or {}), **named, **facts}
        matches = None
        if options.jaspar:
            matches = tuple(compare.compare(motifs, targets))
            about["compared with"] = f"JASPAR CORE, {len(targets):,} motifs"
            _write_matches(partial / "jaspar.tsv", matches)
        if ranks is not None:
            rows = npmi_overlap.overlap(motifs, sequences, ranks, options.k)
            npmi_overlap.write(partial / "npmi.tsv", rows)
        formats.write_all(partial, motifs, about={**about, "warnings": list(warnings)})
        report.write_report(
            partial / "report.html",
            motifs,
            about=about,
            lengths={name: len(codes) for name, codes in sequences},
            matches=matches,
            warnings=warnings,
        )
        _draw(partial / "logos", motifs)
    return Result(
        motifs=motifs,
        matches=matches,
        warnings=warnings,
        target=named.get("target", ""),
    )


def _unique(named: Iterable[NamedCodes]) -> list[NamedCodes]:
    """Appends "#" and the 1-based index to names that occur several times."""
    kept = list(named)
    counts = collections.Counter(name for name, _ in kept)
    return [
        (f"{name}#{index}" if counts[name] > 1 else name, codes)
        for index, (name, codes) in enumerate(kept, 1)
    ]


def _check_output(output: pathlib.Path) -> None:
    """Raises if the output is neither new, nor empty, nor a result of this module."""
    if output.is_dir():
        is_ours = (output / "motifs.json").is_file() or not any(output.iterdir())
        if not is_ours:
            raise ValueError(f"{output} contains other files: give a new folder")
    elif output.exists():
        raise ValueError(f"{output} is a file: give a folder")


def _search(
    options: Options,
    sequences: Sequence[NamedCodes],
    controls: Sequence[NamedCodes] | None,
    say: Callable[[str], None],
) -> tuple[tuple[pwm.Motif, ...], tuple[str, ...], dict[str, str]]:
    """Returns motifs, warnings, and facts on the search for the report."""
    facts = {"sequences": f"{len(sequences):,}"}
    if options.backend == RGADEM:
        warnings = () if controls is None else ("rGADEM uses no controls",)
        motifs = rgadem.discover(sequences, options.gadem, timeout=options.timeout)
        changed = {
            field.name: getattr(options.gadem, field.name)
            for field in dataclasses.fields(options.gadem)
            if getattr(options.gadem, field.name) != field.default
        }
        words = ", ".join(f"{k} = {v}" for k, v in changed.items())
        return motifs, warnings, {**facts, "rGADEM": words or "its defaults"}
    result = discover.discover(sequences, controls, options.native, progress=say)
    facts["controls"] = f"{result.num_controls:,}, {result.controls}"
    facts["background"] = ", ".join(
        f"{base} {p:.3f}" for base, p in zip("ACGT", result.background, strict=True)
    )
    for field in dataclasses.fields(options.native):
        name = field.name.replace("_", " ")
        facts[name] = str(getattr(options.native, field.name))
    return result.motifs, tuple(result.warnings), facts


def _attributed_windows(
    options: Options,
    sequences: Sequence[NamedCodes],
    controls: Sequence[NamedCodes] | None,
    directory: pathlib.Path,
    say: Callable[[str], None],
) -> tuple[list[NamedCodes], list[NamedCodes] | None, str]:
    """Returns the windows of high attribution and the class that was explained."""
    from genomenet.interpret import attribution, regions  # TensorFlow
    from genomenet.models import classifier
    from genomenet.release import folder

    model = options.model
    if isinstance(model, str | os.PathLike):
        model = folder.load_classifier(model)
    model = classifier.graph_of(model)
    target = ""  # attention does not depend on a class
    if options.method != attribution.ATTENTION:
        target = attribution.target_of(model.config, options.target)
    suffix = f" of class {target!r}" if target else ""

    def windows(part: Sequence[NamedCodes], name: str) -> list[NamedCodes]:
        say(f"attributing the predictions{suffix} of {len(part):,} sequences")
        scores = attribution.explain(
            model, part, method=options.method, target=options.target
        )
        attribution.save(directory / f"{name}.npz", scores)
        if name == "attribution":
            try:
                attribution.draw(directory / name, scores, count=_NUM_DRAWN)
            except ImportError as e:
                say(str(e))
        high = regions.high_windows(scores)
        return [(n, codes[codes != alphabet.PAD]) for n, codes in high]

    wanted = windows(sequences, "attribution")
    if not wanted:
        raise ValueError(
            "no region of five bases or more has a high attribution: use another"
            " attribution method, or search without a model"
        )
    if controls is None:
        return wanted, None, target
    return wanted, windows(controls, "attribution_controls") or None, target


def _draw(directory: pathlib.Path, motifs: Sequence[pwm.Motif]) -> None:
    """Draws logos if logomaker is installed; otherwise the report has a note."""
    try:
        for index, motif in enumerate(motifs, 1):
            report.save_logo(directory / f"{index}.png", motif)
    except ImportError:
        return


def _write_matches(path: pathlib.Path, matches: Sequence[compare.Match]) -> None:
    names = [field.name for field in dataclasses.fields(compare.Match)]
    lines = ["\t".join(names)]
    for match in matches:
        values: list[Any] = [getattr(match, name) for name in names]
        lines.append(
            "\t".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in values)
        )
    atomic.write_text(path, "\n".join(lines) + "\n")
