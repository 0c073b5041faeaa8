"""The page in a real browser: what it answers to drawings, what it shows, and what it asks for."""

import base64
import re
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the page holds an ONNX file: pip install onnx")
pytest.importorskip("onnxruntime", reason="it computes the expected values")

import xpnet
from tests.report.drawing.digits import DIGITS
from xpnet import functions as F, models
from xpnet.data import load_digit
from xpnet.layers import hooks
from xpnet.report.drawing import drawing_page
from xpnet.saving import export_onnx
from xpnet.saving.onnx._graph import Graph

NAME = "document.getElementById('name').textContent"
TEXT = "document.getElementById('text').textContent"
SPOKEN = "document.getElementById('spoken').textContent"


class Drawn(NamedTuple):
    """What the page made of a drawing."""

    answer: str
    picture: str  # of the sheet: PNG, in Base64
    image: np.ndarray  # that the network was given
    shares: np.ndarray  # the probabilities
    maps: list  # pictures


def seen(browser, answer):
    """What the page shows now."""
    texts = browser.run("[...document.querySelectorAll('.share')].map(e => e.textContent)")
    shares = np.array([float(text.removesuffix(" %")) / 100 for text in texts])
    picture = browser.run("document.getElementById('pad').toDataURL()").partition(",")[2]
    (image,) = opacity(browser, "#given")
    return Drawn(answer, picture, image, shares, opacity(browser, ".maps canvas"))


def opacity(browser, selector):
    """How opaque the pixels of each of these canvases are, from 0 to 1."""
    code = f"""[...document.querySelectorAll('{selector}')].map(canvas => {{
        const {{width, height}} = canvas;
        const copy = new OffscreenCanvas(width, height).getContext('2d');
        copy.drawImage(canvas, 0, 0);
        const alpha = copy.getImageData(0, 0, width, height).data.filter((_, k) => k % 4 === 3);
        return {{width, height, alpha: [...alpha]}};
    }})"""
    return [np.reshape(x["alpha"], (x["height"], x["width"])) / 255 for x in browser.run(code)]


def is_blank(browser, selector):
    """Whether nothing is on these canvases."""
    return not any(pixels.any() for pixels in opacity(browser, selector))


def computed(model, image, name):
    """A value of the network for an image, by onnxruntime."""
    import onnx
    import onnxruntime

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if name not in {value.name for value in copy.graph.output}:
        output = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        copy.graph.output.append(output)
    session = onnxruntime.InferenceSession(copy.SerializeToString())
    (x,) = session.get_inputs()
    shape = [1 if isinstance(n, str) else n for n in x.shape]
    return session.run([name], {x.name: image.reshape(shape).astype(np.float32)})[0][0]


def outputs_of(model, kind):
    """The names of the values that nodes of this kind compute."""
    return [node.output[0] for node in model.graph.node if node.op_type == kind]


@pytest.fixture
def lenet_open(browser, lenet_page):
    """The browser with the page of the LeNet, on a screen, whose sheet is clear."""
    browser.resize(1200)
    if browser.run("location.href") != lenet_page.as_uri():
        browser.open(lenet_page)
    browser.press("c")
    browser.settle()
    return browser


@pytest.fixture(scope="module")
def drawn(chromium, lenet_page, drawing):
    """Each digit, drawn with the mouse on the page of the LeNet."""
    chromium.open(lenet_page)
    return {name: seen(chromium, drawing(chromium, name)) for name in DIGITS}


# --- drawing --------------------------------------------------------------------------------------


def test_digits_that_are_drawn_with_the_mouse_are_recognised(drawn):
    wrong = {name: found.answer for name, found in drawn.items() if found.answer != name}
    assert len(wrong) <= 1, wrong


def test_digits_that_are_drawn_with_a_finger_on_a_phone_are_recognised(browser, lenet_page, draw):
    browser.open(lenet_page, 360, 740)
    assert [draw(name, by="touch") for name in "047"] == [*"047"]


