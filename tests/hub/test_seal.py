import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetseg.hub.seal import MARKDOWN, TOML, is_edited, sealed, unsealed


@pytest.mark.parametrize("seal", [MARKDOWN, TOML])
@given(text=st.text(), other=st.text())
def test_a_seal_holds_until_the_text_changes(seal: str, text: str, other: str) -> None:
    result = sealed(text, seal)
    assert not is_edited(result, seal)
    assert unsealed(result, seal) == text
    assert is_edited(text, seal)
    for changed in (result + "!", "!" + result, result.replace(text, other, 1)):
        assert is_edited(changed, seal) == (changed != result)
