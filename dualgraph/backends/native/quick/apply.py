"""Glue: one elementwise op on tensors and numbers - its plan, its kernel, its result.

What `eager.dispatch.quick` does, for what is most usual: a plan is there, and no vmap runs, nor a capture that sees to
how ops are run. Where anything is
otherwise the answer is ``o.DECLINE`` (borrowed), and the Python path, which is the definition, takes the call.
"""

from __future__ import annotations

from ..glue.capi import (
    c,
    call_void,
    f64,
    i64,
    load_i8,
    load_i32,
    load_i64,
    load_ptr,
    n,
    o,
    ptr,
    stack,
    store_f32,
    store_f64,
    store_i8,
    store_i32,
    store_i64,
    store_ptr,
)
from .memory import new_array
from .objects import hold, let_go, tuple_of
from .spread import spread
from .tape import is_number, new_tensor, record


def thread_switches() -> ptr:
    """The dictionary behind this thread's `state`, borrowed; that of the thread that asked last is remembered."""
    memory = load_ptr(o.MEMORY, n.A_DATA)
    thread = c.PyThreadState_GetID(c.PyThreadState_Get())
    if load_i64(memory, 0) == thread:
        return load_ptr(memory, 8)
    found = c.PyObject_GetAttr(o.STATE, o.S_DICT)
    if found is None:
        c.PyErr_Clear()
        return None
    before = load_ptr(memory, 8)
    store_i64(memory, 0, thread)
    store_ptr(memory, 8, found)
    c.Py_DecRef(before)
    return found


def tape_switch() -> i64:
    """1 where ops go on the tape, 0 where they do not, -1 where a capture or a vmap runs."""
    switches = thread_switches()
    if switches is None or c.PyDict_GetItemWithError(switches, o.S_TRACER) != o.NONE:
        return -1
    if c.PyDict_GetItemWithError(switches, o.S_BATCHING) != o.NONE:
        return -1
    return c.PyDict_GetItemWithError(switches, o.S_GRAD) == o.TRUE


def heard_switch() -> i64:
    """Where a capture runs that takes ops from a record as well as from Python's path, and no vmap: 2, and 1 more where
    ops go on the tape; else -1."""
    switches = thread_switches()
    if switches is None or c.PyDict_GetItemWithError(switches, o.S_BATCHING) != o.NONE:
        return -1
    tracer = c.PyDict_GetItemWithError(switches, o.S_TRACER)
    if tracer is None:
        return -1
    hears = c.PyObject_GetAttr(tracer, o.S_HEARS)
    if hears is None:
        c.PyErr_Clear()
        return -1
    c.Py_DecRef(hears)
    if hears != o.TRUE:
        return -1
    return 2 + (c.PyDict_GetItemWithError(switches, o.S_GRAD) == o.TRUE)


def call_switch() -> i64:
    """As `tape_switch`, or as `heard_switch` where a capture runs."""
    tape = tape_switch()
    return heard_switch() if tape < 0 else tape


def tell(prim: ptr, args: ptr, count: i64, params: ptr, out: ptr) -> i64:
    """Tells the capture that runs of a call; -1 with an error set."""
    operands = tuple_of(args, count)
    if operands is None:
        return -1
    given = stack(32)
    store_ptr(given, 0, prim)
    store_ptr(given, 8, operands)
    store_ptr(given, 16, params)
    store_ptr(given, 24, out)
    done = c.PyObject_VectorcallDict(o.TELL, given, 4, None)
    c.Py_DecRef(operands)
    if done is None:
        return -1
    c.Py_DecRef(done)
    return 0


def operand_code(x: ptr) -> i64:
    """What plans are found by: 1 to 3 for Python numbers, from 4 on the dtypes of tensors on the CPU; else 0."""
    kind = load_ptr(x, n.TYPE)
    if kind != o.TENSOR:
        if kind == o.FLOAT:
            return 3
        if kind == o.INT:
            return 2
        if kind == o.BOOL:
            return 1
        if not c.PyType_IsSubtype(kind, o.TENSOR):
            return 0
    array = load_ptr(x, n.T_DATA)
    if array is None or load_ptr(array, n.TYPE) != o.NDARRAY or load_ptr(x, n.T_DEVICE) != o.CPU:
        return 0
    return 4 + c.PyLong_AsSsize_t(load_ptr(load_ptr(x, n.T_DTYPE), n.D_CODE))


def plan_for(prim: ptr, args: ptr, count: i64) -> ptr:
    """The plan of an op for `count` operands like these, or null."""
    table = load_ptr(prim, n.P_TABLE)
    if table is None or count < 1 or count > 3:
        return None
    key = 0
    for i in range(count):
        code = operand_code(load_ptr(args, 8 * i))
        if code == 0:
            return None
        key = key * 32 + code
    if key >= load_i64(load_ptr(table, n.A_DIMS), 0):
        return None
    return load_ptr(load_ptr(table, n.A_DATA), 8 * key)