def test_a_finger_on_the_sheet_does_not_scroll_the_page(lenet_open):
    """Elsewhere it does. The headless browser scrolls under no finger, so the style is what is tested."""
    action = "getComputedStyle(document.{}).touchAction"
    assert lenet_open.run(action.format("getElementById('pad')")) == "none"
    assert lenet_open.run(action.format("body")) == "auto"


def test_a_digit_is_drawn_with_the_keyboard_alone(browser, lenet_page):
    """Space lowers and lifts the pen."""
    browser.open(lenet_page)
    browser.press("Tab", *["ArrowLeft"] * 6)
    assert is_blank(browser, "#pad")
    browser.press(" ", *["ArrowRight"] * 12, *["ArrowDown", "ArrowDown", "ArrowLeft"] * 6, " ")
    browser.settle()
    assert browser.run(NAME) == "7"
    (before,) = opacity(browser, "#pad")
    browser.press(*["ArrowUp"] * 5)
    (after,) = opacity(browser, "#pad")
    assert (after == before).all()
    assert browser.run("scrollY") == 0


def test_the_pen_stays_on_the_sheet_and_is_lifted_when_the_sheet_is_left(browser, lenet_page):
    browser.open(lenet_page)
    browser.press("Tab", " ", *["ArrowUp"] * 30, "Tab")
    place = "(({top, height}) => top + height / 2)(document.getElementById('pen').getBoundingClientRect())"
    browser.run("document.getElementById('pad').focus()")
    _, top, _ = browser.box("pad")
    assert browser.run(place) == pytest.approx(top, abs=1)
    assert browser.run("document.getElementById('pen').className") == ""


def test_the_pen_of_the_keyboard_is_seen_only_by_users_of_the_keyboard(browser, lenet_page):
    browser.open(lenet_page)
    shown = "getComputedStyle(document.getElementById('pen')).display"
    browser.click("pad")
    assert browser.run("document.activeElement.id") == "pad"
    assert browser.run(shown) == "none"
    browser.press("ArrowUp")
    assert browser.run(shown) == "block"


@pytest.mark.parametrize("way", ["button", "c", "Escape", "Enter"])
def test_the_sheet_is_cleared(lenet_open, draw, way):
    draw("1")
    assert not is_blank(lenet_open, ".maps canvas")
    if way == "button":
        lenet_open.click("clear")
    elif way == "Enter":
        lenet_open.run("document.getElementById('clear').focus()")
        lenet_open.press("Enter")
    else:
        lenet_open.press(way)
    lenet_open.settle()
    assert (lenet_open.run(NAME), lenet_open.run(TEXT)) == ("", "Draw a digit.")
    assert is_blank(lenet_open, "canvas")
    shares = lenet_open.run("[...document.querySelectorAll('.share')].map(e => e.textContent)")
    assert set(shares) == {"\u2013"}


def test_undo_removes_the_last_stroke(lenet_open, draw):
    draw("1")
    (before,) = opacity(lenet_open, "#pad")
    left, top, side = lenet_open.box("pad")
    below = top + 0.9 * side
    lenet_open.mouse([(left + 0.1 * side, below), (left + 0.9 * side, below)])
    (after,) = opacity(lenet_open, "#pad")
    assert (after != before).any()
    lenet_open.click("undo")
    (after,) = opacity(lenet_open, "#pad")
    assert (after == before).all()
    lenet_open.press("z")
    assert is_blank(lenet_open, "#pad")
    lenet_open.press("z")  # nothing is left, which is no error


def test_the_right_button_does_not_draw(lenet_open):
    left, top, side = lenet_open.box("pad")
    at = {"x": left + side / 2, "y": top + side / 2, "button": "right", "clickCount": 1}
    for kind in ("mousePressed", "mouseMoved", "mouseReleased"):
        lenet_open.call("Input.dispatchMouseEvent", type=kind, **at)
    assert is_blank(lenet_open, "#pad")


