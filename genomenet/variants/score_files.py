"""Effects of the variants of a file, written as VCF, TSV or Parquet."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import tqdm

from genomenet import atomic
from genomenet.data import tables
from genomenet.dna import genome as genome_lib
from genomenet.variants import effects, scores, table, vcf

STOP: Final = "stop"
SKIP: Final = "skip"

_VCF: Final = (".vcf", ".vcf.gz", ".vcf.bgz")
_TABLES: Final = (".tsv", ".parquet")
_PREFIX: Final = "GN"
_REQUIRED: Final = ("chrom", "pos", "ref", "alt")
_NAMES: Final = {
    **dict.fromkeys(("#chrom", "chromosome", "contig"), "chrom"),
    **{"position": "pos", "reference": "ref", "alternate": "alt"},
}

Genome = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Options of variant scoring.

    Attributes:
        window: Length of a window in bases; that of training if None.
        batch_size: Number of windows per batch.
        both_strands: Whether to average over both strands. If None, classifiers use
            the setting of their evaluation, and encoders average.
        pool: Pooling of an encoder's window to a vector; the model's default if None.
        null: Number of random SNVs to which each score is compared; 0 for none.
        seed: Seed of the random SNVs.
        on_error: "stop" at a malformed line, or "skip" it.

    Raises:
        ValueError: If an option is out of range.
    """

    window: int | None = None
    batch_size: int = 64
    both_strands: bool | None = None
    pool: str | None = None
    null: int = 0
    seed: int = 0
    on_error: str = STOP

    def __post_init__(self) -> None:
        if self.on_error not in (STOP, SKIP):
            raise ValueError(f"on_error={self.on_error!r} must be {STOP!r} or {SKIP!r}")
        for name, least in (("window", 1), ("batch_size", 1), ("null", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}={value} must be at least {least}")


@dataclasses.dataclass(kw_only=True)
class Counts:
    """Counts of the records and alleles of a file.

    Attributes:
        records: Number of lines with variants.
        malformed: Number of malformed lines, which were skipped.
        statuses: Number of alternative alleles with each status.
    """

    records: int = 0
    malformed: int = 0
    statuses: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )


def variant_effects(
    model: Any,
    variants: str | os.PathLike[str] | Sequence[tuple[str, int, str, str]],
    genome: Genome,
    *,
    warn: Callable[[str], None] | None = None,
    show_progress: bool = False,
    **options: Any,
) -> table.EffectTable:
    """Scores every alternative allele against the reference.

    Args:
        model: Name or folder of a model, a Keras model, or several in a list: a
            classifier, a regression, an encoder or a masked language model.
        variants: A VCF; a table with the columns chrom, pos, ref and alt; or tuples
            (chrom, pos, ref, alt). Positions are 1-based.
        genome: Sequence files with the contigs, or a mapping name → sequence.
        warn: Called with a one-line warning for contigs whose name differs in the
            genome, and for skipped lines.
        show_progress: Whether to show a progress bar.
        **options: Options, see `Options`.

    Returns:
        A table with one row per allele: chrom, pos, id, ref, alt, status, genome_ref
        and the scores, always ALT against REF; NaN if the status is not "ok".

    Raises:
        ValueError: If the model, a file or an option is not usable.

    Example:
        >>> genomenet.variant_effects(  # doctest: +SKIP
        ...     "logo6_genemask_human", [("chr20", 1000000, "C", "T")], "genome.fa"
        ... )
    """
    work = _Work(model, variants, genome, Options(**options), warn or (lambda _: None))
    scored = list(work.scored(work.sites(is_first=False), show_progress=show_progress))
    return table.collect(scored, list(work.scorer.columns))


