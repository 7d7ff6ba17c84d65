"""The Gaussian process over candidates: features, kernel, posterior, acquisition, each against a plain calculation."""

from __future__ import annotations

import itertools
import json
import math
import random

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from search.candidate import Arm, Candidate
from search.order import Order, OrderSpace
from search.space import Space
from search.strategies.adaptive import Told
from search.surrogate import pool as pools
from search.surrogate.acquisition import log_expected_improvement, log_knowledge_gradient
from search.surrogate.features import BLOCKS, Features
from search.surrogate.model import Surrogate
from search.surrogate.recommend import recommend, recommended

PLAIN = (Arm("full", 1e-3),)
ARMS = (Arm("full", 1e-5), Arm("full", 1e-3), Arm("prompt", 1e-3, 4), Arm("prompt", 1e-2, 16))
SPACES = {
    "subsets": Space(OrderSpace("abcd"), PLAIN),
    "permutations": Space(OrderSpace("abcd", "permutations"), PLAIN),
    "groups": Space(OrderSpace("abc", "groups"), PLAIN),
    "arms": Space(OrderSpace("abc"), ARMS),
}


@pytest.fixture(params=sorted(SPACES))
def space(request):
    return SPACES[request.param]


def features_of(space):
    return Features(space.orders.tasks, space.arms)


def some_surrogate(space, seed=0, kernels=BLOCKS):
    """A surrogate with random hyperparameters, and the features of all candidates."""
    features = features_of(space)
    rows = features.matrix(space)
    surrogate = Surrogate(features, rows, kernels)
    generator = torch.Generator().manual_seed(seed)
    for parameter in surrogate._parameters.values():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return surrogate, rows


def some_values(rows, seed=0):
    """A linear function of the features, with noise."""
    generator = np.random.default_rng(seed)
    return (rows @ generator.normal(0, 1, rows.shape[1]) + generator.normal(0, 0.2, len(rows)) + 50).tolist()


# Features ------------------------------------------------------------------------------------------------------------


def discordant(p, q):
    return sum((p.index(a) < p.index(b)) != (q.index(a) < q.index(b)) for a, b in itertools.combinations(sorted(p), 2))


def misplaced(p, q):
    return sum(a != b for a, b in zip(p, q, strict=True))


def squared_shifts(p, q):
    return sum((p.index(a) - q.index(a)) ** 2 for a in p)


def other_edges(p, q):
    edges = [set(itertools.pairwise(("", *order, ""))) for order in (p, q)]
    return len(edges[0] ^ edges[1])


@pytest.mark.parametrize(
    ("block", "factor", "distance"),
    [
        ("kendall", 4, discordant),  # a pair's sign is 1 or −1: another one is 2 away
        ("position", 2, misplaced),  # a place is left and another taken
        ("spearman", 1 / 16, squared_shifts),  # places are in shares of four
        ("adjacency", 1, other_edges),
    ],
)
def test_on_permutations_blocks_have_the_known_distances(block, factor, distance):
    features = Features("abcd", PLAIN)
    orders = list(itertools.permutations("abcd"))
    matrix = features.matrix(Candidate(Order(tuple((task,) for task in order)), *PLAIN[0]) for order in orders)
    rows = matrix[:, features.blocks[block]]
    found = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    assert np.allclose(found, [[factor * distance(p, q) for q in orders] for p in orders])


def ago(order):
    """How many tasks follow each."""
    return {task: len(order) - 1 - place for place, task in enumerate(order)}


def pairs_and_tasks(p, q):
    before = [set(itertools.combinations(order, 2)) for order in (p, q)]
    turned = sum((b, a) in before[1] for a, b in before[0])
    return 4 * turned + len(before[0] ^ before[1]) - 2 * turned + len(set(p) ^ set(q))


def other_times(p, q):
    return len(set(ago(p).items()) ^ set(ago(q).items())) + len(set(p) ^ set(q))  # "absent" is a place too


def squared_times(p, q):
    near = [{task: (4 - place) / 4 for task, place in ago(order).items()} for order in (p, q)]
    return sum((near[0].get(task, 0) - near[1].get(task, 0)) ** 2 for task in "abcd")


def neighbours_ends(p, q):
    edges = [set(itertools.pairwise(("", *order, ""))) if order else set() for order in (p, q)]
    return len(edges[0] ^ edges[1])