@pytest.mark.parametrize("way", ["mouse", "finger", "keyboard"])
def test_a_single_point_is_a_dot(lenet_open, way):
    left, top, side = lenet_open.box("pad")
    x, y = 0.6, 0.3  # of the side
    point = (left + x * side, top + y * side)
    if way == "keyboard":
        style = "(({left, top}) => [left, top])(document.getElementById('pen').style)"
        x, y = (float(text.removesuffix("%")) / 100 for text in lenet_open.run(style))
        lenet_open.run("document.getElementById('pad').focus()")
        lenet_open.press(" ", " ")
    elif way == "mouse":
        lenet_open.mouse([point, point])
    else:
        lenet_open.touch([point])
    (ink,) = opacity(lenet_open, "#pad")
    rows, columns = np.nonzero(ink > 0.5)
    assert np.mean(rows) == pytest.approx(448 * y, abs=1.0)
    assert np.mean(columns) == pytest.approx(448 * x, abs=1.0)
    for places in (rows, columns):  # a line is 1/14 of the side wide
        assert np.ptp(places) == pytest.approx(448 / 14, abs=2.0)


def test_a_second_finger_does_not_draw(lenet_open):
    left, top, side = lenet_open.box("pad")
    lenet_open.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
    first = {"x": left + 0.3 * side, "y": top + 0.3 * side, "id": 1}
    second = {"x": left + 0.7 * side, "y": top + 0.7 * side, "id": 2}
    for kind, points in (("Start", [first]), ("Start", [first, second]), ("End", [])):
        lenet_open.call("Input.dispatchTouchEvent", type=f"touch{kind}", touchPoints=points)
    lenet_open.call("Emulation.setTouchEmulationEnabled", enabled=False)
    (ink,) = opacity(lenet_open, "#pad")
    assert ink[134, 134] == 1
    assert ink[313, 313] == 0


# --- what it computes -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIGITS)
def test_a_drawing_is_prepared_as_load_digit_does(drawn, name, tmp_path):
    """The picture of the sheet, read by Python, becomes the image that the page gives to the network."""
    pytest.importorskip("PIL", reason="load_digit reads pictures with Pillow")
    file = tmp_path / "drawn.png"
    file.write_bytes(base64.b64decode(drawn[name].picture))
    difference = np.abs(drawn[name].image - load_digit(file))
    assert difference.max() < 0.05  # Python rounds to 8 bits once more
    assert difference.mean() < 0.005


def test_a_small_drawing_in_a_corner_is_prepared_likewise(lenet_open, tmp_path):
    """Of it, Python averages less, and cuts it out first: so its edges are a little different."""
    pytest.importorskip("PIL", reason="load_digit reads pictures with Pillow")
    left, top, side = lenet_open.box("pad")
    small = [(left + (0.75 + x / 5) * side, top + (0.75 + y / 5) * side) for x, y in DIGITS["0"][0]]
    lenet_open.mouse(small)
    lenet_open.settle()
    file = tmp_path / "drawn.png"
    file.write_bytes(base64.b64decode(seen(lenet_open, "").picture))
    (image,) = opacity(lenet_open, "#given")
    assert np.abs(image - load_digit(file)).mean() < 0.02


def test_the_probabilities_are_those_of_onnxruntime(drawn, lenet):
    for found in drawn.values():
        scores = computed(lenet, found.image, lenet.graph.output[0].name)
        powers = np.exp(scores - scores.max())
        assert (
            np.abs(found.shares - powers / powers.sum()).max() < 0.01
        )  # image and text are rounded


def test_the_pictures_are_what_each_convolution_computes(drawn, lenet):
    """The opacity is the square root of a number's part of the largest one."""
    first, second, _ = outputs_of(lenet, "Relu")
    for found in drawn.values():
        for name, shown in ((first, found.maps[:8]), (second, found.maps[8:])):
            expected = computed(lenet, found.image, name)
            assert len(shown) == len(expected)
            assert np.abs(np.square(shown) - expected / expected.max()).max() < 0.02


