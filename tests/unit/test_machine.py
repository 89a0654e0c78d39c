"""What this machine has."""

from pathlib import Path

from training.machine import Gpu, find_machine, parse_gpus


def test_this_machine_is_found(tmp_path: Path) -> None:
    machine = find_machine(tmp_path / "not" / "yet" / "there")
    assert machine.cores >= 1
    assert 0 < machine.available_memory_bytes <= machine.memory_bytes
    assert machine.free_disk_bytes > 0


def test_cards_are_read_from_the_drivers_listing() -> None:
    listing = "NVIDIA A100-SXM4-80GB, 81920, 81000, 8.0\nTesla T4, 15360, 15100, 7.5\n"
    assert parse_gpus(listing) == (
        Gpu(name="NVIDIA A100-SXM4-80GB", memory_bytes=81920 << 20, free_memory_bytes=81000 << 20, supports_bf16=True),
        Gpu(name="Tesla T4", memory_bytes=15360 << 20, free_memory_bytes=15100 << 20, supports_bf16=False),
    )


def test_lines_that_are_no_card_are_passed_over() -> None:
    assert parse_gpus("No devices were found\n\nNVIDIA Thing, [N/A], [N/A], 9.0\n") == ()
