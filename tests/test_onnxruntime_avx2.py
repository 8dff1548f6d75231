"""The copy of onnxruntime that does not see AVX512: the tests for it are changed, nothing else."""

from benchmarks.onnxruntime_avx2 import without_avx512

ASKS = b"\x0f\x01\xd0" + b"\x90" * 40
TEST_EDI, TEST_R10D = b"\xf7\xc7\x00\x00\x01\x00", b"\x41\xf7\xc2\x00\x00\x01\x00"


def test_both_forms_of_the_test_find_no_flag_afterwards():
    code, count = without_avx512(ASKS + TEST_EDI + b"\x74\x0e" + TEST_R10D)

    assert (
        code == ASKS + b"\xf7\xc7\x00\x00\x00\x00" + b"\x74\x0e" + b"\x41\xf7\xc2\x00\x00\x00\x00"
    )
    assert count == 2


def test_the_same_bytes_elsewhere_and_tests_of_other_flags_stay():
    other = b"\xf7\xc7\x00\x00\x02\x00"
    code = TEST_EDI + ASKS + other + b"\x90" * 1300 + TEST_EDI

    assert without_avx512(code) == (code, 0)
