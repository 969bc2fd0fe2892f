"""Registers the marker of the fixtures, which test modules here import."""

from deft_mocks.fixtures import pytest_configure as pytest_configure
