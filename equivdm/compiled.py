"""How kernels for the CPU are compiled.

A kernel calls only kernels of its own file, and instructions of this one: numba's cache notices a changed file, but not
a changed callee elsewhere.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.types import Type
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


Integer = int | np.integer
"""A whole number inside a kernel."""
Code = Any
"""A number, or an array, in the compiler's own language, whose classes type checkers cannot follow."""
Instruction = tuple[Signature, Callable[[BaseContext, ir.IRBuilder, Signature, Sequence[Code]], Code]]
"""The types of an instruction's result and arguments, and what writes it into a kernel."""


def constant(array: np.ndarray) -> np.ndarray:
    """Return a contiguous, read-only view: the one array type that kernels are compiled for, wherever it came from."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def kernel(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile `function` for one thread, without the interpreter's lock, and keep the result on disk where possible.

    One thread each: clips run side by side in processes or threads, and a sum's bits then depend on nothing.
    """
    return _compiled(function, inline=False)


def inlined(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile `function` as part of each kernel that calls it, where a call takes longer than what it does."""
    return _compiled(function, inline=True)


def _compiled(function: Callable[Arguments, Result], *, inline: bool) -> Callable[Arguments, Result]:
    # The tests' shape checker wraps annotated functions; numba wants the bare one.
    bare = inspect.unwrap(function)
    try:
        return numba.njit(cache=True, nogil=True, forceinline=inline)(bare)
    except RuntimeError:  # numba found no folder that it may keep its cache in, as in a read-only install
        return numba.njit(nogil=True, forceinline=inline)(bare)


def instruction(generate: Callable[..., Instruction]) -> Callable[..., Any]:
    """Let kernels call what `generate` writes in the compiler's own language; see `numba.extending.intrinsic`.

    For the few places where it must be told how to use vector units.
    """
    return intrinsic(generate)


@instruction
def fetch(_: object, array: Type, place: Type) -> Instruction:
    """Have an entry of `array` on its way to the innermost cache by the time that it is read."""
    signature = types.void(array, place)

    def generate(context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Sequence[Code]) -> Code:
        word, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(
            prefetch, [address, *(ir.Constant(word, number) for number in (0, 3, 1))]
        )  # to read, keep it, data
        return context.get_dummy_value()

    return signature, generate
