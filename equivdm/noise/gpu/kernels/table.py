"""What the kernels know of the table of particles and of the clock."""

import triton.language as tl

from equivdm.noise import table as rows
from equivdm.noise.gpu.kernels import Block, Pointer, Scalar, kernel
from equivdm.noise.lattice import PIXEL
from equivdm.noise.lattice import PIXEL_BITS as BITS_OF_A_PIXEL

X = tl.constexpr(rows.X)
Y = tl.constexpr(rows.Y)
U = tl.constexpr(rows.U)
V = tl.constexpr(rows.V)
BLOCK = tl.constexpr(rows.BLOCK)
BIRTH = tl.constexpr(rows.BIRTH)
SITE = tl.constexpr(rows.SITE)
PATH = tl.constexpr(rows.PATH)
SHIFT = tl.constexpr(rows.SHIFT)
PIXELS = tl.constexpr(PIXEL)
PIXEL_BITS = tl.constexpr(BITS_OF_A_PIXEL)
STEP = tl.constexpr(0)
FRAME = tl.constexpr(1)
MOVE = tl.constexpr(2)
"""Words of the clock: the step of the flow at hand, the number of the frame that waits, and the step once more.

`fill` writes the last, which `move` reads, and `move` the first two, which all others read: so no program reads what
another one of the same kernel writes, and no kernel is launched for the clock alone.
"""


@kernel
def slots(stops: Pointer, SLOTS: tl.constexpr) -> tuple[Scalar, Block, Block]:
    """Return the clip, the slots of this program, and which of them are in use."""
    clip = tl.program_id(1)
    slot = tl.program_id(0) * SLOTS + tl.arange(0, SLOTS)
    return clip, slot, slot < tl.load(stops + clip)


@kernel
def cell_of(block: Block, columns: Scalar, HALVES: tl.constexpr) -> Block:
    """Return the cells of blocks, of which there are `columns` in a row, HALVES along the side of a cell."""
    return block // columns // HALVES * (columns // HALVES) + block % columns // HALVES
