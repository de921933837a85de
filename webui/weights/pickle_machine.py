"""A pickle interpreter that can build plain data and nothing else.

A pickle is a program for a small stack machine; Python's own interpreter imports and calls what the program names.
This one knows neither imports nor calls: a global name is looked up in a table of harmless builders, everything else
is refused. Opcodes as documented in the standard library's `pickletools`; those that no torch file needs are left out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from webui.errors import DamagedFile, UnsafeFile

MAXIMUM_OPCODES = 2_000_000


@dataclass(frozen=True)
class Builder:
    """A name that a pickle may use. `call` makes its value from arguments; `build` applies later state to it."""

    name: str
    call: Callable[..., Any]


@dataclass(eq=False)
class Inert:
    """An object whose class is known but of no use here: it keeps nothing that could act."""

    name: str
    state: Any = field(default=None, repr=False)


class Machine:
    """Runs one pickle from `data` at `position`; `end` is where it stopped.

    `names` gives the builder or value of a (module, name) pair, or None to refuse it; `persistent` resolves a
    persistent id (torch's storages). Raises UnsafeFile for names and opcodes outside the lists, DamagedFile otherwise.
    """

    def __init__(
        self,
        data: bytes | memoryview,
        file: str,
        names: Callable[[str, str], Any],
        persistent: Callable[[Any], Any],
        position: int = 0,
    ):
        self.data, self.file, self.names, self.persistent = memoryview(data), file, names, persistent
        self.end = position
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The pickled value."""
        try:
            for _ in range(MAXIMUM_OPCODES):
                code = self.data[self.end]
                self.end += 1
                if code == 0x2E:  # STOP
                    return self.stack.pop()
                step = OPCODES.get(code)
                if step is None:
                    raise UnsafeFile(f"{self.file} holds pickle opcode 0x{code:02x}, which no checkpoint needs.")
                step(self)
        except (IndexError, KeyError, ValueError, TypeError, struct.error, OverflowError) as error:
            raise DamagedFile(f"{self.file} is damaged: its pickle breaks off or is inconsistent ({error}).") from None
        raise UnsafeFile(f"{self.file} holds a pickle of more than {MAXIMUM_OPCODES} instructions.")

    def take(self, length: int) -> bytes:
        """The next `length` bytes."""
        if not 0 <= length <= len(self.data) - self.end:
            raise IndexError("end of data")
        self.end += length
        return self.data[self.end - length : self.end].tobytes()

    def number(self, form: str) -> Any:
        """The next number, in `struct` notation."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """Text up to a line feed (names of the old GLOBAL opcode)."""
        window = self.data[self.end : self.end + 1024].tobytes()
        return self.take(window.index(b"\n") + 1)[:-1].decode("utf-8")

    def since_mark(self) -> list[Any]:
        """Values pushed after the last mark; the stack is as it was before the mark."""
        values, self.stack = self.stack, self.marks.pop()
        return values

    def push_global(self, module: Any, name: Any) -> None:
        """Push what the table has under a name."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a global's name is not text")
        found = self.names(module, name)
        if found is None:
            raise UnsafeFile(
                f"{self.file} wants to use {module}.{name}"[:200] + ".",
                "A checkpoint needs tensors and plain data only.",
                "Do not load this file; look for a safetensors version.",
            )
        self.stack.append(found)

    def call(self, builder: Any, arguments: Any) -> Any:
        """Let a builder of the table make a value."""
        if not isinstance(builder, Builder) or not isinstance(arguments, tuple):
            raise UnsafeFile(f"{self.file} calls something that is not one of the allowed builders.")
        return builder.call(*arguments)

    def build(self) -> None:
        """Apply state to the value on top."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], Inert):
            self.stack[-1].state = state
        # An OrderedDict's own attributes (torch notes versions there) and a tensor's are of no use: dropped.

    def set_items(self, target: Any, values: list[Any]) -> None:
        """Fill a dictionary with keys and values in turn."""
        if type(target) is not dict or len(values) % 2:
            raise ValueError("items for something that is not a dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[check_key(key)] = value

    def extend(self, target: Any, values: list[Any]) -> None:
        """Append values to a list."""
        if type(target) is not list:
            raise ValueError("items for something that is not a list")
        target.extend(values)


def check_key(key: Any) -> Any:
    """A dictionary key that hashes in constant time: nested tuples may take exponential time."""
    if not isinstance(key, str | bytes | int | float | None | Inert | Builder):
        raise ValueError(f"a dictionary key is a {type(key).__name__}")
    return key


def _tuple(count: int) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        if len(machine.stack) < count:
            raise IndexError("the stack is empty")
        values = machine.stack[-count:]
        machine.stack[-count:] = [tuple(values)]

    return step


def _push(make: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(make(machine))


def _text(form: str) -> Callable[[Machine], None]:
    return _push(lambda m: m.take(m.number(form)).decode("utf-8", "surrogatepass"))


def _latin(form: str) -> Callable[[Machine], None]:
    return _push(lambda m: m.take(m.number(form)).decode("latin-1"))


def _bytes(form: str) -> Callable[[Machine], None]:
    return _push(lambda m: m.take(m.number(form)))


def _store(form: str) -> Callable[[Machine], None]:
    return lambda m: m.memo.__setitem__(m.number(form), m.stack[-1])


def _mark(machine: Machine) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _protocol(machine: Machine) -> None:
    version = machine.number("<B")
    if version > 5:
        raise ValueError(f"protocol {version}")


def _frame(machine: Machine) -> None:
    machine.number("<Q")  # a hint for buffered reading


def _tuple_since_mark(machine: Machine) -> None:
    values = machine.since_mark()
    machine.stack.append(tuple(values))


def _reduce(machine: Machine) -> None:
    arguments = machine.stack.pop()
    machine.stack[-1] = machine.call(machine.stack[-1], arguments)


def _set_items(machine: Machine) -> None:
    values = machine.since_mark()
    machine.set_items(machine.stack[-1], values)


def _set_item(machine: Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.set_items(machine.stack[-1], [key, value])


def _appends(machine: Machine) -> None:
    values = machine.since_mark()
    machine.extend(machine.stack[-1], values)


def _append(machine: Machine) -> None:
    value = machine.stack.pop()
    machine.extend(machine.stack[-1], [value])


def _stack_global(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.push_global(module, name)


def _persistent(machine: Machine) -> None:
    machine.stack.append(machine.persistent(machine.stack.pop()))


OPCODES: Mapping[int, Callable[[Machine], None]] = {
    0x80: _protocol,
    0x95: _frame,
    0x28: _mark,
    0x4E: _push(lambda m: None),
    0x88: _push(lambda m: True),
    0x89: _push(lambda m: False),
    0x4A: _push(lambda m: m.number("<i")),
    0x4B: _push(lambda m: m.number("<B")),
    0x4D: _push(lambda m: m.number("<H")),
    0x8A: _push(lambda m: int.from_bytes(m.take(m.number("<B")), "little", signed=True)),
    0x47: _push(lambda m: m.number(">d")),
    0x58: _text("<I"),
    0x8C: _text("<B"),
    0x8D: _text("<Q"),
    0x54: _latin("<i"),
    0x55: _latin("<B"),
    0x42: _bytes("<I"),
    0x43: _bytes("<B"),
    0x8E: _bytes("<Q"),
    0x5D: _push(lambda m: []),
    0x7D: _push(lambda m: {}),
    0x29: _push(lambda m: ()),
    0x8F: _push(lambda m: []),  # EMPTY_SET: kept as a list, nobody asks for membership
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    0x74: _tuple_since_mark,
    0x71: _store("<B"),
    0x72: _store("<I"),
    0x94: lambda m: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    0x68: _push(lambda m: m.memo[m.number("<B")]),
    0x6A: _push(lambda m: m.memo[m.number("<I")]),
    0x63: lambda m: m.push_global(m.line(), m.line()),
    0x93: _stack_global,
    0x52: _reduce,
    0x81: _reduce,  # NEWOBJ: a class of the table and its arguments
    0x62: Machine.build,
    0x73: _set_item,
    0x75: _set_items,
    0x61: _append,
    0x65: _appends,
    0x90: _appends,  # ADDITEMS
    0x51: _persistent,
}