def test_a_network_without_convolutions_shows_its_strongest_units(browser, mlp, mlp_page, draw):
    """Their weights times the image."""
    browser.open(mlp_page)
    found = seen(browser, draw("4"))
    first = next(node for node in mlp.graph.node if node.op_type == "Gemm")
    weight = next(t for t in mlp.graph.initializer if t.name == first.input[1])
    weight = np.frombuffer(weight.raw_data, np.float32).reshape(weight.dims)
    by_unit = weight if weight.shape[1] == 784 else weight.T
    strongest = np.argsort(-computed(mlp, found.image, first.output[0]))[:16]
    expected = np.abs(by_unit[strongest].reshape(-1, 28, 28) * found.image)
    assert np.abs(np.square(found.maps) - expected / expected.max()).max() < 0.02


@pytest.mark.parametrize("name", ["resnet", "lstm", "transformer"])
def test_every_model_runs_in_the_browser(browser, runtime, draw, tmp_path, name):
    """The page shows the scores that xpnet computes; without a training, they say nothing."""
    small = {"resnet": {"channels": (4, 8)}, "lstm": {"hidden": 8}, "transformer": {"width": 8}}
    with xpnet.using("numpy"):
        model = models.build(name, (1, 28, 28), 10, rng=0, **small[name])
        written = export_onnx(model, None, (1, 28, 28))
        browser.open(drawing_page(tmp_path / "page.html", written, runtime=runtime))
        found = seen(browser, draw("2"))
        with hooks.evaluating():
            scores = model(found.image[None, None].astype(np.float32))
        expected = xpnet.to_numpy(F.softmax(scores))[0]
    assert np.abs(found.shares - expected).max() < 0.01
    assert len(found.maps) == {"resnet": 4 + 4 + 4 + 8 + 8 + 8}.get(name, 0)


# --- how it looks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 360, 700, 1200])
def test_nothing_is_wider_than_the_window(lenet_open, draw, width):
    lenet_open.resize(width, 740)
    draw("1")
    assert lenet_open.run("document.documentElement.scrollWidth") <= width
    right = "[...document.querySelectorAll('main *')].map(e => e.getBoundingClientRect().right)"
    assert max(lenet_open.run(right)) <= width


def test_on_a_phone_sheet_and_probabilities_are_seen_together(lenet_open):
    lenet_open.resize(360, 740)
    bottom = "document.getElementById('bars').getBoundingClientRect().bottom"
    assert lenet_open.run(bottom) <= 740


def test_it_is_light_or_dark_as_the_user_prefers(lenet_open, draw):
    """Also what has been drawn."""
    draw("1")
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "document.getElementById('pad').getContext('2d').getImageData(226, 224, 1, 1).data[0]"
    assert (lenet_open.run(paper), lenet_open.run(ink)) == ("rgb(255, 255, 255)", 28)
    lenet_open.prefer(color_scheme="dark")
    lenet_open.wait(f"{ink} === 232")
    assert lenet_open.run(paper) == "rgb(21, 23, 26)"


def test_bars_move_unless_the_user_prefers_less_motion(lenet_open):
    duration = "getComputedStyle(document.querySelector('.bar'), '::before').transitionDuration"
    assert lenet_open.run(duration) == "0.15s"
    lenet_open.prefer(reduced_motion="reduce")
    assert lenet_open.run(duration) == "0s"


# --- for those who use no mouse, or do not see the page -----------------------------------------------


def test_the_tab_key_reaches_everything(browser, lenet_page):
    browser.open(lenet_page)
    reached = []
    for _ in range(3):
        browser.press("Tab")
        reached.append(browser.run("document.activeElement.id"))
    assert reached == ["pad", "clear", "undo"]


def test_the_answer_is_read_aloud_when_the_drawing_pauses(lenet_open, draw):
    draw("7")
    lenet_open.wait(f"{SPOKEN}.startsWith('7')")
    assert re.fullmatch(r"7 with a probability of \d+\.\d %", lenet_open.run(SPOKEN))