@pytest.mark.parametrize(
    ("block", "distance"),
    [
        ("kendall", pairs_and_tasks),
        ("position", other_times),
        ("spearman", squared_times),
        ("adjacency", neighbours_ends),
    ],
)
def test_on_subsets_blocks_compare_what_both_have_and_what_one_lacks(block, distance):
    space = SPACES["subsets"]
    features = features_of(space)
    rows = features.matrix(space)[:, features.blocks[block]]
    orders = [order.tasks for order in space.orders]
    found = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    assert np.allclose(found, [[distance(p, q) for q in orders] for p in orders])


def test_different_candidates_have_different_features(space):
    features = features_of(space)
    rows = features.matrix(space)
    assert rows.shape == (space.size, features.width)
    assert len(np.unique(rows, axis=0)) == space.size
    for block in features.blocks.values():
        assert len(np.unique(rows[:, block], axis=0)) == space.orders.size


def test_blocks_divide_the_columns_of_orders():
    features = Features("abcd", PLAIN)
    columns = [column for name in BLOCKS for column in range(features.width)[features.blocks[name]]]
    assert columns == list(range(features.orders)) == list(range(features.width))


def test_positions_count_from_the_end():
    features = Features("abc", PLAIN)
    rows = features.matrix(Candidate(Order.parse(text), *PLAIN[0]) for text in ("a", "b>a", "a>b"))[
        :, features.blocks["spearman"]
    ]
    assert rows[0, 0] == rows[1, 0] > rows[2, 0] > rows[0, 2] == 0  # last, last, last but one, absent


def test_arms_are_method_and_logarithms_from_0_to_1():
    features = Features("ab", ARMS)
    rows = features.matrix(Candidate(Order(), *arm) for arm in ARMS)[:, features.orders :]
    assert (features.methods, features.scalars) == (2, 2)
    rates, length = [0, 2 / 3, 2 / 3, 1], math.log(5) / math.log(17)
    assert np.allclose(rows, [[1, 0, rates[0], 0], [1, 0, rates[1], 0], [0, 1, rates[2], length], [0, 1, 1, 1]])


def test_what_does_not_vary_has_no_column():
    assert Features("ab", PLAIN).width == Features("ab", PLAIN).orders
    rates = Features("ab", [Arm("prompt", 1e-3, 8), Arm("prompt", 1e-2, 8)])
    assert (rates.methods, rates.scalars) == (0, 1)


# Kernel --------------------------------------------------------------------------------------------------------------


def plain_kernel(surrogate, features, one, other):
    """The kernel of two rows, term by term."""
    kernel = surrogate.kernel
    own = {name: parameter.tolist() for name, parameter in kernel.named_parameters()}
    value = 0.0
    for number, name in enumerate(kernel.names):
        block = features.blocks[name]
        distance = sum((a - b) ** 2 for a, b in zip(one[block], other[block], strict=True)) / kernel._scales[number]
        value += math.exp(own["log_weight"][number] - distance / math.exp(own["log_scale"][number]))
    method = slice(features.orders, features.orders + features.methods)
    if (one[method] != other[method]).any():
        value *= math.exp(-1 / math.exp(own["log_method"][0]))
    for number in range(features.scalars):
        column = features.orders + features.methods + number
        near = math.sqrt(5) * abs(one[column] - other[column]) / math.exp(own["log_arm"][number])
        value *= (1 + near + near**2 / 3) * math.exp(-near)
    return value


def test_the_kernel_is_a_mixture_of_orders_times_the_arms(space):
    surrogate, rows = some_surrogate(space)
    features = features_of(space)
    places = random.Random(0).sample(range(len(rows)), 12)
    found = surrogate.kernel(torch.from_numpy(rows[places])).to_dense().detach().numpy()
    assert np.allclose(found, [[plain_kernel(surrogate, features, rows[a], rows[b]) for b in places] for a in places])


def test_gram_matrices_are_positive_semidefinite(space):
    for seed in range(5):
        surrogate, rows = some_surrogate(space, seed)
        x = torch.from_numpy(rows)
        with torch.no_grad():
            gram = surrogate.kernel(x, x).to_dense()
            assert torch.equal(gram, surrogate.kernel.mixed(surrogate.kernel.distances(x, x)))
            assert torch.allclose(gram.diagonal(), surrogate.kernel(x, x, diag=True))
        assert torch.allclose(gram, gram.T)
        assert torch.linalg.eigvalsh(gram).min() > -1e-9 * len(x)


def test_two_random_candidates_are_one_apart(space):
    surrogate, rows = some_surrogate(space)
    x = torch.from_numpy(rows)
    for distance in surrogate.kernel.distances(x, x)[: len(BLOCKS)]:
        assert float(distance.sum()) / (len(rows) * (len(rows) - 1)) == pytest.approx(1)


# Posterior -----------------------------------------------------------------------------------------------------------