def score_file(
    model: Any,
    variants: str | os.PathLike[str],
    genome: Genome,
    output: str | os.PathLike[str],
    options: Options | None = None,
    *,
    warn: Callable[[str], None],
    show_progress: bool = True,
) -> Counts:
    """Scores the variants of a file; memory does not grow with the file.

    Args:
        model: As for `variant_effects`.
        variants: A VCF (plain, gzip or bgzip), or a table (TSV, CSV) with the columns
            chrom, pos, ref and alt.
        genome: Sequence files with the contigs, or a mapping name → sequence.
        output: A .vcf, .vcf.gz, .tsv or .parquet file. A VCF keeps all bytes of the
            input, and INFO fields are appended. The file appears when it is complete.
        options: Options; None for the defaults.
        warn: Called with a one-line warning for contigs whose name differs in the
            genome, and for skipped lines.
        show_progress: Whether to show a progress bar.

    Returns:
        Counts of records, malformed lines and statuses.

    Raises:
        ValueError: If the model, a file or an option is not usable.
    """
    output = pathlib.Path(output)
    if not output.name.endswith((*_VCF, *_TABLES)):
        raise ValueError(f"{output} must end with {', '.join((*_VCF, *_TABLES))}")
    if output.is_dir():
        raise ValueError(f"{output} is a folder: choose another name")
    _check_apart(output, variants, genome)
    work = _Work(model, variants, genome, options or Options(), warn)
    columns = list(work.scorer.columns)
    to_vcf = output.name.endswith(_VCF)
    if to_vcf and not work.is_vcf:
        raise ValueError(
            f"{output}: a VCF can be written only for a VCF input: choose .tsv or"
            " .parquet"
        )
    with atomic.replacing(output) as partial, contextlib.ExitStack() as stack:
        if to_vcf:
            is_packed = output.suffix != ".vcf"
            file = stack.enter_context(vcf.writing(partial, is_packed=is_packed))
            fields = _Fields(work.scorer.columns, work.used)
            _write_vcf(work, file, fields, show_progress=show_progress)
        else:
            is_parquet = output.suffix == ".parquet"
            write = stack.enter_context(
                table.writing(partial, columns, is_parquet=is_parquet)
            )
            sites = work.sites(is_first=False)
            for scored in work.scored(sites, show_progress=show_progress):
                write(scored)
    return work.counts


class _Work:
    """The variants of a run, read once before any model is loaded."""

    def __init__(
        self,
        model: Any,
        variants: Any,
        genome: Genome,
        options: Options,
        warn: Callable[[str], None],
    ):
        self._variants, self._options, self._warn = variants, options, warn
        self.counts = Counts()
        self.used: set[str] = set()  # INFO fields in the file
        self._path = ""
        if isinstance(variants, str | os.PathLike):
            self._path = os.fspath(variants)
            if self._path == "-":
                raise ValueError("variants must be a file, not '-': it is read twice")
        self.is_vcf = bool(self._path) and vcf.is_vcf(self._path)
        contigs: dict[str, None] = {}
        for site in self.sites(is_first=True):
            self.counts.records += 1
            contigs[site.contig] = None
        loaded = genome_lib.Genome.read(genome, only=contigs)
        if line := effects.renamed(loaded, contigs):
            warn(line)
        ensemble = scores.Ensemble(
            model,
            window=options.window,
            batch_size=options.batch_size,
            both_strands=options.both_strands,
            pool=options.pool,
        )
        self.scorer = effects.VariantScorer(
            ensemble, loaded, null=options.null, seed=options.seed
        )

    def sites(self, *, is_first: bool) -> Iterator[vcf.Site]:
        """Yields the sites; only the first pass reports malformed lines."""
        if not self._path:
            for index, values in enumerate(self._variants, start=1):
                yield _site(tuple(map(str, values)), f"variant {index}")
        elif self.is_vcf:
            for line in self.lines(is_first=is_first):
                if isinstance(line, vcf.Site):
                    yield line
        else:
            yield from self._rows(is_first=is_first)

    def lines(self, *, is_first: bool) -> Iterator[bytes | vcf.Site]:
        """Yields the lines of a VCF."""
        for line in vcf.read(self._path, self._on_error(is_first)):
            if is_first:
                if isinstance(line, vcf.Site):
                    self.used.update(vcf.info_keys(line.line))
                elif name := vcf.declared(line):
                    self.used.add(name)
            yield line

    def scored(
        self, sites: Iterator[vcf.Site], *, show_progress: bool
    ) -> Iterator[effects.Scored]:
        """Yields the scored sites, and counts their statuses."""
        with tqdm.tqdm(
            total=self.counts.records,
            desc="scoring",
            unit="record",
            disable=not show_progress,
        ) as bar:
            for scored in self.scorer.score(sites):
                self.counts.statuses.update(scored.statuses)
                bar.update()
                yield scored

    def _rows(self, *, is_first: bool) -> Iterator[vcf.Site]:
        on_error = self._on_error(is_first)
        for index, fields in tables.read_fields(
            self._path, required=_REQUIRED, columns=_NAMES, on_error=on_error
        ):
            values = tuple(fields[name] for name in _REQUIRED)
            try:
                yield _site(
                    values, f"{self._path}, line {index}", fields.get("id", ".")
                )
            except vcf.VariantError as e:
                on_error(e)

    def _on_error(self, is_first: bool) -> Callable[[ValueError], None]:
        def on_error(error: ValueError) -> None:
            if self._options.on_error == STOP:
                raise error
            if is_first:
                self.counts.malformed += 1
                self._warn(str(error))

        return on_error


