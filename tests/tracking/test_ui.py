from __future__ import annotations

import pytest

from tests import settings
from thaw.errors import ThawError
from thaw.tracking.ui import replace_by_ui


def test_the_ui_of_a_remote_store_is_left_to_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000")
    with pytest.raises(ThawError, match=r"http://tracking\.example:5000: open it in a browser"):
        replace_by_ui(settings.PARAMS.tracking, 5000)
