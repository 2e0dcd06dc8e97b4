"""Damaged inputs are refused in one line or read as what they say."""

import pytest

from tests.fuzz import attack, surfaces

# Those that take a millisecond an input.
QUICK = (
    *("fasta", "fasta_gzip", "genbank", "embl", "two_bit", "table_tsv", "table_csv"),
    *("bed", "vcf", "kmer_counts", "torch_zip", "torch_legacy", "packed_genome"),
)


@pytest.mark.parametrize("name", QUICK)
def test_some_damaged_inputs(name, tmp_path):
    found = attack.attack(surfaces.SURFACES[name], range(60), tmp_path)
    assert not found.failures
    assert found.counts[attack.REFUSED]


@pytest.mark.slow
@pytest.mark.parametrize("name", surfaces.SURFACES)
def test_more_damaged_inputs(name):
    """A minute in all; `python -m tests.fuzz` takes any number."""
    count = 300 if name in QUICK else 40
    found = attack.in_process(surfaces.SURFACES[name], range(1000, 1000 + count))
    assert not found.failures
