"""A lattice of cells, blocks and sites, whatever its sizes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.noise.lattice import PIXEL, Lattice

lattices = st.builds(
    Lattice,
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(1, 9),
)
some = settings(max_examples=40, derandomize=True)


@some
@given(lattices)
def test_blocks_share_out_all_sites(lattice: Lattice) -> None:
    blocks = np.arange(lattice.blocks[0] * lattice.blocks[1])
    sites = lattice.sites_of(blocks)
    assert sorted(sites.tolist()) == list(range(lattice.sites[0] * lattice.sites[1]))
    assert len(sites) == len(blocks) * lattice.per_block**2


@some
@given(lattices)
def test_a_site_lies_in_the_cell_of_its_block(lattice: Lattice) -> None:
    per_block = lattice.per_block**2
    row, column = np.divmod(lattice.sites_of(np.arange(lattice.blocks[0] * lattice.blocks[1])), lattice.sites[1])
    cells = row // lattice.per_cell * lattice.grid[1] + column // lattice.per_cell
    np.testing.assert_array_equal(cells, np.repeat(lattice.cell_of, per_block))


@some
@given(lattices)
def test_units_fill_a_site_up_to_rounding(lattice: Lattice) -> None:
    for unit, pixels, sites in zip(lattice.units, lattice.size, lattice.sites, strict=True):
        assert 0 <= pixels * PIXEL - 512 * sites * unit < 512 * sites


@some
@given(lattices)
def test_a_cell_that_is_full_spreads_its_particles_by_a_quarter_of_a_site(lattice: Lattice) -> None:
    spread = lattice.spread(np.array([lattice.per_cell**2, 4 * lattice.per_cell**2]))
    for (full, crowded), pixels, sites in zip(spread, lattice.size, lattice.sites, strict=True):
        assert abs(full - PIXEL * pixels / sites / 4) <= 0.5
        assert abs(crowded - full / 2) <= 1  # four times as many lie half as far from each other