def apply(prim: ptr, args: ptr, count: i64) -> ptr:
    """The result of an op on `count` operands that need no cast, or o.DECLINE; null with an error set."""
    plan = plan_for(prim, args, count)
    if plan is None or load_i8(plan, n.PLAN_CASTS):
        return o.DECLINE
    tape = call_switch()
    if tape < 0:
        return o.DECLINE
    data = compute(plan, args, count)
    if data is None or data == o.DECLINE:
        return data
    out = new_tensor(data, load_ptr(plan, n.PLAN_DTYPE))
    if out and tape & 1 and load_i8(plan, n.PLAN_TAPED) and tracked(args, count):
        reads = load_i64(plan, n.PLAN_READS)
        reads_out = load_i64(plan, n.PLAN_READS_OUT) << (tape >> 1)
        if record(prim, args, count, o.NO_PARAMS, reads, reads_out, out, None) < 0:
            c.Py_DecRef(out)
            return None
    if out and tape & 2 and tell(prim, args, count, o.NO_PARAMS, out) < 0:
        c.Py_DecRef(out)
        return None
    return out


def tracked(args: ptr, count: i64) -> i64:
    """Whether a gradient may be wanted of one of the operands."""
    for i in range(count):
        x = load_ptr(args, 8 * i)
        if not is_number(x):
            if load_ptr(x, n.T_NODE) != o.NONE or load_ptr(x, n.T_PARENT) != o.NONE:
                return 1
            if load_ptr(x, n.T_REQUIRES) != o.FALSE:
                return 1
    return 0


def single(array: ptr) -> i64:
    """Whether an array shows one element, be it many times over."""
    dims = load_ptr(array, n.A_DIMS)
    strides = load_ptr(array, n.A_STRIDES)
    for i in range(load_i32(array, n.A_NDIM)):
        size = load_i64(dims, 8 * i)
        if size == 0 or (size != 1 and load_i64(strides, 8 * i) != 0):
            return 0
    return 1


def same_shape(x: ptr, y: ptr) -> i64:
    """Whether two arrays have the same shape."""
    count = load_i32(x, n.A_NDIM)
    if count != load_i32(y, n.A_NDIM):
        return 0
    for i in range(count):
        if load_i64(load_ptr(x, n.A_DIMS), 8 * i) != load_i64(load_ptr(y, n.A_DIMS), 8 * i):
            return 0
    return 1


def size_of(array: ptr) -> i64:
    """How many elements an array has."""
    size = 1
    for i in range(load_i32(array, n.A_NDIM)):
        size = size * load_i64(load_ptr(array, n.A_DIMS), 8 * i)
    return size


def wider(x: ptr, y: ptr) -> i64:
    """Whether a result is rather of the shape of x, where all but one operand are alike or single elements."""
    more = load_i32(x, n.A_NDIM) - load_i32(y, n.A_NDIM)
    return more > 0 or (more == 0 and single(y))


def all_ones(array: ptr) -> i64:
    """Whether all axes of an array have length 1."""
    for i in range(load_i32(array, n.A_NDIM)):
        if load_i64(load_ptr(array, n.A_DIMS), 8 * i) != 1:
            return 0
    return 1


def single_elements(plan: ptr, arrays: ptr, count: i64, widest: ptr) -> i64:
    """The operands that are single elements, as a mask; -1 where the others do not lie row by row, all alike."""
    mask = 0
    for i in range(count):
        if load_i8(plan, n.PLAN_NUMBERS + i):
            mask = mask | (1 << i)
        else:
            array = load_ptr(arrays, 8 * i)
            alike = array == widest or same_shape(array, widest)
            if alike and (load_i32(array, n.A_FLAGS) & n.PLAIN) == n.PLAIN:
                continue
            if array == widest or not single(array) or not (alike or all_ones(array)):
                return -1
            mask = mask | (1 << i)
    return mask


def lay_out(plan: ptr, args: ptr, count: i64, arrays: ptr, numbers: ptr) -> ptr:
    """Writes the operands' arrays, and numbers as if they were some; gives the widest, or null for a strange number.

    A number is like an array: a header, then the address of its one element.
    """
    widest = None
    for i in range(count):
        x = load_ptr(args, 8 * i)
        goal = load_i8(plan, n.PLAN_NUMBERS + i)
        if goal == 0:
            array = load_ptr(x, n.T_DATA)
            store_ptr(arrays, 8 * i, array)
            if widest is None or wider(array, widest):
                widest = array
        else:
            number = numbers + 32 * i
            store_ptr(number, n.A_DATA, number + 24)
            if not put_number(x, goal, number + 24):
                return None
            store_ptr(arrays, 8 * i, number)
    return widest


def has_numbers(plan: ptr, count: i64) -> i64:
    """Whether an operand is a Python number."""
    for i in range(count):
        if load_i8(plan, n.PLAN_NUMBERS + i):
            return 1
    return 0


