"""A headless Chromium over the WebDriver protocol, with nothing but the standard library."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from typing import Any

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def available() -> bool:
    return bool(shutil.which("chromedriver") and (shutil.which("chromium") or shutil.which("google-chrome")))


class Browser:
    """One browser; each instance of ``tab`` names a window."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={port}", "--log-level=OFF"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._base = f"http://127.0.0.1:{port}"
        self.until(self._up, 30.0)
        options = {
            "args": [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--window-size=900,900",
            ],
            "binary": shutil.which("chromium") or shutil.which("google-chrome"),
        }
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
        self._base += f"/session/{answer['sessionId']}"

    def _up(self) -> bool:
        try:
            return bool(self._call("GET", "/status")["ready"])
        except OSError:
            return False

    def _call(self, method: str, path: str, data: Any = None) -> Any:
        body = None if method == "GET" else json.dumps(data or {}).encode()
        request = urllib.request.Request(self._base + path, body, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    @staticmethod
    def until(condition: Any, timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def reload(self) -> None:
        self._call("POST", "/refresh")

    def new_tab(self) -> str:
        handle = self._call("POST", "/window/new", {"type": "tab"})["handle"]
        self.switch(handle)
        return str(handle)

    def tab(self) -> str:
        return str(self._call("GET", "/window"))

    def switch(self, handle: str) -> None:
        self._call("POST", "/window", {"handle": handle})

    def run(self, script: str, *args: Any) -> Any:
        return self._call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def click(self, element: str) -> None:
        found = self._call("POST", "/element", {"using": "css selector", "value": f"#{element}"})[ELEMENT]
        self._call("POST", f"/element/{found}/click")

    def resize(self, width: int, height: int) -> None:
        self._call("POST", "/window/rect", {"width": width, "height": height})

    def keys(self, text: str) -> None:
        body = self._call("POST", "/element", {"using": "css selector", "value": "body"})[ELEMENT]
        self._call("POST", f"/element/{body}/value", {"text": text})

    def accept_alert(self) -> None:
        self._call("POST", "/alert/accept")

    def phase(self) -> str:
        return str(self.run("return document.body.dataset.phase || ''"))

    def text(self, element: str) -> str:
        return str(self.run("return document.getElementById(arguments[0]).textContent", element))

    def close(self) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait()
