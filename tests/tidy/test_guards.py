"""The guards of the build must fire: each is given a project that breaks its rule."""

from __future__ import annotations

from pathlib import Path

from .conftest import Configure

LOW = "ipf_library(ipf_low LAYER 1 SOURCES empty.cpp {})\n"
HIGH = "ipf_library(ipf_high LAYER 2 SOURCES empty.cpp {})\n"


def flat(text: str) -> str:
    """Undo CMake's line breaks inside messages."""
    return " ".join(text.split())


def test_a_downward_link_is_accepted(configure: Configure) -> None:
    done = configure(LOW.format("") + HIGH.format("PUBLIC ipf::low"))
    assert done.returncode == 0, done.stderr


def test_an_upward_link_ends_the_configure_step(configure: Configure) -> None:
    done = configure(HIGH.format("") + LOW.format("PRIVATE ipf::high"))
    assert done.returncode != 0
    assert "ipf_low (layer 1) must not link ipf_high (layer 2)" in flat(done.stderr)


def test_an_upward_link_to_a_target_that_is_added_later_is_found(configure: Configure) -> None:
    done = configure(LOW.format("PUBLIC ipf_high") + HIGH.format(""))
    assert done.returncode != 0
    assert "ipf_low (layer 1) must not link ipf_high (layer 2)" in flat(done.stderr)


def test_an_upward_link_by_target_link_libraries_is_found(configure: Configure) -> None:
    text = LOW.format("") + HIGH.format("") + "target_link_libraries(ipf_low PRIVATE ipf_high)\n"
    done = configure(text)
    assert done.returncode != 0
    assert "ipf_low (layer 1) must not link ipf_high (layer 2)" in flat(done.stderr)


def test_a_pure_layer_must_not_link_zeromq(configure: Configure) -> None:
    done = configure("add_library(cppzmq INTERFACE)\n" + HIGH.format("PUBLIC cppzmq"))
    assert done.returncode != 0
    assert "ipf_high (layer 2) must not link cppzmq" in flat(done.stderr)


GUARD = """
enable_testing()
find_package(GTest REQUIRED)
include(IpfTest)
{registration}
ipf_check_registered_tests("${{PROJECT_SOURCE_DIR}}/tests")
"""


def test_a_registered_test_file_is_accepted(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "known_test.cpp").write_text("")
    done = configure(GUARD.format(registration="ipf_test(known SOURCES tests/known_test.cpp)"))
    assert done.returncode == 0, done.stderr


def test_an_unregistered_test_file_ends_the_configure_step(
    configure: Configure, tmp_path: Path
) -> None:
    (tmp_path / "tests" / "deep").mkdir(parents=True)
    (tmp_path / "tests" / "deep" / "forgotten_test.cpp").write_text("")
    done = configure(GUARD.format(registration=""))
    assert done.returncode != 0
    assert "forgotten_test.cpp" in done.stderr


def test_an_unregistered_fuzz_file_ends_the_configure_step(
    configure: Configure, tmp_path: Path
) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "forgotten_fuzz.cpp").write_text("")
    done = configure(GUARD.format(registration=""))
    assert done.returncode != 0
    assert "forgotten_fuzz.cpp" in done.stderr


def test_a_fuzz_function_without_seeds_ends_the_configure_step(
    configure: Configure, tmp_path: Path
) -> None:
    (tmp_path / "a_fuzz.cpp").write_text("")
    done = configure(GUARD.format(registration="ipf_fuzz(a_fuzz SOURCES a_fuzz.cpp)"))
    assert done.returncode != 0
    assert "needs at least one seed" in flat(done.stderr)
