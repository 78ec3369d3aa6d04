from trainyard_operator.kube.ratelimit import TokenBucket


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_at_once_and_the_rest_is_spaced() -> None:
    bucket = TokenBucket(10, 3, clock=Clock())
    assert [round(bucket.reserve(), 6) for _ in range(6)] == [0, 0, 0, 0.1, 0.2, 0.3]


def test_tokens_refill_with_time_up_to_the_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(10, 3, clock=clock)
    for _ in range(3):
        bucket.reserve()
    clock.now = 0.1
    assert bucket.reserve() == 0
    clock.now = 100
    assert [bucket.refuse() for _ in range(3)] == [0, 0, 0]
    assert bucket.refuse() > 0


def test_a_refusal_returns_the_wait_and_takes_no_token() -> None:
    clock = Clock()
    bucket = TokenBucket(0.5, 1, clock=clock)
    assert bucket.refuse() == 0
    assert bucket.refuse() == 2
    assert bucket.refuse() == 2
    clock.now = 2
    assert bucket.refuse() == 0


def test_returned_tokens_can_be_used() -> None:
    bucket = TokenBucket(1, 1, clock=Clock())
    assert bucket.refuse() == 0
    bucket.give_back()
    bucket.give_back()
    assert bucket.refuse() == 0
    assert bucket.refuse() == 1
