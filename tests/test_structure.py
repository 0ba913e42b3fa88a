import numpy as np
import pytest
from factories import COEFFICIENTS, CONTENTS, State, World
from flyball.policies.prices import Prices, compute_prices
from flyball.policies.spaces import DEPTH_SPACE, MAX_DEPTH
from flyball.policies.structure import Structure


def brute_force(requests, depth, coefficients, prices, rng, trials=20000):
    """Latency and cost over off, by playing every verification out.

    Each request has an acceptance of its first draft, one of the later ones, and a number of
    drafts that it verifies at most.
    """
    batch, emitted = len(requests), 0
    for i in range(trials):
        first, later, most = requests[i % batch]
        position = 0
        while position < min(depth, most) and rng.random() < (later if position else first):
            position += 1
        emitted += position + 1

    def drafts(k):
        return sum(min(k, most) for _, _, most in requests)

    def seconds(k):
        own = coefficients[0] + batch * coefficients[1]
        made = k * (coefficients[2] + batch * coefficients[6])
        return own + made + drafts(k) * coefficients[3]

    def spent(k):
        verified = prices.verified * (batch + drafts(k))
        return verified + prices.drafted * batch * k + prices.second * seconds(k)

    per_step = emitted / trials
    return seconds(depth) / seconds(0) / per_step, spent(depth) / spent(0) / per_step


def observed(requests):
    """What is observed of such requests."""
    positions = np.arange(MAX_DEPTH)
    kept = np.array([positions < most for _, _, most in requests])
    survival = np.array([first * later**positions for first, later, _ in requests])
    raw = DEPTH_SPACE.zeros()
    raw[DEPTH_SPACE.index("batch")] = len(requests)
    raw[DEPTH_SPACE.slice("survival_1", MAX_DEPTH)] = (survival * kept).mean(0)
    raw[DEPTH_SPACE.slice("kept_1", MAX_DEPTH)] = kept.mean(0)
    return raw


@pytest.mark.parametrize("prices", [compute_prices(0.05), Prices(verified=1e-7, second=1e-5)])
@pytest.mark.parametrize("content", [*CONTENTS, "unequal"])
def test_components_match_brute_force(content, prices):
    if content == "unequal":
        mosts = {"easy": 5, "mixed": 2, "hard": 0}
        requests = [(*CONTENTS[name], most) for name, most in mosts.items()]
    else:
        requests = [(*CONTENTS[content], MAX_DEPTH)] * 5
    coefficients = (*COEFFICIENTS[:5], 0.0, COEFFICIENTS[6])
    components = Structure(6, coefficients, prices).components(observed(requests))
    rng = np.random.default_rng(0)
    for depth in range(7):
        expected = brute_force(requests, depth, coefficients, prices, rng)
        assert components[depth] == pytest.approx(expected, rel=0.03)


def test_off_is_one_at_every_state():
    world = World()
    structure = Structure(6, COEFFICIENTS, world.prices)
    raw = np.stack([world.observation(State(b, c)) for b in (1, 9, 30) for c in CONTENTS])
    assert np.allclose(structure.components(raw)[:, 0], 1.0)


def test_many_observations_at_once_give_what_each_gives_alone():
    world = World()
    structure = Structure(4, COEFFICIENTS, world.prices)
    raw = np.stack([world.observation(State(b, "mixed")) for b in (1, 4, 16)])
    together = structure.components(raw)
    assert together.shape == (3, 5, 2)
    for row, alone in zip(raw, together, strict=True):
        assert np.allclose(structure.components(row), alone)


def test_no_request_counts_as_one():
    components = Structure(6, COEFFICIENTS, compute_prices(0.05)).components(DEPTH_SPACE.zeros())
    assert np.isfinite(components).all()


def test_off_seconds_are_those_of_depth_nought():
    world, state = World(), State(8, "easy")
    structure = Structure(6, COEFFICIENTS, world.prices)
    assert structure.decode_seconds(world.observation(state))[..., 0] == pytest.approx(
        world.seconds(state)[0], rel=1e-4
    )


@pytest.mark.parametrize("k_max", [0, MAX_DEPTH + 1])
def test_a_depth_out_of_bounds_is_refused(k_max):
    with pytest.raises(ValueError, match="k_max must be in"):
        Structure(k_max, COEFFICIENTS, compute_prices(0.05))
