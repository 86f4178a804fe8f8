from __future__ import annotations

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits

from thaw.system.blas_threads import SMALL, threads_for


def blas_threads() -> set[int]:
    """Return the numbers of threads of the libraries that compute matrix products."""
    assert scipy.linalg.norm(np.ones((2, 2)) @ np.ones((2, 2))) == 4.0
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_small_products_are_computed_in_one_thread_and_the_number_is_restored() -> None:
    with threadpool_limits(limits=2, user_api="blas"):
        with threads_for(SMALL):
            assert blas_threads() == {1}
        assert blas_threads() == {2}


def test_large_products_keep_their_threads() -> None:
    with threadpool_limits(limits=2, user_api="blas"), threads_for(SMALL + 1):
        assert blas_threads() == {2}
