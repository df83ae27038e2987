import pytest

from headstart.core.offline import is_offline


@pytest.mark.parametrize(
    ("value", "offline"),
    [("1", True), ("true", True), ("yes", True), ("0", False), ("off", False), ("", False)],
)
def test_offline_is_what_the_variable_says(
    value: str, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", value)
    assert is_offline() is offline


def test_nobody_is_offline_without_asking() -> None:
    assert not is_offline()
