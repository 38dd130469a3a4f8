"""The cells that particles are counted in."""

import numpy as np
import pytest

from equivdm.noise.cells import count_in
from equivdm.noise.lattice import PIXEL, Lattice
from equivdm.noise.particles import COLUMNS, Particles, offset
from equivdm.noise.table import BLOCK, SHIFT, SITE, X, Y


@pytest.mark.parametrize("per_cell", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("grid", [(6, 8), (5, 11), (48, 64), (60, 70)])
def test_at_birth_a_particle_is_counted_within_its_site(per_cell: int, grid: tuple[int, int]) -> None:
    particles = Particles.none(Lattice((48, 64), grid, per_cell))
    particles.restart(0)
    row, column = np.divmod(particles[SITE], grid[1] * per_cell)
    np.testing.assert_array_equal(particles.cells(), row // per_cell * grid[1] + column // per_cell)


def test_shifts_are_even_over_a_site_and_independent_in_both_directions() -> None:
    sites = np.arange(100_000, dtype=np.int32)
    right, down = offset(sites, np.zeros_like(sites)) / 512
    for each in (right, down):
        assert -0.5 < each.min() < -0.49 < 0.49 < each.max() < 0.5
        assert abs(each.mean()) < 4.5 * np.sqrt(1 / 12 / len(sites))
        assert each.var() == pytest.approx(1 / 12, rel=0.01)
    assert abs(np.corrcoef(right, down)[0, 1]) < 4.5 / np.sqrt(len(sites))
    assert not np.array_equal(offset(sites, np.ones_like(sites)), offset(sites, np.zeros_like(sites)))


def counted(x: list[float], y: list[float], right: list[int], down: list[int]) -> list[int]:
    """Cells of particles at these places, px, of a frame of 16 x 8 px in two cells, with these shifts of 2 px sites."""
    lattice = Lattice((8, 16), (1, 2), 4)
    table = np.zeros((COLUMNS, len(x)), np.int32)
    table[X], table[Y] = np.array(x) * PIXEL, np.array(y) * PIXEL
    table[SHIFT] = (np.array(right) + 255) // 2 + ((np.array(down) + 255) // 2 << 8)
    table[BLOCK] = table[Y] // (4 * PIXEL) * 4 + table[X] // (4 * PIXEL)
    return count_in(table, len(x), lattice.cell_of, lattice.size, lattice.grid, lattice.units).tolist()


def test_a_shift_takes_a_particle_up_to_half_a_site_away() -> None:
    at_border = {"y": [4, 4, 4], "down": [1, 1, 1]}
    assert counted([7.9, 1.0, 15.0], right=[255, 1, 1], **at_border) == [1, 0, 1]
    assert counted([7.9, 1.0, 15.0], right=[-255, 1, 1], **at_border) == [0, 0, 1]
    assert counted([6.9, 1.0, 15.0], right=[255, 1, 1], **at_border) == [0, 0, 1]


def test_what_a_shift_would_take_out_of_the_frame_stays_in_it() -> None:
    assert counted([0.1, 15.9], [0.1, 7.9], [-255, 255], [-255, 255]) == [0, 1]


def test_a_cell_that_would_lose_all_of_its_own_loses_none() -> None:
    """Two that lie in the left cell are taken to the right one: they stay; with a third that stays they may go."""
    assert counted([7.5, 7.6, 12.0], [1, 6, 4], [255, 255, 1], [1, 1, 1]) == [0, 0, 1]
    assert counted([7.5, 7.6, 12.0, 1.0], [1, 6, 4, 4], [255, 255, 1, 1], [1, 1, 1, 1]) == [1, 1, 1, 0]


def test_an_even_motion_takes_particles_from_cell_to_cell_one_by_one() -> None:
    """At their places, all of a column would cross at once: by steps of a quarter of a cell."""
    lattice = Lattice((256, 256), (32, 32), 4)
    particles = Particles.none(lattice)
    particles.restart(0)
    first, crossed = particles.cells(), []
    for _ in range(8):
        particles.table[X, : particles.filled] += PIXEL // 4
        crossed.append(float(np.mean(particles.cells() != first)))
    inner = 31 / 32  # of the cells have one to their right
    np.testing.assert_allclose(crossed, np.arange(1, 9) / 32 * inner, atol=0.02)