class _Fields:
    """INFO fields of scores, with names that no other field of the file has."""

    def __init__(self, columns: Mapping[str, str], used: set[str]):
        number, prefix = 1, _PREFIX
        while any(name.startswith(f"{prefix}_") for name in used):
            number += 1
            prefix = f"{_PREFIX}{number}"
        self._status, self._genome = f"{prefix}_status", f"{prefix}_genome_ref"
        taken = {self._status, self._genome}
        self._ids: list[str] = []
        for key in columns:
            name = wanted = vcf.info_id(f"{prefix}_{key}")
            count = 1
            while name in taken:
                count += 1
                name = f"{wanted}_{count}"
            taken.add(name)
            self._ids.append(name)
        self._abouts = list(columns.values())

    def declarations(self, end: bytes) -> bytes:
        """Returns the header lines that declare the fields."""
        lines = [
            vcf.declaration(
                self._status,
                "A",
                "String",
                f"genomenet: whether ALT was scored: {', '.join(effects.STATUSES)}",
                end=end,
            ),
            vcf.declaration(
                self._genome,
                "1",
                "String",
                "genomenet: bases of the genome, if they differ from REF",
                end=end,
            ),
        ]
        lines += [
            vcf.declaration(name, "A", "Float", f"genomenet: {about}", end=end)
            for name, about in zip(self._ids, self._abouts, strict=True)
        ]
        return b"".join(lines)

    def of(self, scored: effects.Scored) -> str:
        """Returns the fields of a site; scores that no allele has are omitted."""
        fields = [f"{self._status}={','.join(scored.statuses)}"]
        if scored.genome_ref:
            fields.append(f"{self._genome}={scored.genome_ref}")
        for name, values in zip(self._ids, scored.values.T.tolist(), strict=True):
            texts = [effects.text(value) for value in values]
            if any(text != "." for text in texts):
                fields.append(f"{name}={','.join(texts)}")
        return ";".join(fields)


def _write_vcf(work: _Work, file: Any, fields: _Fields, *, show_progress: bool) -> None:
    """Writes the lines of a VCF, with the fields of scores added to sites."""
    others: dict[int, list[bytes]] = {}  # other lines, by the number of sites before
    num_read = 0

    def sites() -> Iterator[vcf.Site]:
        nonlocal num_read
        for line in work.lines(is_first=False):
            if isinstance(line, vcf.Site):
                num_read += 1
                yield line
                continue
            if line.startswith(b"#CHROM\t"):
                line = fields.declarations(vcf.end_of(line) or b"\n") + line
            others.setdefault(num_read, []).append(line)

    scored_sites = work.scored(sites(), show_progress=show_progress)
    for index, scored in enumerate(scored_sites):
        for line in others.pop(index, []):
            file.write(line)
        file.write(vcf.add_info(scored.site.line, fields.of(scored)))
    for lines in others.values():
        for line in lines:
            file.write(line)


def _site(values: tuple[str, ...], where: str, name: str = ".") -> vcf.Site:
    """Returns the site of a row with the values chrom, pos, ref and alt."""
    if len(values) != len(_REQUIRED):
        raise vcf.VariantError(
            f"{where}: {len(values)} values; chrom, pos, ref and alt are needed"
        )
    contig, position, ref, alt = values
    if not contig:
        raise vcf.VariantError(f"{where}: chrom is empty")
    if not (position.isascii() and position.isdigit() and len(position) < 19):
        raise vcf.VariantError(f"{where}: pos {position[:30]!r} is not a position")
    alts = tuple(alt.split(","))
    try:
        vcf.check_alleles(ref, alts)
    except vcf.VariantError as e:
        raise vcf.VariantError(f"{where}: {e}") from None
    return vcf.Site(
        contig=contig, position=int(position), ref=ref, alts=alts, id=name or "."
    )


def _check_apart(output: pathlib.Path, variants: Any, genome: Genome) -> None:
    """Raises ValueError if the output is one of the inputs."""
    inputs = [variants]
    if isinstance(genome, str | os.PathLike):
        inputs.append(genome)
    elif not isinstance(genome, Mapping):
        inputs += genome
    for path in inputs:
        if output.exists() and os.path.exists(path) and output.samefile(path):
            raise ValueError(f"{output} is also an input: choose another output")
