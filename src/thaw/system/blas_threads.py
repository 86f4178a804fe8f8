"""Choose the number of threads for matrix products outside of torch."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Multiplications of a matrix product that one thread computes in some milliseconds.
SMALL = 1e8


@contextmanager
def threads_for(multiplications: float) -> Iterator[None]:
    """Compute matrix products of numpy and scipy in one thread if they are small.

    ``multiplications`` is the number of multiplications of one product. The solvers of
    scikit-learn make thousands of products. For small ones, threads wait for each other longer
    than they compute: on two busy cores, a logistic regression on 331 images with 1,984 features
    took ten times as long in two threads as in one.
    """
    if multiplications > SMALL:
        yield
        return
    import scipy.linalg  # noqa: F401  # loads its library: only loaded libraries are limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
