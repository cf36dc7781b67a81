"""Takes the pictures in docs/images: `make screenshots`. Not a test, and so not collected with them."""

import io
from pathlib import Path

import pytest
from PIL import Image

from e2e.browser.conftest import Open
from e2e.browser.console import LONG
from e2e.browser.places import go, places
from e2e.stack import ROOT, Stack

IMAGES = ROOT / "docs" / "images"
SHOWN = ("passage", "requests", "request", "pipeline", "documents", "dead-letters", "usage")


@pytest.fixture(scope="module")
def busy(indexed: Stack) -> None:
    """Give the pages something to show: questions of several kinds, one of them refused by its length."""
    for question in ("What is backpressure?", "What is a dead letter?", "How are answers cited?", LONG):
        indexed.post(
            {
                "model": indexed.model,
                "messages": [{"role": "user", "content": question}],
                "vector_store_ids": ["vs_default"],
                "max_tokens": 120,
            }
        )
    indexed.post(
        {"model": indexed.model, "messages": [{"role": "user", "content": "word " * 20_000}], "max_tokens": 8}
    )


@pytest.mark.usefixtures("used", "busy")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_take_a_picture_of_each_page(opened: Open, theme: str) -> None:
    tab = opened(width=1280, height=800, theme=theme)
    tab.sign_in()
    tab.ask("What is a penstock?").end()
    request_id = tab.last_turn.request_id
    IMAGES.mkdir(exist_ok=True)
    for place in places(request_id):
        if place.name in SHOWN:
            go(tab, place)
            name = "chat" if place.name == "passage" else place.name
            save(tab.page.screenshot(), IMAGES / f"console-{name}-{theme}.png")


def save(picture: bytes, path: Path) -> None:
    """Write a PNG with a palette: a third of the size, and no colour is off by more than can be seen."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