def compute(plan: ptr, args: ptr, count: i64) -> ptr:
    """The array of the result, owned; o.DECLINE, borrowed; or null with an error set."""
    arrays = stack(24)
    widest = lay_out(plan, args, count, arrays, stack(96))
    if widest is None:
        return o.DECLINE
    mask = single_elements(plan, arrays, count, widest)
    if mask >= 0:
        kernel = load_ptr(plan, n.PLAN_KERNELS + 8 * mask)
        if kernel:
            return run_kernel(plan, kernel, arrays, count, widest)
        if load_i8(plan, n.PLAN_NATIVE):
            return missing(plan, mask)
    elif load_i8(plan, n.PLAN_NATIVE):
        wanted = stack(8)
        out = spread(plan, arrays, count, wanted)
        if out:
            return out
        if load_i64(wanted, 0) >= 0:
            return missing(plan, load_i64(wanted, 0))
    if has_numbers(plan, count):
        return o.DECLINE
    return run_function(plan, arrays, count)


def missing(plan: ptr, mask: i64) -> ptr:
    """Counts a call that a kernel would have served; it is asked for when there were several. Declines."""
    calls = load_i32(plan, n.PLAN_CALLS + 4 * mask) + 1
    store_i32(plan, n.PLAN_CALLS + 4 * mask, calls)
    if calls % n.HOT == 0:
        given = stack(16)
        place = c.PyLong_FromVoidPtr(plan)
        which = c.PyLong_FromSsize_t(mask)
        store_ptr(given, 0, place)
        store_ptr(given, 8, which)
        done = c.PyObject_VectorcallDict(o.GROW, given, 2, None)
        c.Py_DecRef(place)
        c.Py_DecRef(which)
        if done is None:
            return None
        c.Py_DecRef(done)
    return o.DECLINE


def run_kernel(plan: ptr, kernel: ptr, arrays: ptr, count: i64, widest: ptr) -> ptr:
    """A new array of the shape of `widest`, filled by a kernel on arrays that lie row by row."""
    size = size_of(widest)
    if size > load_i64(plan, n.PLAN_LIMIT):
        return o.DECLINE
    out = new_array(
        load_ptr(plan, n.PLAN_DESCR),
        load_i32(widest, n.A_NDIM),
        load_ptr(widest, n.A_DIMS),
        size * load_i64(plan, n.PLAN_ITEMSIZE),
    )
    if out:
        fill(plan, kernel, arrays, count, out, size)
    return out


def fill(plan: ptr, kernel: ptr, arrays: ptr, count: i64, out: ptr, size: i64) -> None:
    """Runs a kernel on arrays that lie row by row, into one of theirs or another."""
    thread = None
    if size > n.LONG:
        hold(plan, arrays, count, out)
        thread = c.PyEval_SaveThread()
    x = load_ptr(arrays, 0)
    if count == 1:
        call_void(kernel, x, out, 0, size)
    elif count == 2:
        call_void(kernel, x, load_ptr(arrays, 8), out, 0, size)
    else:
        call_void(kernel, x, load_ptr(arrays, 8), load_ptr(arrays, 16), out, 0, size)
    if thread:
        c.PyEval_RestoreThread(thread)
        let_go(plan, arrays, count, out)


def run_function(plan: ptr, arrays: ptr, count: i64) -> ptr:
    """The plan's Python function on arrays: any layout that broadcasts together."""
    data = c.PyObject_VectorcallDict(load_ptr(plan, n.PLAN_RUN), arrays, count, None)
    if data is None:
        if c.PyErr_ExceptionMatches(o.VALUE_ERROR):
            c.PyErr_Clear()
            return o.DECLINE
        return None
    if load_ptr(data, n.TYPE) == o.NDARRAY:
        if load_i32(data, n.A_NDIM) < 2 or load_i32(data, n.A_FLAGS) & 1:
            return data
    c.Py_DecRef(data)
    return o.DECLINE


def put_number(x: ptr, goal: i64, place: ptr) -> i64:
    """Writes a Python number as an element of a kernel; 0 where it might not be the one that NumPy would write."""
    if load_ptr(x, n.TYPE) == o.FLOAT:
        value = c.PyFloat_AsDouble(x)
        if goal == n.F32:
            store_f32(place, 0, value)
            finite = value - value == 0.0
            return not (finite and (value > 3.4e38 or value < -3.4e38))  # NumPy warns of these
        store_f64(place, 0, value)
        return goal == n.F64
    overflow = stack(8)
    whole = c.PyLong_AsLongLongAndOverflow(x, overflow)
    if load_i32(overflow, 0):
        return 0
    if goal == n.I64:
        store_i64(place, 0, whole)
        return 1
    if whole > 9007199254740992 or whole < -9007199254740992:
        return 0
    if goal == n.F32:
        store_f32(place, 0, f64(whole))
    elif goal == n.F64:
        store_f64(place, 0, f64(whole))
    elif goal == n.I32:
        if whole > 2147483647 or whole < -2147483648:
            return 0
        store_i32(place, 0, whole)
    elif goal == n.BOOL:
        store_i8(place, 0, whole != 0)
    else:
        return 0
    return 1
