"""The Segments page in headless Chromium, with its headers: at the size of a desk and of a phone, without scripts.

Inside Airflow it is looked at by `tests/deploy/test_airflow_logins.py`.
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from segmentation import segments_page
from segmentation.settings import Stores
from tests.segmentation.test_segments_page import NOW, fill

SIZES = {"desk": (1280, 900), "phone": (360, 740)}
# WCAG 2.2, 1.4.3: at least 4.5 between text and what is behind it
CONTRAST = """() => {
  const light = (rgb) => rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (node) => { for (let n = node; n; n = n.parentElement) {
    const c = parts(getComputedStyle(n).backgroundColor); if (c.length < 4 || c[3] > 0) return c.slice(0, 3); }
    return [255, 255, 255]; };
  const poor = [];
  for (const node of document.querySelectorAll(
      "p, th, td div, li, a, h1, h2, h3, caption, button, summary, label, span, header div, svg text")) {
    // Text in a picture has a halo of its own
    const style = getComputedStyle(node), inside = node instanceof SVGElement;
    const ink = inside ? style.fill : style.color;
    const [a, b] = [light(parts(ink).slice(0, 3)),
      inside ? light(parts(style.stroke).slice(0, 3)) : light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${node.tagName} ${node.className} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory, new_warehouse):
    """Where the page is served; `?lang=zh` as in Airflow."""
    with new_warehouse() as dsn:
        stores = Stores(warehouse=dsn, marketing=dsn, lake=str(tmp_path_factory.mktemp("stores")), registry="unused")
        fill(stores)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                language = "zh" if "lang=zh" in self.path else "en"
                html = segments_page.page(
                    dsn, now=NOW, language=language, mlflow="http://mlflow", may_see_customers=True, customer_id="c000"
                )
                self.send_response(200 if self.path.startswith("/segments") else 404)
                for name, value in {**segments_page.HEADERS, "Content-Type": "text/html"}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(html.encode())

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/segments"
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_is_readable(browser, address, size, scheme, language):
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    asked, told = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.goto(f"{address}?lang={language}")
    assert asked == [f"{address}?lang={language}"], "nothing else is loaded"
    assert told == [], "the policy forbids nothing that the page needs"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("getComputedStyle(document.querySelector('.cards td')).display") == (
        "grid" if size == "phone" else "table-cell"
    )
    assert page.locator("table.cards").first.get_by_role("row").count() == 4, "three segments and a heading"
    assert page.get_by_role("heading", level=2).count() == 9
    assert page.locator("svg path.ribbon").count() == 2
    for section in ("campaigns", "products", "quality"):
        assert page.locator(f"section[aria-labelledby={section}] tbody tr").count() > 0, "of what it lays out"
    context.close()


def test_it_works_without_scripts_and_by_keyboard(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("link", name="Churn risk by value").press("Enter")
    assert page.url.endswith("#risk")
    page.locator("summary").press("Enter")
    assert page.get_by_role("cell", name="12", exact=True).is_visible()
    page.get_by_role("link", name="中文").press("Enter")
    assert page.get_by_role("heading", level=1).inner_text() == "客户分群"
    context.close()
