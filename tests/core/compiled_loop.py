"""A minimal compiler for tests: one loop around the body of an elementwise op, without a tail."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np


def loop_ir(
    body: Callable[..., Any], dtypes: tuple[str, ...], out_dtype: str, lanes: int, **has: bool
) -> str:
    from dualgraph.backends.native import ir
    from dualgraph.backends.native.emit.scalar import LLVMScalar, element_type

    def memory(dtype: str) -> ir.Type:
        return ir.IntType(8) if dtype == "bool" else element_type(dtype)

    def vector(kind: ir.Type) -> ir.Type:
        return kind if lanes == 1 else ir.VectorType(kind, lanes)

    i64, pointer = ir.IntType(64), ir.PointerType()
    module = ir.Module()
    kind = ir.FunctionType(ir.VoidType(), [pointer] * (len(dtypes) + 1) + [i64])
    function = ir.Function(module, kind, "kernel")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    entry = builder.block
    loop, done = function.append_basic_block("loop"), function.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    i = builder.phi(i64)
    i.add_incoming(ir.Constant(i64, 0), entry)
    s = LLVMScalar(builder, lanes, **has)
    xs = []
    for argument, dtype in zip(function.args, dtypes, strict=False):
        at = builder.gep(argument, [i], source_etype=memory(dtype))
        value = builder.load(at, typ=vector(memory(dtype)), align=1)
        if dtype == "bool":
            value = builder.trunc(value, vector(ir.IntType(1)))
        xs.append(s.wrap(value, dtype))
    out = body(s, *xs)
    assert s.dtype_of(out) == out_dtype
    value = builder.zext(out.ir, vector(ir.IntType(8))) if out_dtype == "bool" else out.ir
    at = builder.gep(function.args[-2], [i], source_etype=memory(out_dtype))
    builder.store(value, at, align=1)
    after = builder.add(i, ir.Constant(i64, lanes))
    i.add_incoming(after, builder.block)
    builder.cbranch(builder.icmp_signed("<", after, function.args[-1]), loop, done)
    builder.position_at_end(done)
    builder.ret_void()
    return str(module)


class Compiled:
    """A body compiled over arrays whose length `lanes` divides."""

    def __init__(
        self,
        body: Callable[..., Any],
        dtypes: tuple[str, ...],
        out_dtype: str,
        lanes: int,
        cpu: str | None = None,
        has_fma: bool = True,
        has_avx512: bool = False,
    ) -> None:
        from llvmlite import binding

        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        target = binding.Target.from_triple(binding.get_process_triple())
        features = binding.get_host_cpu_features().flatten() if cpu is None else ""
        cpu = cpu or binding.get_host_cpu_name()
        self.machine = target.create_target_machine(cpu=cpu, features=features, opt=2)
        has = {"has_fma": has_fma, "has_avx512": has_avx512}
        self.module = binding.parse_assembly(loop_ir(body, dtypes, out_dtype, lanes, **has))
        self.module.verify()
        self.out_dtype = out_dtype

    def assembly(self) -> str:
        return self.machine.emit_assembly(self.module)

    def __call__(self, *xs: np.ndarray) -> np.ndarray:
        from llvmlite import binding

        engine = binding.create_mcjit_compiler(self.module, self.machine)
        engine.finalize_object()
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(xs) + 1), ctypes.c_int64)
        out = np.empty(len(xs[0]), self.out_dtype)
        function = kind(engine.get_function_address("kernel"))
        function(*[x.ctypes.data for x in xs], out.ctypes.data, len(out))
        return out