class Plain:
    """The textbook's posterior by dense solves: Rasmussen and Williams, chapter 2, with a constant mean of variance 1.

    Values are standardised; `values` may be put in that unit already.
    """

    def __init__(self, surrogate, features, rows):
        self.noise = math.exp(surrogate.log_noise.item())
        self.gram = 1 + np.array([[plain_kernel(surrogate, features, a, b) for b in rows] for a in rows])

    def posterior(self, places, values, roots):
        """Means and covariances of all rows, given values at some."""
        observed = self.gram[np.ix_(places, places)] + np.diag(self.noise / np.array(roots))
        gain = np.linalg.solve(observed, self.gram[places]).T
        return gain @ values, self.gram - gain @ self.gram[places]


def fitted(space, seed=0):
    """A fitted posterior and the same by hand: (features, rows, places, values, roots, posterior, plain)."""
    features = features_of(space)
    rows = features.matrix(space)
    generator = random.Random(seed)
    places = generator.sample(range(len(rows)), 12)
    values = [some_values(rows)[place] for place in places]
    roots = [generator.choice((1, 1, 2, 5)) for _ in places]
    surrogate = Surrogate(features, rows)
    posterior = surrogate.fit(rows[places], values, roots)
    return features, rows, places, values, roots, posterior, Plain(surrogate, features, rows)


def standardised(values):
    return (np.array(values) - np.mean(values)) / np.std(values)


def test_means_and_deviations_are_the_textbook_s(space):
    _, rows, places, values, roots, posterior, plain = fitted(space)
    belief = posterior.at(rows)
    mean, covariance = plain.posterior(places, standardised(values), roots)
    assert np.allclose(belief.means, mean * np.std(values) + np.mean(values))
    assert np.allclose(belief.deviations, np.sqrt(covariance.diagonal()) * np.std(values))
    assert posterior.noise == pytest.approx(plain.noise * np.var(values))


def test_pieces_make_no_difference(monkeypatch):
    _, rows, *_, posterior, _ = fitted(SPACES["arms"])
    whole = posterior.at(rows)
    monkeypatch.setattr("search.surrogate.model.PIECE", 7)
    pieces = posterior.at(rows)
    assert np.allclose(whole.means, pieces.means)
    assert np.allclose(whole.changes([3, 5]), pieces.changes([3, 5]))


