"""The page at `/`, in a real Chromium."""

import http.server
import re
import shutil
import threading

import numpy as np
import pytest
import requests
from servers import serve, wait_for, write_version

import keras_hypernet as kh

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MNIST, CIFAR, EMBED = "rotation_mnist_hyper", "rotation_cifar_hyper", "rotation_mnist_embed"


@pytest.fixture(scope="module")
def server(tmp_path_factory, exported):
    names = MNIST, CIFAR, EMBED, "assumption1_mnist_f1"
    with serve(exported(tmp_path_factory.mktemp("saved_models"), *names), *names) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    if not (CHROMIUM and DRIVER):
        pytest.skip("Chromium is not installed: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1100,900"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def page(server, browser):
    """The page, when both cards have their answers."""
    browser.get(f"http://127.0.0.1:{server.rest_port}/")
    _wait_for(browser, lambda: _text(browser, "#difference"))
    return browser


def _wait_for(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 60, poll_frequency=0.05).until(lambda _: condition())


def _text(browser, selector):
    return browser.execute_script("return document.querySelector(arguments[0]).textContent", selector)


def _predicted(browser):
    return [_text(browser, f"#{card} strong.predicted") for card in ("first", "second")]


def _set_angle(browser, degrees):
    browser.execute_script(
        "const a = document.getElementById('angle'); a.value = arguments[0]; a.dispatchEvent(new Event('input'))",
        degrees,
    )


def _choose(browser, name):
    """Chooses a model, and waits for its answers."""
    asked = browser.execute_script(
        "const m = document.getElementById('model'); const before = asked; m.value = arguments[0]; "
        "m.dispatchEvent(new Event('change')); cards.forEach((card) => { card.kernel = undefined; }); return before",
        name,
    )
    done = "return asked >= arguments[0] + 2 && cards.every((card) => card.kernel !== undefined)"
    _wait_for(browser, lambda: browser.execute_script(done, asked))


def test_the_page_shows_the_predictions_of_the_model(page):
    """For angles in the middle of a class: the result of `predict` on the same pixels."""
    model = kh.load(MNIST)
    for angle in (0, 90, 210):
        _set_angle(page, angle)
        images = page.execute_script(
            "return cards.map((card) => [turn(card.image, Number(document.getElementById('angle').value)), card.image])"
        )
        x, condition = (np.array(part, "uint8") for part in zip(*images, strict=True))
        classes = model.predict({"x": x, "condition": condition}, verbose=0).argmax(axis=-1)
        expected = [f"{30 * number}°" for number in classes]
        _wait_for(page, lambda expected=expected: _predicted(page) == expected)
        if angle % 90 == 0:
            np.testing.assert_array_equal(x, np.rot90(condition, angle // 90, axes=(1, 2)))


def test_the_page_rotates_like_the_training_data(page):
    from keras_hypernet.tasks.rotation import rotate_images

    image = np.array(page.execute_script("return cards[0].image"), "uint8")
    for angle in (17, 60, 133, 300):
        turned = page.execute_script("return turn(cards[0].image, arguments[0])", angle)
        expected = np.asarray(rotate_images(image[None], np.array([float(angle)])))[0]
        assert (np.array(turned, "uint8") != expected).mean() < 0.01


def test_the_kernels_are_those_that_f_wrote(page):
    model = kh.load(MNIST)
    kernels = page.execute_script("return cards.map((card) => [card.image, card.kernel])")
    for image, kernel in kernels:
        weights = model.generate(np.array([image], "uint8"))
        np.testing.assert_allclose(kernel, weights["hidden/kernel"][0], atol=1e-5)
    first, second = (np.array(kernel) for _, kernel in kernels)
    apart = np.linalg.norm(first - second) / ((np.linalg.norm(first) + np.linalg.norm(second)) / 2)
    assert _text(page, "#difference") == f"The two kernels differ by {round(100 * apart)}% of their size."
    shapes = page.execute_script(
        "return [...document.querySelectorAll('#first .kernels canvas')].map((c) => [c.height, c.width])"
    )
    assert shapes == [[28, 28]] * 10
    assert page.execute_script("return document.querySelectorAll('#apart-kernels canvas').length") == 10
    # The answer is on the screen, not only in the document.
    assert page.find_element("css selector", "#first figcaption strong").text == _predicted(page)[0]
    assert _predicted(page)[0].endswith("°")


@pytest.mark.parametrize("name", [MNIST, CIFAR])
def test_each_pixel_has_the_colour_of_its_weight(page, name):
    """Blue below zero, white at zero, red above; three channels are three colours. Rows are rows, not columns."""
    _choose(page, name)
    kernel, shape = (np.array(part) for part in page.execute_script("return [cards[0].kernel, model.shape]"))
    canvases = page.execute_script(
        "return [...document.querySelectorAll('#first .kernels canvas')].map((canvas) => "
        "[...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data])"
    )
    drawn = np.array(canvases).reshape(10, *shape[:2], 4)[..., :3]
    weights = np.moveaxis(kernel.reshape(*shape, 10), -1, 0)
    sizes = np.sort(np.abs(kernel).ravel())
    part = np.clip(weights / sizes[int(0.99 * len(sizes))], -1, 1)
    if shape[-1] == 3:
        np.testing.assert_allclose(drawn, 127.5 * (1 + part), atol=1)
    else:
        part = part[..., 0]
        signs = np.sign(drawn[..., 0] - drawn[..., 2])
        np.testing.assert_array_equal(signs[np.abs(part) > 0.1], np.sign(part)[np.abs(part) > 0.1])
        # Green loses 0.55 of the depth of blue, and 0.8 of the depth of red.
        np.testing.assert_allclose(drawn[..., 1], 255 - 255 * np.abs(part) * np.where(part < 0, 0.55, 0.8), atol=1)


def test_another_image_changes_its_card_alone(page):
    before = page.execute_script("return cards.map((card) => card.kernel)")
    page.find_element("css selector", "#second .choices button:nth-child(5)").click()
    _wait_for(page, lambda: page.execute_script("return cards[1].kernel[400][0]") != before[1][400][0])
    assert page.execute_script("return cards[0].kernel") == before[0]
    pressed = page.execute_script("return document.querySelector('#second [aria-pressed=true]').ariaLabel")
    assert pressed == "Image 5"


def test_users_can_draw(page):
    from selenium.webdriver import ActionChains

    canvas = page.find_element("css selector", "#first .condition")
    page.find_element("css selector", "#first .clear").click()
    assert page.execute_script("return Math.max(...cards[0].image.flat(2))") == 0
    before = page.execute_script("return cards[0].kernel")
    ActionChains(page).move_to_element(canvas).click_and_hold().move_by_offset(30, 20).release().perform()
    image = np.array(page.execute_script("return cards[0].image"))
    assert image.max() == 255
    assert 3 < (image > 0).sum() < 200
    _wait_for(page, lambda: page.execute_script("return cards[0].kernel") != before)


def test_models_of_colours_and_of_the_embedding_method(page):
    for name, shape, kernels in ((CIFAR, [32, 32, 3], 10), (EMBED, [28, 28, 1], 0)):
        _choose(page, name)
        _wait_for(
            page,
            lambda kernels=kernels: (
                page.execute_script("return document.querySelectorAll('main .kernels canvas').length") == 2 * kernels
            ),
        )
        assert page.execute_script("return model.shape") == shape
        _wait_for(page, lambda: all(answer.endswith("°") for answer in _predicted(page)))
    options = page.execute_script("return [...document.getElementById('model').options].map((o) => o.value)")
    assert options == [MNIST, CIFAR, EMBED]  # without the network of x alone


def test_errors_of_the_server_are_shown(page):
    page.execute_script("model.name = 'gone'; cards[0].refresh()")
    _wait_for(page, lambda: "Servable not found for request: Latest(gone)" in _text(page, "#error"))


def test_the_page_loads_nothing_from_elsewhere_without_errors(page, server):
    severe = [entry["message"] for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    # The page has no icon, and the test before asks for a model that is gone.
    errors = [message for message in severe if not re.search(r"/favicon\.ico |/v1/models/gone:predict ", message)]
    assert errors == []
    loaded = page.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert loaded
    assert all(url.startswith(f"http://127.0.0.1:{server.rest_port}/") for url in loaded if not url.startswith("data:"))


def test_the_page_has_three_files_and_can_be_turned_off(server, exported, tmp_path):
    url = f"http://127.0.0.1:{server.rest_port}"
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
        answer = requests.get(url + path, timeout=60)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert requests.get(f"{url}/__init__.py", timeout=60).status_code == 404
    assert requests.post(url, timeout=60).status_code == 404
    with serve(exported(tmp_path, MNIST), MNIST, page=False) as bare:
        assert requests.get(f"http://127.0.0.1:{bare.rest_port}/", timeout=60).status_code == 404


def test_a_model_without_a_version_is_left_out(exported, tmp_path):
    with serve(exported(tmp_path, MNIST, EMBED), MNIST, EMBED) as server:
        url = f"http://127.0.0.1:{server.rest_port}"
        shutil.rmtree(tmp_path / MNIST / "1")
        wait_for(lambda: requests.get(f"{url}/v1/models/{MNIST}/metadata", timeout=60).status_code != 200)
        answer = requests.get(f"{url}/page/models.json", timeout=60)
        assert (answer.status_code, [model["name"] for model in answer.json()]) == (200, [EMBED])


def test_an_error_instead_of_the_models_is_shown(server, browser, monkeypatch):
    def fails():
        raise OSError("no disk")

    monkeypatch.setattr(server.engine.repository, "names", fails)
    browser.get(f"http://127.0.0.1:{server.rest_port}/")
    _wait_for(browser, lambda: _text(browser, "#error"))
    assert _text(browser, "#error") == "Nothing to show: The server failed: OSError."
    browser.get_log("browser")  # which has the error too


@pytest.mark.regression
def test_a_page_from_elsewhere_reads_answers_only_if_it_is_allowed(browser, tmp_path):
    (tmp_path / "times").mkdir()
    write_version(tmp_path / "times", 2)
    ask = """
        const [port, done] = arguments, url = `http://127.0.0.1:${port}/v1/models/times:predict`;
        const headers = {"Content-Type": "application/json"}, body = '{"instances": [3]}';
        fetch(url, {method: "POST", headers, body})
            .then(answer => answer.json(), () => "refused").then(done);
    """
    elsewhere = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{elsewhere.server_port}"
    try:
        browser.get(address)
        for origins, expected in (([], "refused"), ([address], {"predictions": [6.0]})):
            with serve(tmp_path, "times", allow_origins=origins) as server:
                assert browser.execute_async_script(ask, server.rest_port) == expected
    finally:
        elsewhere.shutdown()
        elsewhere.server_close()
