"""Pages of the dashboard as a test sees them: run by Streamlit's AppTest through app.py, as a browser would."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from modules.settings import ROOT

APP = ROOT / "streamlit_app" / "app.py"


def open_page(name: str, **asked: str) -> AppTest:
    """`pages/<name>.py` as it is first drawn, with these filters in its address."""
    page = AppTest.from_file(APP, default_timeout=60)
    page.run()
    page.switch_page(f"pages/{name}.py")
    for key, value in asked.items():
        page.query_params[key] = value
    return page.run()


def cards(page: AppTest) -> dict[str, str]:
    """The figures at the top, by title."""
    return {card.label: card.value for card in page.metric}


def words(page: AppTest) -> str:
    """All that is said on the page: errors, warnings, hints, captions and texts."""
    kinds = (page.error, page.warning, page.info, page.success, page.caption, page.markdown, page.subheader)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def table(page: AppTest, number: int = 0) -> list[dict[str, object]]:
    """The rows of a table by column, as they are shown."""
    rows: list[dict[str, object]] = page.dataframe[number].value.to_dict("records")
    return rows


def asked(page: AppTest) -> dict[str, str]:
    """The filters that stand in the address."""
    return {name: value[0] if isinstance(value, list) else value for name, value in page.query_params.items()}