def test_to_believe_is_to_condition_on_the_expected_value(space):
    _, rows, places, values, roots, posterior, plain = fitted(space)
    belief = posterior.at(rows)
    mean, _ = plain.posterior(places, standardised(values), roots)
    y = standardised(values).tolist()
    for place in (len(rows) - 1, len(rows) // 2):
        belief.believe(place, roots=2)
        places, y, roots = [*places, place], [*y, mean[place]], [*roots, 2]
    after, covariance = plain.posterior(places, y, roots)
    assert np.allclose(belief.mean, mean)
    assert np.allclose(belief.mean, after)
    assert np.allclose(belief.variance, covariance.diagonal())


def test_changes_are_what_one_more_value_does_to_the_means(space):
    _, rows, places, values, roots, posterior, plain = fitted(space)
    y = standardised(values)
    mean, covariance = plain.posterior(places, y, roots)
    ahead = [0, 3, len(rows) - 1]
    found = posterior.at(rows).changes(ahead, roots=2)
    for place in range(0, len(rows), 5):
        deviation = math.sqrt(covariance[place, place] + plain.noise / 2)
        after, _ = plain.posterior([*places, place], [*y, mean[place] + deviation], [*roots, 2])
        assert np.allclose(found[:, place], (after - mean)[ahead])


def test_more_roots_are_more_sure():
    features = features_of(SPACES["subsets"])
    rows = features.matrix(SPACES["subsets"])
    values = some_values(rows)[:20]
    few, many = (Surrogate(features, rows) for _ in range(2))
    sure = [
        surrogate.fit(rows[:2], values[:2], [roots] * 2).at(rows).deviations[:2]  # two values fit no hyperparameters
        for surrogate, roots in ((few, 1), (many, 9))
    ]
    assert (sure[1] < 0.7 * sure[0]).all()


def test_equal_values_are_believed():
    features = features_of(SPACES["subsets"])
    rows = features.matrix(SPACES["subsets"])
    belief = Surrogate(features, rows).fit(rows[:7], [0.1] * 7, [1] * 7).at(rows)
    assert np.allclose(belief.means, 0.1)
    assert (belief.deviations > 1e-3).all()  # rounding is no scale


def density(surrogate, features, rows, values, roots):
    """The logarithm of likelihood times prior."""
    y = standardised(values)
    plain = Plain(surrogate, features, rows)
    covariance = plain.gram + np.diag(plain.noise / np.array(roots))
    likelihood = -0.5 * y @ np.linalg.solve(covariance, y) - 0.5 * np.linalg.slogdet(covariance)[1]
    return likelihood + surrogate.kernel.log_prior().item() - 0.5 * (surrogate.log_noise.item() - math.log(0.2)) ** 2


@pytest.mark.parametrize("name", ["subsets", "arms"])
def test_hyperparameters_are_the_most_probable(name):
    space = SPACES[name]
    features = features_of(space)
    rows = features.matrix(space)[::2]
    data = features, rows, some_values(rows), [1] * len(rows)
    surrogate = Surrogate(features, rows)
    start = density(surrogate, *data)
    surrogate.fit(*data[1:])
    best = density(surrogate, *data)
    assert best > start + 1
    for parameter in surrogate._parameters.values():
        for place, step in itertools.product(range(parameter.numel()), (-0.2, 0.2)):
            with torch.no_grad():
                parameter.view(-1)[place] += step
                assert density(surrogate, *data) < best
                parameter.view(-1)[place] -= step


def planted(name, order):
    """A function of pairs' order, of places, of neighbours."""
    worth = random.Random("worth")
    table = {(a, b): worth.gauss(0, 1) for a in "abcde" for b in "abcde01234"}
    if name == "kendall":
        return sum(table[pair] for pair in itertools.combinations(order, 2))
    if name == "position":
        return sum(table[task, str(place)] for place, task in enumerate(order))
    return sum(table[pair] for pair in itertools.pairwise(order))


@pytest.mark.parametrize("name", ["kendall", "position", "adjacency"])
def test_the_likelihood_finds_the_kernel(name):
    space = Space(OrderSpace("abcde", "permutations", baselines=False), PLAIN)
    features = features_of(space)
    rows = features.matrix(space)
    places = random.Random(0).sample(range(1, space.size), 60)
    surrogate = Surrogate(features, rows)
    surrogate.fit(rows[places], [planted(name, space[place].order.tasks) for place in places], [1] * 60)
    weights = dict(zip(BLOCKS, surrogate.state()["log_weight"], strict=True))
    assert max(weights, key=weights.__getitem__) == name


def test_a_restored_surrogate_goes_on_alike():
    _, rows, places, values, roots, posterior, _ = fitted(SPACES["arms"])
    first, second = posterior.surrogate, Surrogate(features_of(SPACES["arms"]), rows)
    assert second.state() == {}
    second.restore(json.loads(json.dumps(first.state())))
    assert second.state() == first.state()
    more = [one.fit(rows[places], values, roots).at(rows).means for one in (first, second)]
    assert np.array_equal(*more)
    assert first.state() == second.state()


def test_threads_do_not_change_a_bit(monkeypatch):
    space = SPACES["arms"]
    features = features_of(space)
    rows = features.matrix(space)
    inside = []
    distances = Surrogate(features, rows).kernel.distances

    def spied(self, x1, x2):
        inside.append(torch.get_num_threads())
        return distances(x1, x2)

    monkeypatch.setattr("search.surrogate.kernels.CandidateKernel.distances", spied)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            belief = Surrogate(features, rows).fit(rows[:40], some_values(rows)[:40], [1] * 40).at(rows)
            belief.believe(50)
            found.append(np.concatenate([belief.means, belief.deviations, belief.changes([0, 1]).ravel()]))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*found)
    assert set(inside) == {1}


# Acquisition ---------------------------------------------------------------------------------------------------------


def integrated(z):
    """log ∫ t φ(t − z) dt over t > 0, with φ(z) taken out of the integral, which would underflow."""
    area = quad(lambda t: t * math.exp(z * t - t**2 / 2), 0, 50 / max(1.0, -z), epsabs=0, epsrel=1e-11)[0]
    return math.log(area) - z**2 / 2 - math.log(2 * math.pi) / 2


@pytest.mark.parametrize("z", [-1000.0, -100.0, -30.0, -20.001, -19.999, -8.0, -1.001, -0.999, 0.0, 0.5, 3.0, 8.0])
def test_expected_improvement_is_the_integral(z):
    deviations = np.array([0.5, 2.0])
    found = log_expected_improvement(10 + z * deviations, deviations, 10.0)
    assert found == pytest.approx([integrated(z) + math.log(0.5), integrated(z) + math.log(2)], rel=1e-9, abs=1e-9)