def test_every_part_has_a_name(lenet_open):
    nodes = lenet_open.call("Accessibility.getFullAXTree")["nodes"]
    named = [(n["role"]["value"], n["name"]["value"]) for n in nodes if "name" in n]
    for part in (
        ("application", "Sheet to draw a digit on"),
        ("button", "Clear c"),
        ("button", "Undo z"),
        ("heading", "What the network sees"),
        ("heading", "Convolution 1: 8 kernels of 5 × 5"),
        ("image", "8 pictures: Blue: where each kernel responds, after ReLU."),
        ("image", "The drawing as the network is given it"),
    ):
        assert part in named
    assert "status" in [n["role"]["value"] for n in nodes if not n["ignored"]]


# --- what is in it --------------------------------------------------------------------------------


def test_the_page_is_one_file_of_a_few_megabytes(lenet_page):
    assert lenet_page.stat().st_size < 6e6
    assert list(lenet_page.parent.iterdir()) == [lenet_page]


def test_names_are_shown_as_text(browser, lenet, runtime, draw, tmp_path):
    names = ["</script><b>bold</b>", *"12345678", "<!--"]
    titles = {"title": "<i>&", "subtitle": "<u>"}
    path = drawing_page(tmp_path / "names.html", lenet, names, **titles, runtime=runtime)
    browser.open(path, 360, 740)
    assert draw("0") == names[0]
    assert browser.run("document.querySelector('h1').textContent") == "<i>&"
    assert browser.run("document.querySelectorAll('main b, main i, header u').length") == 0
    assert browser.run("document.documentElement.scrollWidth") <= 360


FOREIGN = '<img src="https://example.invalid/a.png"><script>1</script>'


def test_the_policy_of_the_page_blocks_what_is_not_its_own(chromium, lenet_page, tmp_path):
    """The browser complains, which the fixture `browser` finds."""
    text = lenet_page.read_text(encoding="utf-8")
    path = tmp_path / "blocked.html"
    path.write_text(text.replace("</main>", FOREIGN), encoding="utf-8")
    chromium.open(path)
    complaints = str(chromium.complaints())
    assert complaints.count("violates the following Content Security Policy") == 2
    chromium.events.clear()


def test_requests_are_found(chromium, lenet_page, tmp_path):
    """Without a policy, there is one."""
    text = lenet_page.read_text(encoding="utf-8").replace("</main>", FOREIGN)
    path = tmp_path / "open.html"
    path.write_text(re.sub(r"<meta http-equiv=.*", "", text), encoding="utf-8")
    chromium.open(path)
    assert chromium.requested() == ["https://example.invalid/a.png"]
    chromium.events.clear()


def test_a_network_that_does_not_start_is_reported(chromium, lenet, runtime, tmp_path):
    damaged = runtime._replace(wasm=runtime.wasm[:1000])
    path = drawing_page(tmp_path / "damaged.html", lenet, runtime=damaged)
    chromium.call("Page.navigate", url=path.as_uri())
    message = "document.getElementById('text')?.textContent"
    chromium.wait(f"/could not be started: .*Firefox 113/.test({message})")
    chromium.events.clear()


def test_a_network_that_fails_is_reported(chromium, drawing, runtime, tmp_path):
    """This one takes three images at once, which its description hides."""
    graph = Graph()
    x = graph.input("x", np.float32, ("batch", 784))
    x = graph.node("Sqrt", [x])  # so that the page asks for nothing more than the scores
    x = graph.node("Reshape", [x, graph.constant(np.array([3, 784]))])
    y = graph.node("Gemm", [x, graph.parameter("weight", np.zeros((784, 10), np.float32))])
    graph.output("y", y, np.float32, ("batch", 10))
    chromium.open(drawing_page(tmp_path / "fails.html", graph.model(), runtime=runtime))
    assert drawing(chromium, "1") == ""
    assert re.match("The network failed: .*Reshape", chromium.run(TEXT), re.DOTALL)
    chromium.events.clear()
