"""What is counted of services."""

from prometheus_client import generate_latest

from bot.meters import Measured, Meters


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_request_is_counted_from_its_coming_to_its_end() -> None:
    clock = Clock()
    meters = Meters(clock)
    assert meters.of("s1") == Measured()
    meter = meters.begin("s1", "nova")
    meter.queue()
    assert (meters.of("s1").queued, meters.of("s1").running) == (1, 0)
    clock.now += 2
    meter.run()
    assert (meters.of("s1").queued, meters.of("s1").running) == (0, 1)
    meter.saw()
    clock.now += 10
    meter.saw(29)
    meter.end()
    meter.end()
    assert meters.of("s1") == Measured(requests=1, tokens=30, tokens_per_second=0.5, first_token_s=2)
    clock.now += 55
    assert meters.of("s1").tokens_per_second == 29 / 60
    clock.now += 60
    assert meters.of("s1").tokens_per_second == 0


def test_an_answer_in_one_piece_tells_nothing_of_its_first_token() -> None:
    clock = Clock()
    meters = Meters(clock)
    meter = meters.begin("s1", "nova")
    meter.run()
    clock.now += 10
    meter.count(30)
    meter.end()
    assert meters.of("s1") == Measured(requests=1, tokens=30, tokens_per_second=0.5)
    lines = generate_latest(meters.registry).decode().splitlines()
    assert 'tunesmith_tokens_total{service="nova"} 30.0' in lines
    assert not [line for line in lines if line.startswith("tunesmith_first_token_seconds_count")]


def test_what_prometheus_reads_is_by_name_and_outcome() -> None:
    meters = Meters(Clock())
    for outcome in ("answered", "failed", "cancelled"):
        meter = meters.begin("s1", "nova")
        meter.run()
        meter.saw(3)
        meter.outcome = outcome
        meter.end()
    meters.begin("s2", "other").queue()
    lines = generate_latest(meters.registry).decode().splitlines()
    for line in (
        'tunesmith_requests_total{outcome="failed",service="nova"} 1.0',
        'tunesmith_requests_total{outcome="cancelled",service="nova"} 1.0',
        'tunesmith_tokens_total{service="nova"} 9.0',
        'tunesmith_requests_running{service="nova"} 0.0',
        'tunesmith_requests_queued{service="other"} 1.0',
        'tunesmith_first_token_seconds_count{service="nova"} 3.0',
        'tunesmith_request_seconds_bucket{le="0.2",service="nova"} 3.0',
    ):
        assert line in lines