def test_expected_improvement_grows_with_the_mean_without_end():
    z = np.unique(np.concatenate([-np.logspace(6, -3, 2000), np.logspace(-3, 6, 2000), np.linspace(-40, 40, 80_001)]))
    found = log_expected_improvement(z, np.ones_like(z), 0.0)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
    assert found[-1] == pytest.approx(math.log(1e6))  # far above, the improvement is sure


def test_the_knowledge_gradient_is_what_refitting_gains():
    _, rows, places, values, roots, posterior, plain = fitted(SPACES["subsets"])
    found = np.exp(log_knowledge_gradient(posterior.at(rows), 2))
    y = standardised(values)
    mean, covariance = plain.posterior(places, y, roots)
    generator = np.random.default_rng(0)
    likely = np.argsort(-found)[:4]
    for place in (*likely, *range(0, len(rows), 13)):
        drawn = generator.normal(0, 1, 2000)
        drawn = np.concatenate([drawn, -drawn]) * math.sqrt(covariance[place, place] + plain.noise / 2)
        ahead = plain.posterior([*places, place], [*y, mean[place]], [*roots, 2])[0]
        one_more = plain.posterior([*places, place], [*y, mean[place] + 1], [*roots, 2])[0] - ahead
        gains = (ahead[:, None] + one_more[:, None] * drawn).max(0) - mean.max()
        error = gains.std() / math.sqrt(len(drawn))
        assert found[place] == pytest.approx(gains.mean(), rel=0.1, abs=3 * error)
    assert found[likely].min() > 0.01


def test_the_knowledge_gradient_is_never_negative(space):
    for seed in range(3):
        *_, posterior, _ = fitted(space, seed)
        logs = log_knowledge_gradient(posterior.at(features_of(space).matrix(space)), 1)
        assert np.isfinite(logs).all()
        assert logs.max() > -20


# Pools and recommendation --------------------------------------------------------------------------------------------


def worth(candidate):
    """Good tasks late and few others before them, at the largest learning rate."""
    good = dict(zip("abcdef", (3, 1.5, -1, -2, -3, -4), strict=True))
    late = sum(good[task] * 0.7**ago for ago, task in enumerate(reversed(candidate.order.tasks)))
    return late + candidate.learning_rate


def test_a_searched_pool_holds_the_best(monkeypatch):
    space = Space(OrderSpace("abcdef"), [Arm("full", 1e-3), Arm("full", 1e-1)])
    monkeypatch.setattr(pools, "RANDOM", 30)
    features = features_of(space)

    def value(pool):
        return np.array([worth(candidate) for candidate in pool.candidates])

    best = max(space, key=worth)
    pool = pools.searched(space, features, [space[0]], value, random.Random(0))
    assert best in pool.candidates
    assert space[0] in pool.candidates
    assert len(set(pool.candidates)) == len(pool.candidates) < space.size / 2
    assert np.array_equal(pool.rows, features.matrix(pool.candidates))


def test_controls_are_in_no_pool():
    space = Space(OrderSpace("abc"), PLAIN, [Order.parse("z"), Order.parse("z>y")])
    features = features_of(space)
    assert [one.order for one in pools.whole(space, features).candidates] == list(space.orders)
    assert len(pools.reference(space, features, 400)) == space.orders.size


def history_of(space, places, seed=0):
    noise = random.Random(seed)
    return [Told(space[place], (worth(space[place]) + noise.gauss(0, 0.02),)) for place in places]


@pytest.mark.parametrize("exact", [pools.EXACT, 10])
def test_a_candidate_that_was_never_run_can_be_recommended(exact):
    space = Space(OrderSpace("abcd"), PLAIN)
    best = max(space, key=worth)
    places = [place for place in range(space.size) if space[place] != best][::2]
    found = recommended(space, history_of(space, places), count=3, exact=exact)
    assert found[0].candidate == best
    assert [one.mean for one in found] == sorted((one.mean for one in found), reverse=True)
    assert abs(found[0].mean - worth(best)) < 4 * found[0].deviation


def test_controls_and_failed_candidates_are_not_recommended():
    space = Space(OrderSpace("abc"), PLAIN, [Order.parse("z")])
    history = [Told(one, (100.0,) if one.order.tasks == ("z",) else (worth(one),)) for one in space][::2]
    history.append(Told(space[5], None))
    assert {one.candidate.order for one in recommended(space, history, count=100)} == set(space.orders)


def test_of_two_values_the_higher_one_is_recommended():
    space = SPACES["subsets"]
    history = [Told(space[1], (0.3,)), Told(space[2], (0.4,)), Told(space[3], None)]
    assert recommend(space, history) == space[2]
    with pytest.raises(ValueError, match="nothing was told"):
        recommend(space, history[2:])
