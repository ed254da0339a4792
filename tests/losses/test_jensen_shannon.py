import math

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from raysearch.losses import jensen_shannon


def divergence(classes, masses):
    return jensen_shannon(torch.tensor(classes), torch.tensor(masses, dtype=torch.float32)).double().numpy()


def assert_exact(classes, masses, num_classes):
    masses = np.asarray(masses, dtype=np.float32).astype(np.float64)
    expected = reference.jensen_shannon(reference.dense(classes, masses, num_classes))
    assert np.abs(divergence(classes, masses) - expected).max() < 1e-6


def test_two_halves_against_one_whole_by_hand():
    # q = (1/2, 1/2), p = (1, 0), middle (3/4, 1/4): (ln 4/3 + (ln 2/3 + ln 2) / 2) / 2
    found = divergence([[0, 1], [0, 0]], [[0.5, 0.5], [1.0, 0.0]])
    assert abs(found[0, 1] - (math.log(4 / 3) + (math.log(2 / 3) + math.log(2)) / 2) / 2) < 1e-7


def test_unmixed_labels_are_zero_or_log_two_apart():
    found = divergence([[3], [7], [3]], [[1.0], [1.0], [1.0]])
    np.testing.assert_allclose(found, math.log(2) * np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]), atol=1e-7)


def test_an_image_mixed_with_itself_is_its_own_label():
    found = divergence([[4, 4], [4, 2]], [[0.3, 0.7], [1.0, 0.0]])
    np.testing.assert_allclose(found, 0, atol=1e-7)


def test_a_class_in_both_slots_of_both_rows_counts_once():
    assert_exact([[1, 1], [1, 1], [1, 2], [2, 1]], [[0.6, 0.4], [0.1, 0.9], [0.6, 0.4], [0.6, 0.4]], 3)


def test_the_order_of_the_slots_does_not_matter():
    np.testing.assert_allclose(divergence([[1, 2], [2, 1]], [[0.6, 0.4], [0.4, 0.6]]), 0, atol=1e-7)


MIXED = st.integers(1, 6).flatmap(
    lambda slots: st.lists(
        st.tuples(
            st.lists(st.integers(0, 4), min_size=slots, max_size=slots),
            st.lists(st.integers(0, 20), min_size=slots, max_size=slots).filter(any),
        ),
        min_size=2,
        max_size=6,
    )
)


@settings(max_examples=25, deadline=None)
@given(MIXED)
def test_any_mix_agrees_with_the_dense_form_in_float64_and_is_symmetric(rows):
    classes = [row for row, _ in rows]
    masses = [[weight / sum(weights) for weight in weights] for _, weights in rows]
    assert_exact(classes, masses, 5)
    found = divergence(classes, masses)
    np.testing.assert_array_equal(found, found.T)
    assert found.min() >= 0


def test_a_whole_cutmix_batch_agrees_with_the_dense_form():
    rng = np.random.default_rng(1)
    labels, partner = rng.integers(0, 12, 24), rng.permutation(24)
    shares = rng.beta(1, 1, 24)  # finer than any one batch's: every row its own
    assert_exact(np.stack([labels, labels[partner]], 1), np.stack([shares, 1 - shares], 1), 12)


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("num_classes", [3, 40])
def test_masses_of_float64_are_exact_to_its_precision(slots, num_classes):
    rng = np.random.default_rng(2)
    classes, masses = rng.integers(0, num_classes, (16, slots)), rng.dirichlet([0.5] * slots, 16)
    expected = reference.jensen_shannon(reference.dense(classes, masses, num_classes))
    found = jensen_shannon(torch.from_numpy(classes), torch.from_numpy(masses))
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_slots_without_mass_change_nothing():
    found = divergence([[1, 2], [2, 0]], [[0.6, 0.4], [1.0, 0.0]])
    np.testing.assert_array_equal(divergence([[1, 2, 0, 0], [2, 0, 2, 1]], [[0.6, 0.4, 0, 0], [1, 0, 0, 0]]), found)


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor that any operation returned."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.elements = max(self.elements, result.numel())
        return result


def test_no_tensor_is_larger_than_batch_times_batch():
    classes, masses = torch.randint(0, 1000, (40, 4)), torch.full((40, 4), 0.25)
    with LargestTensor() as largest:
        jensen_shannon(classes, masses)
    assert largest.elements == 40 * 40
