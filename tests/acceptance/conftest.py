"""Patience with a browser: the machine has a model server and a training beside it."""

from playwright.async_api import expect

expect.set_options(timeout=30_000)
