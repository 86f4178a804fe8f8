from __future__ import annotations

from thaw.config.params import Params


def test_an_empty_file_has_the_defaults_of_every_section() -> None:
    params = Params.model_validate({})
    assert params == Params()
    for name in type(params).model_fields:
        section = getattr(params, name)
        assert name == "seed" or section == type(section)()


def test_the_seed_fits_32_bits() -> None:
    assert Params(seed=2**31 - 1).seed == 2147483647
