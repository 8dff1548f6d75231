"""Copy the installed onnxruntime without its sight of AVX512: to time it as on older processors.

    python benchmarks/onnxruntime_avx2.py /tmp/older
    PYTHONPATH=/tmp/older donerf benchmark speed FILE --backends cpu,onnxruntime --precisions fp32

oneDNN, torch and numba are held to AVX2 by variables (`AVX2` in benchmarks/measure.py).
onnxruntime reads the processor's flags itself and has no setting; in the copy the mask by which it
looks for AVX512F is zero, so it finds none, and goes on as where there is none.
"""

from __future__ import annotations

import argparse
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

_READS_STATES = rb"\x0f\x01\xd0"
"""xgetbv: which registers the system saves. A program asks before it uses any of AVX."""
_NEAR = 1200
"""Bytes behind it in which the flags are looked at."""
_TESTS_AVX512F = re.compile(rb"(\xf7[\xc0-\xc7])\x00\x00\x01\x00")
"""test $0x10000, register; that bit of the flags is AVX512F."""


def without_avx512(code: bytes) -> tuple[bytes, int]:
    """Machine code that finds no AVX512F, and how many of its tests were changed."""
    changed, count = bytearray(code), 0
    for found in re.finditer(_READS_STATES, code):
        for test in _TESTS_AVX512F.finditer(code, found.end(), found.end() + _NEAR):
            changed[test.start() : test.end()] = test[1] + bytes(4)
            count += 1
    return bytes(changed), count


def main() -> None:
    """Make the copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the copy goes")
    folder = parser.parse_args().folder
    found = find_spec("onnxruntime")
    if found is None or found.origin is None:
        raise SystemExit("onnxruntime is not installed here")
    copy = folder / "onnxruntime"
    shutil.copytree(Path(found.origin).parent, copy)
    (library,) = (copy / "capi").glob("onnxruntime_pybind11_state*.so")
    code, count = without_avx512(library.read_bytes())
    if not count:
        raise SystemExit(f"no test for AVX512F was found in {library}; its compiler is another one")
    library.write_bytes(code)
    print(f"{copy}: {count} tests for AVX512F changed")


if __name__ == "__main__":
    main()
